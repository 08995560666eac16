"""`engine build` with a fake pip, and the look at a binding from outside."""

import importlib
import os
import shlex
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from machines import CUDA, LAPTOP

from localmind.errors import BuildFailed
from localmind.events import Progress
from localmind.machine.binding import Binding, installed_binding, recorded_command_line
from localmind.machine.build import VERSION, build, describe, run_command
from localmind.machine.devices import Machine
from localmind.paths import Paths

HEALED_LINE = "GNU C11 12.2.0 -march=native -O3 -fno-tree-dse -fno-dse -fPIC"
PLAIN = Binding(VERSION, Path("/lib"), None, frozenset(), f"{VERSION}-plain")
HEALED = replace(PLAIN, command_line=HEALED_LINE, fingerprint=f"{VERSION}-healed")


class FakePip:
    """Plays pip: makes a wheel, installs it; or fails where told to."""

    def __init__(self, *, fail: str = "", healed: bool = True) -> None:
        self.fail = fail
        self.healed = healed
        self.installed: Binding | None = PLAIN
        self.commands: list[list[str]] = []
        self.cmake_args: list[list[str]] = []

    def __call__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[str]:
        self.commands.append(list(command))
        what = command[3]
        if what == self.fail:
            yield "error: something\n"
            raise BuildFailed("pip failed")
        if what == "wheel":
            self.cmake_args.append(shlex.split(environ["CMAKE_ARGS"]))
            yield "  [1/4] Building C object\n"
            yield "noise [9/9]\n"
            yield "[4/4] Linking\n"
            Path(command[command.index("--wheel-dir") + 1], f"llama_cpp_python-{VERSION}-py3-none-any.whl").touch()
        else:
            self.installed = HEALED if self.healed else PLAIN
            yield "Successfully installed\n"

    def look(self) -> Binding | None:
        return self.installed


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    compiler = tmp_path / "bin" / "c++"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\necho 'c++ (Debian 12.2.0-14) 12.2.0'\necho 'Free Software Foundation'\n")
    compiler.chmod(0o755)
    return {"PATH": f"{compiler.parent}:/bin:/usr/bin"}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.find({"LOCALMIND_HOME": str(tmp_path / "home")})


def run(
    paths: Paths, environ: Mapping[str, str], pip: FakePip, force: bool = False, machine: Machine = LAPTOP
) -> list[Progress]:
    return list(build(paths, force=force, environ=environ, machine=machine, run=pip, look=pip.look))


def test_a_plain_binding_is_rebuilt_with_the_flags_and_progress(paths: Paths, environ: dict[str, str]) -> None:
    pip = FakePip()
    steps = run(paths, environ, pip)
    assert [(step.stage, step.done, step.total) for step in steps] == [
        ("compile", 0, None), ("compile", 1, 4), ("compile", 4, 4), ("install", 0, 1), ("install", 1, 1),
    ]  # fmt: skip
    assert pip.cmake_args[0][0] == "-DCMAKE_C_FLAGS=-fno-tree-dse -fno-dse -frecord-gcc-switches"
    wheel, install = pip.commands
    assert {"--no-deps", "--no-cache-dir", "--no-binary", f"llama-cpp-python=={VERSION}"} <= set(wheel)
    assert {"--no-deps", "--force-reinstall", "--no-index"} <= set(install)


def test_a_right_binding_is_left_alone_and_that_is_said(paths: Paths, environ: dict[str, str]) -> None:
    pip = FakePip()
    pip.installed = HEALED
    (step,) = run(paths, environ, pip)
    assert "is here and built as this machine needs it" in step.text
    assert pip.commands == []


def test_force_builds_although_the_binding_is_right(paths: Paths, environ: dict[str, str]) -> None:
    pip = FakePip()
    pip.installed = HEALED
    run(paths, environ, pip, force=True)
    assert [command[3] for command in pip.commands] == ["wheel", "install"]


def test_a_second_build_takes_the_wheel_of_the_first(paths: Paths, environ: dict[str, str]) -> None:
    run(paths, environ, FakePip())
    pip = FakePip()
    run(paths, environ, pip)
    assert [command[3] for command in pip.commands] == ["install"]


def test_another_processor_does_not_take_it(paths: Paths, environ: dict[str, str]) -> None:
    run(paths, environ, FakePip())
    pip = FakePip()
    run(paths, environ, pip, machine=replace(LAPTOP, cpu_flags=frozenset({"sse2"})))
    assert [command[3] for command in pip.commands] == ["wheel", "install"]


def test_the_cache_can_be_moved_out_of_the_home(paths: Paths, environ: dict[str, str], tmp_path: Path) -> None:
    run(paths, environ | {"LOCALMIND_WHEELS_DIR": str(tmp_path / "kept")}, FakePip())
    assert len(list((tmp_path / "kept").glob("*/*.whl"))) == 1


def test_a_failed_build_installs_nothing_and_leaves_no_half_wheel(paths: Paths, environ: dict[str, str]) -> None:
    pip = FakePip(fail="wheel")
    with pytest.raises(BuildFailed):
        run(paths, environ, pip)
    assert pip.installed is PLAIN
    assert list(paths.wheels_dir.iterdir()) == []


def test_giving_up_leaves_no_half_wheel(paths: Paths, environ: dict[str, str]) -> None:
    pip = FakePip()
    steps = build(paths, environ=environ, machine=LAPTOP, run=pip, look=pip.look)
    next(steps)
    next(steps)
    steps.close()
    assert list(paths.wheels_dir.iterdir()) == []
    assert pip.installed is PLAIN


