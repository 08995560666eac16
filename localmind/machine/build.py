"""`localmind engine build`: compile and install the llama.cpp binding with the flags this machine needs.

pip's wheel cache does not know about CMAKE_ARGS and would hand back the plain build, so pip builds
without it and the wheel goes into a cache of ours that is keyed by everything that matters. The old
binding stays in place until a new wheel is complete. It is a generator of progress and blocks while
compiling; the daemon does not call it.
"""

import collections
import contextlib
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from localmind.errors import BuildFailed, DiskFull
from localmind.events import Progress
from localmind.machine.binding import DISTRIBUTION, Binding, installed_binding
from localmind.machine.devices import Machine
from localmind.machine.flags import (
    GPU_FLAGS,
    Compiler,
    build_flags,
    find_compiler,
    install_hint,
    needs_healing,
    wheel_key,
)
from localmind.machine.gpu_build import TOOLS, has_tools, wanted_build
from localmind.paths import Paths, private_dir

VERSION = "0.3.36"
"""The binding that this version of localmind is written for; pyproject.toml pins the same."""
ROOM = 2 << 30
"""Bytes that the sources and objects of a build take, with some to spare."""
BACKEND_NAMES = {name.lower(): name for name in (*GPU_FLAGS, "CPU")}
"""As they are typed."""
STEP = re.compile(r"^\s*\[(\d+)/(\d+)\]")
GRACE_S = 10.0
SHOWN = 12
"""Lines of a failed build that are shown; all are in the log."""

__all__ = ["Binding", "build", "describe", "installed_binding", "is_right"]


class Run(Protocol):
    """Run a command and yield its output by lines; raises BuildFailed when it fails. The seam for tests."""

    def __call__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[str]: ...


def is_right(
    binding: Binding | None, system: str, arch: str, compiler: Compiler | None, backend: str | None = None
) -> bool:
    """Whether a build of ours would bring nothing new. `backend` is the one for GPUs that it must have."""
    if binding is None or binding.version != VERSION:
        return False
    if backend not in (None, "CPU") and backend not in binding.backends:
        return False
    return binding.healed or not needs_healing(system, arch, compiler)


def describe(binding: Binding) -> dict[str, Any]:
    """Facts for `localmind engine show`."""
    return {
        "version": binding.version,
        "healed": binding.healed,
        "compiler": binding.compiler or "not recorded",
        "backends": sorted(binding.backends | {"CPU"}),
        "build": binding.fingerprint,
        "libraries": str(binding.directory),
    }


def build(
    paths: Paths,
    *,
    force: bool = False,
    backend: str | None = None,
    environ: Mapping[str, str] = os.environ,
    machine: Machine | None = None,
    python: str = sys.executable,
    run: Run | None = None,
    look: Callable[[], Binding | None] = installed_binding,
) -> Iterator[Progress]:
    """Build, install and check the binding. The stages are "engine", "compile" and "install".

    `backend` is for GPUs ("CUDA", "ROCm", "Vulkan", "Metal", "RPC") or "CPU" for none; without it, what the
    machine's GPUs want and the tools here can compile. Does nothing when the installed one is right, unless forced.
    Raises BuildFailed or DiskFull; until the last moment the old binding is untouched. Giving the iteration up ends
    the compiler.
    """
    machine = machine or Machine.here()
    run = run or run_command
    compiler = find_compiler(machine.system, environ)
    if backend is None:
        wanted = wanted_build(machine, frozenset(), environ, VERSION)
        backend = wanted.backend if wanted is not None and wanted.ready else None
    elif not has_tools(backend, environ):
        raise BuildFailed(f"{TOOLS[backend]}, which compiles for {backend}, is not there", hint="localmind doctor")
    flags = build_flags(machine.system, machine.arch, compiler, backend)
    flags += shlex.split(environ.get("CMAKE_ARGS", ""))
    if not force and is_right(look(), machine.system, machine.arch, compiler, backend):
        yield Progress("engine", 1, 1, "", f"llama-cpp-python {VERSION} is here and built as this machine needs it")
        return
    python_tag = f"cp{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}"
    place = wheels_dir(paths, environ) / wheel_key(VERSION, python_tag, flags, compiler, machine.flags_digest)
    log = paths.logs / "engine-build.log"
    private_dir(log.parent)
    log.unlink(missing_ok=True)
    wheel = next(iter(sorted(place.glob("*.whl"))), None)
    if wheel is None or force:
        if compiler is None:
            raise BuildFailed(
                "no C++ compiler was found to build the engine with", hint=install_hint(machine.system, environ)
            )
        _check_room(environ)
        yield Progress("compile", 0, None, "files", f"compiling llama-cpp-python {VERSION} with {compiler}")
        yield from _compile(place, flags, python, environ, log, run)
        wheel = next(iter(sorted(place.glob("*.whl"))), None)
        if wheel is None:
            raise BuildFailed("pip said nothing was wrong but made no wheel", hint=f"less {log}")
    yield Progress("install", 0, 1, "", f"installing {wheel.name}")
    # No index is needed: the wheel is a file and its requirements are localmind's own.
    command = [python, "-m", "pip", "install", "--no-deps", "--force-reinstall", "--no-index", str(wheel)]
    for _ in run(command, environ, log):
        pass
    if not is_right(look(), machine.system, machine.arch, compiler, backend):
        wheel.unlink(missing_ok=True)
        raise BuildFailed(
            "the engine was installed but does not carry the flags it was built with",
            hint=f"unset CMAKE_ARGS CFLAGS CXXFLAGS, then `localmind engine build --force`; see {log}",
        )
    yield Progress("install", 1, 1, "", f"llama-cpp-python {VERSION} is installed")


