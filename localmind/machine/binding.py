"""The installed llama-cpp-python, looked at from outside: version, how it was compiled, which GPUs it knows.

It never imports or loads the library, since the daemon runs no native inference code and a broken
build may crash on sight. GCC writes its command line into the library when asked to
(-frecord-gcc-switches), and that record is what is read here.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from localmind.machine.flags import MARK

DISTRIBUTION = "llama-cpp-python"
LARGEST_RECORD = 4 << 20
BACKENDS = {"cuda": "CUDA", "metal": "Metal", "vulkan": "Vulkan", "hip": "ROCm", "sycl": "SYCL", "rpc": "RPC"}
_LOOKING = threading.Lock()
"""Python's caches of what is importable must not be emptied by two threads at once: one of them gets a KeyError."""


@dataclass(slots=True, frozen=True)
class Binding:
    """One build of the binding."""

    version: str
    directory: Path
    """Where its shared libraries are."""
    command_line: str | None
    """What its CPU code was compiled with; None if the build left no record."""
    backends: frozenset[str]
    """GPU backends it was built with, named as in machine/devices.py."""
    fingerprint: str
    """Version and a hash of the CPU library: another build has another one."""

    @property
    def healed(self) -> bool:
        """Whether it was built with the flags that keep the AMX configuration."""
        return self.command_line is not None and MARK in self.command_line

    @property
    def compiler(self) -> str | None:
        """As recorded, e.g. "GNU C11 12.2.0"."""
        return " ".join(self.command_line.split()[:3]) if self.command_line else None


def installed_binding(directory: Path | None = None, version: str | None = None) -> Binding | None:
    """The binding of this environment, or None. Both arguments are for looking at an unpacked one."""
    if directory is None:
        try:
            with _LOOKING:
                importlib.invalidate_caches()
                version = importlib.metadata.version(DISTRIBUTION)
                spec = importlib.util.find_spec("llama_cpp")
        except (importlib.metadata.PackageNotFoundError, ValueError):
            return None
        if spec is None or spec.origin is None:
            return None
        # The binding itself obeys this variable, which is how a build is tried before it is installed.
        directory = Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(spec.origin).parent / "lib")
    libraries = {path.name: path for path in directory.glob("*ggml*")} if directory.is_dir() else {}
    cpu = next((path for name, path in sorted(libraries.items()) if "ggml-cpu" in name), None)
    if cpu is None:
        return None
    with cpu.open("rb") as library:
        digest = hashlib.file_digest(library, "sha256").hexdigest()
    return Binding(
        version=version or "unknown",
        directory=directory,
        command_line=recorded_command_line(cpu),
        backends=frozenset(
            name for word, name in BACKENDS.items() if any(f"ggml-{word}" in library for library in libraries)
        ),
        fingerprint=f"{version}-{digest[:12]}",
    )


def recorded_command_line(library: Path) -> str | None:
    """The compiler's command lines in an ELF file's section .GCC.command.line; None without one."""
    try:
        with library.open("rb") as source:
            section = _section(source, b".GCC.command.line")
    except (OSError, struct.error):
        return None
    return None if section is None else section.replace(b"\0", b"\n").decode("utf-8", "replace").strip()


def _section(source: IO[bytes], wanted: bytes) -> bytes | None:
    """The bytes of a section of a little-endian 64-bit ELF file (System V ABI, "Object Files")."""
    head = source.read(64)
    if head[:6] != b"\x7fELF\x02\x01":
        return None
    (table,) = struct.unpack_from("<Q", head, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", head, 0x3A)
    if size != 64 or names_index >= count:
        return None
    source.seek(table)
    headers = source.read(size * count)
    rows = [struct.unpack_from("<IIQQQQ", headers, n * size) for n in range(count)]

    def content(row: tuple[int, ...]) -> bytes:
        source.seek(row[4])
        return source.read(min(row[5], LARGEST_RECORD))

    names = content(rows[names_index])
    for row in rows:
        if names[row[0] : names.find(b"\0", row[0])] == wanted:
            return content(row)
    return None