def test_a_wheel_without_the_flags_is_noticed_and_not_kept(paths: Paths, environ: dict[str, str]) -> None:
    with pytest.raises(BuildFailed, match="does not carry the flags"):
        run(paths, environ, FakePip(healed=False))
    assert list(paths.wheels_dir.glob("*/*.whl")) == []


def test_without_a_compiler_the_hint_is_how_to_get_one(paths: Paths, tmp_path: Path) -> None:
    pip = FakePip()
    pip.installed = None
    with pytest.raises(BuildFailed, match=r"no C\+\+ compiler") as caught:
        run(paths, {"PATH": str(tmp_path)}, pip)
    assert "build-essential" in str(caught.value.hint)


def test_cuda_is_built_only_where_both_its_compiler_and_a_device_are(
    paths: Paths, environ: dict[str, str], tmp_path: Path
) -> None:
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.touch()
    nvcc.chmod(0o755)
    pip = FakePip()
    run(paths, environ, pip)
    assert "-DGGML_CUDA=on" not in pip.cmake_args[0]
    with pytest.raises(BuildFailed):  # the fake installs a binding without CUDA, which is noticed
        run(paths, environ, pip, machine=CUDA)
    assert "-DGGML_CUDA=on" in pip.cmake_args[1]


def test_a_command_streams_its_lines_and_keeps_them_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = list(run_command([sys.executable, "-c", "print('one'); print('two')"], os.environ, log))
    assert lines == ["one\n", "two\n"]
    assert "two" in log.read_text()


def test_a_failed_command_shows_its_last_lines(tmp_path: Path) -> None:
    code = "import sys\nfor n in range(100): print('line', n)\nsys.exit(3)"
    with pytest.raises(BuildFailed, match="exit code 3") as caught:
        list(run_command([sys.executable, "-c", code], os.environ, tmp_path / "log"))
    assert "line 99" in caught.value.message
    assert "line 50" not in caught.value.message


def test_an_environment_without_pip_says_how_to_get_it(tmp_path: Path) -> None:
    code = "import sys; print('python: No module named pip'); sys.exit(1)"
    with pytest.raises(BuildFailed, match="no pip") as caught:
        list(run_command([sys.executable, "-c", code], os.environ, tmp_path / "log"))
    assert str(caught.value.hint).endswith("-m ensurepip")


def test_a_command_that_is_given_up_ends_with_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    lines = run_command([sys.executable, "-c", code], os.environ, tmp_path / "log")
    child = int(next(lines))
    lines.close()  # type: ignore[attr-defined]
    while alive(child):
        os.sched_yield()


def alive(pid: int) -> bool:
    """A zombie is dead: here nobody may be there to bury it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def elf(sections: dict[str, bytes]) -> bytes:
    """A file with these sections and nothing else."""
    names = b"\0" + b"\0".join(name.encode() for name in (*sections, ".shstrtab")) + b"\0"
    blobs = [*sections.values(), names]
    data = bytearray(64)
    rows = [bytes(64)]
    for name, blob in zip((*sections, ".shstrtab"), blobs, strict=True):
        rows.append(struct.pack("<IIQQQQ", names.index(name.encode()), 1, 0, 0, len(data), len(blob)) + bytes(24))
        data += blob
    data[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", data, 0x28, len(data))
    struct.pack_into("<HHH", data, 0x3A, 64, len(rows), len(rows) - 1)
    return bytes(data) + b"".join(rows)


def test_a_binding_is_read_from_its_files_without_loading_it(tmp_path: Path) -> None:
    (tmp_path / "libggml-cpu.so").write_bytes(
        elf({".text": b"code", ".GCC.command.line": HEALED_LINE.encode() + b"\0"})
    )
    (tmp_path / "libggml-cuda.so").write_bytes(b"")
    found = installed_binding(tmp_path, VERSION)
    assert found is not None
    assert found.healed
    assert (found.compiler, found.backends) == ("GNU C11 12.2.0", {"CUDA"})
    assert describe(found)["backends"] == ["CPU", "CUDA"]
    (tmp_path / "libggml-cpu.so").write_bytes(elf({".text": b"code", ".comment": HEALED_LINE.encode()}))
    plain = installed_binding(tmp_path, VERSION)
    assert plain is not None
    assert not plain.healed
    assert plain.fingerprint != found.fingerprint


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"MZ" + bytes(200), elf({})[:80], elf({"a": b"b"})[:-70], bytes(64)])
def test_a_file_that_is_no_library_has_no_record(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "libggml-cpu.so"
    path.write_bytes(data)
    assert recorded_command_line(path) is None


def test_no_libraries_means_no_binding(tmp_path: Path) -> None:
    assert installed_binding(tmp_path) is None
    assert installed_binding(tmp_path / "absent") is None


def test_looking_at_the_real_binding_does_not_import_it() -> None:
    code = (
        "import sys\n"
        "from localmind.machine.binding import installed_binding\n"
        "print(installed_binding().version, 'llama_cpp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [VERSION, "False"]


def test_two_threads_never_empty_the_caches_of_python_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a KeyError for one of them, and twelve requests at once had an internal error for an answer."""
    within, most = 0, 0

    def empty() -> None:
        nonlocal within, most
        within += 1
        most = max(most, within)
        threading.Event().wait(0.05)
        within -= 1

    monkeypatch.setattr(importlib, "invalidate_caches", empty)
    looking = [threading.Thread(target=installed_binding) for _ in range(4)]
    for each in looking:
        each.start()
    for each in looking:
        each.join()
    assert most == 1