def wheels_dir(paths: Paths, environ: Mapping[str, str]) -> Path:
    """Where built wheels are kept; LOCALMIND_WHEELS_DIR moves it, e.g. out of a home that CI throws away."""
    moved = environ.get("LOCALMIND_WHEELS_DIR")
    return Path(moved).expanduser().absolute() if moved else paths.wheels_dir


def _compile(
    place: Path, flags: Sequence[str], python: str, environ: Mapping[str, str], log: Path, run: Run
) -> Iterator[Progress]:
    """Make the wheel in a directory beside `place`, which appears when it is complete."""
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".building-", dir=place.parent))
    command = [python, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-cache-dir"]
    command += ["--no-binary", DISTRIBUTION, "--wheel-dir", str(fresh), f"{DISTRIBUTION}=={VERSION}"]
    settings = {**environ, "CMAKE_ARGS": shlex.join(flags), "FORCE_CMAKE": "1", "PYTHONUNBUFFERED": "1"}
    settings.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    seen = 0
    try:
        for line in run(command, settings, log):
            step = STEP.match(line)
            if step is not None and int(step[1]) > seen:
                seen = int(step[1])
                yield Progress("compile", seen, float(step[2]), "files", "compiling")
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _check_room(environ: Mapping[str, str]) -> None:
    directory = environ.get("TMPDIR") or tempfile.gettempdir()
    free = shutil.disk_usage(directory).free
    if free < ROOM:
        raise DiskFull(
            f"compiling the engine needs {ROOM / 1e9:.0f} GB in {directory}, and {free / 1e9:.1f} GB are free",
            hint="TMPDIR=/a/larger/disk localmind engine build",
        )


def run_command(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run in a process group of its own, so that giving up ends the compilers too; everything goes to `log`."""
    tail: collections.deque[str] = collections.deque(maxlen=SHOWN)
    with log.open("a", encoding="utf-8") as out:
        out.write(f"$ {shlex.join(command)}\n")
        with subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    out.write(line)
                    tail.append(line.rstrip())
                    yield line
                process.wait()
            except BaseException:
                _end_group(process)
                raise
    if process.returncode != 0:
        shown = "\n".join(line for line in tail if line.strip())
        if "No module named pip" in shown:
            raise BuildFailed("this Python environment has no pip", hint=f"{command[0]} -m ensurepip")
        raise BuildFailed(
            f"`{shlex.join(command[1:4])}` failed with exit code {process.returncode}:\n{shown}",
            hint=f"less {log}; the engine that was installed before is untouched",
        )


def _end_group(process: subprocess.Popen[str]) -> None:
    """Given up: end pip, CMake and the compilers under it. An interrupt lets pip remove what it unpacked."""
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        else:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE_S)
            return
