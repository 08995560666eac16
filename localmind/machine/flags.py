"""Which compiler flags the llama.cpp binding needs here, and the name of a build made with them.

Pure functions of a described compiler and machine. The reason for the flags: `_tile_loadconfig` in
GCC 11 to 13 declares 8 of the 64 bytes that the instruction reads (GCC PR 114098), so dead-store
elimination drops the rest of the AMX tile configuration and the first batch dies with SIGSEGV. They
are asked for on every x86-64 with such a GCC, with or without AMX: a wheel may be copied to another
machine, and without AMX they change nothing that we could measure.
"""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

MARK = "-fno-tree-dse"
"""Found in a library's record of its command line, this says that the build is healed."""
HEALING = ("-fno-tree-dse", "-fno-dse", "-frecord-gcc-switches")

GPU_FLAGS = {
    "CUDA": "-DGGML_CUDA=on", "ROCm": "-DGGML_HIP=on", "Vulkan": "-DGGML_VULKAN=on", "Metal": "-DGGML_METAL=on",
    "RPC": "-DGGML_RPC=on",
}  # fmt: skip
"""By backend, named as in machine/gpus.py. "CPU" asks for none of them."""

Kind = Literal["gcc", "clang", "msvc"]


@dataclass(slots=True, frozen=True)
class Compiler:
    """A C++ compiler as its own --version describes it."""

    kind: Kind
    version: tuple[int, ...]
    path: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(map(str, self.version))}"


def needs_healing(system: str, arch: str, compiler: Compiler | None) -> bool:
    """Whether this compiler drops the AMX configuration. MinGW's GCC has the same header."""
    return (
        system in ("linux", "windows")
        and arch in ("x86_64", "amd64")
        and compiler is not None
        and compiler.kind == "gcc"
        and 11 <= compiler.version[0] <= 13
    )


def build_flags(system: str, arch: str, compiler: Compiler | None, backend: str | None = None) -> list[str]:
    """Arguments for CMake, for CMAKE_ARGS. Empty where the defaults are right. `backend` is one for GPUs."""
    flags: list[str] = []
    if needs_healing(system, arch, compiler):
        flags += [f"-DCMAKE_{language}_FLAGS={' '.join(HEALING)}" for language in ("C", "CXX")]
    if backend in GPU_FLAGS:
        flags.append(GPU_FLAGS[backend])
    elif system == "darwin" and arch == "arm64":
        flags.append(GPU_FLAGS["Metal"] if backend is None else "-DGGML_METAL=off")
    return flags


def wheel_key(version: str, python_tag: str, flags: Sequence[str], compiler: Compiler | None, cpu_digest: str) -> str:
    """The name of a cache directory: equal exactly when a wheel can be used again."""
    text = "\0".join((version, python_tag, *flags, str(compiler), cpu_digest))
    return f"{version}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def parse_compiler(path: str, text: str) -> Compiler | None:
    """From the output of `--version`; None for something else."""
    first = text.strip().splitlines()[0] if text.strip() else ""
    numbers = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", re.sub(r"\(.*?\)", "", first))
    if "clang" in text.lower():
        kind: Kind = "clang"
    elif "Free Software Foundation" in text or re.match(r"(\S*-)?(gcc|g\+\+|c\+\+|cc)\b", first):
        kind = "gcc"
    else:
        return None
    if numbers is None:
        return None
    return Compiler(kind, tuple(int(number) for number in numbers.groups() if number), path, first)


def find_compiler(system: str, environ: Mapping[str, str]) -> Compiler | None:
    """The C++ compiler that CMake will take: $CXX, else c++, g++, clang++; on Windows also Visual Studio's."""
    for name in (environ.get("CXX", ""), "c++", "g++", "clang++"):
        path = shutil.which(name, path=environ.get("PATH")) if name else None
        if path is None:
            continue
        try:
            done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        found = parse_compiler(path, done.stdout) if done.returncode == 0 else None
        if found is not None:
            return found
    if system == "windows" and (environ.get("VSINSTALLDIR") or shutil.which("cl", path=environ.get("PATH"))):
        return Compiler("msvc", (0,), "cl")
    return None


def install_hint(system: str, environ: Mapping[str, str]) -> str:
    """The command that brings a compiler."""
    if system == "darwin":
        return "xcode-select --install"
    if system == "windows":
        workload = "--override '--add Microsoft.VisualStudio.Workload.VCTools'"
        return f"winget install Microsoft.VisualStudio.2022.BuildTools {workload}"
    for tool, command in (
        ("apt-get", "sudo apt-get install build-essential"),
        ("dnf", "sudo dnf install gcc-c++ make"),
        ("pacman", "sudo pacman -S base-devel"),
        ("zypper", "sudo zypper install gcc-c++ make"),
        ("apk", "sudo apk add build-base linux-headers"),
    ):
        if shutil.which(tool, path=environ.get("PATH")):
            return command
    return "install a C++ compiler, for example: sudo apt-get install build-essential"
