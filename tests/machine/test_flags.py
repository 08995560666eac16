"""Which compilers need which flags, and when a built wheel may be used again."""

import os
from pathlib import Path

import pytest

from localmind.machine.flags import Compiler, build_flags, find_compiler, install_hint, parse_compiler, wheel_key

DEBIAN = """c++ (Debian 12.2.0-14+deb12u1) 12.2.0
Copyright (C) 2022 Free Software Foundation, Inc.
This is free software; see the source for copying conditions.  There is NO
"""
HEALED = [
    "-DCMAKE_C_FLAGS=-fno-tree-dse -fno-dse -frecord-gcc-switches",
    "-DCMAKE_CXX_FLAGS=-fno-tree-dse -fno-dse -frecord-gcc-switches",
]
GCC12 = Compiler("gcc", (12, 2, 0), "/usr/bin/c++")


def gcc(*version: int) -> Compiler:
    return Compiler("gcc", version, "c++")


@pytest.mark.parametrize(
    ("system", "arch", "compiler", "backend", "expected"),
    [
        ("linux", "x86_64", GCC12, None, HEALED),
        ("linux", "x86_64", gcc(11, 4, 0), None, HEALED),
        ("linux", "x86_64", gcc(13, 2, 0), None, HEALED),
        ("windows", "amd64", gcc(13, 1), None, HEALED),
        ("linux", "x86_64", gcc(10, 2, 1), None, []),
        ("linux", "x86_64", gcc(14, 1, 0), None, []),
        ("linux", "x86_64", Compiler("clang", (14, 0, 6), "c++"), None, []),
        ("linux", "aarch64", GCC12, None, []),
        ("linux", "x86_64", None, None, []),
        ("linux", "x86_64", GCC12, "CUDA", [*HEALED, "-DGGML_CUDA=on"]),
        ("linux", "x86_64", GCC12, "Vulkan", [*HEALED, "-DGGML_VULKAN=on"]),
        ("linux", "x86_64", GCC12, "ROCm", [*HEALED, "-DGGML_HIP=on"]),
        ("linux", "x86_64", GCC12, "CPU", HEALED),
        ("darwin", "arm64", None, "CPU", ["-DGGML_METAL=off"]),
        ("darwin", "arm64", Compiler("clang", (17, 0, 0), "c++"), None, ["-DGGML_METAL=on"]),
        ("darwin", "x86_64", Compiler("clang", (17, 0, 0), "c++"), None, []),
    ],
)
def test_the_flags_of_a_machine_and_its_compiler(system, arch, compiler, backend, expected) -> None:
    assert build_flags(system, arch, compiler, backend) == expected


@pytest.mark.parametrize(
    ("text", "kind", "version"),
    [
        (DEBIAN, "gcc", (12, 2, 0)),
        ("g++ (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0\n(C) Free Software Foundation", "gcc", (11, 4, 0)),
        ("g++ (GCC) 14.2.1 20240912 (Red Hat 14.2.1-3)\n(C) Free Software Foundation", "gcc", (14, 2, 1)),
        ("Debian clang version 14.0.6\nTarget: x86_64-pc-linux-gnu", "clang", (14, 0, 6)),
        ("Apple clang version 17.0.0 (clang-1700.0.13.5)\nTarget: arm64-apple-darwin24.5.0", "clang", (17, 0, 0)),
    ],
)  # fmt: skip
def test_compilers_are_known_by_their_own_words(text: str, kind: str, version: tuple[int, ...]) -> None:
    found = parse_compiler("c++", text)
    assert found is not None
    assert (found.kind, found.version) == (kind, version)


@pytest.mark.parametrize("text", ["", "\n", "usage: c++", "c++ version unknown"])
def test_what_is_no_compiler_is_not_taken_for_one(text: str) -> None:
    assert parse_compiler("c++", text) is None


def test_the_compiler_named_by_cxx_is_asked_first(tmp_path: Path) -> None:
    own = tmp_path / "my-c++"
    own.write_text("#!/bin/sh\necho 'g++ (Mine) 13.1.0'\necho 'Free Software Foundation'\n")
    own.chmod(0o755)
    found = find_compiler("linux", {"CXX": str(own), "PATH": os.environ["PATH"]})
    assert found is not None
    assert found.version == (13, 1, 0)


def test_without_a_compiler_there_is_none_and_the_hint_is_the_command_of_the_system(tmp_path: Path) -> None:
    apt = tmp_path / "apt-get"
    apt.touch()
    apt.chmod(0o755)
    assert find_compiler("linux", {"PATH": str(tmp_path)}) is None
    assert install_hint("linux", {"PATH": str(tmp_path)}) == "sudo apt-get install build-essential"
    assert install_hint("darwin", {}) == "xcode-select --install"


def test_a_wheel_is_used_again_only_when_everything_is_equal() -> None:
    base = ("0.3.36", "cp311-x86_64", HEALED, GCC12, "abc")
    others = [
        ("0.3.37", *base[1:]),
        (*base[:1], "cp312-x86_64", *base[2:]),
        (*base[:2], [], *base[3:]),
        (*base[:3], gcc(12, 3, 0), "abc"),
        (*base[:4], "other cpu"),
    ]
    keys = {wheel_key(*base), *(wheel_key(*other) for other in others)}
    assert len(keys) == 6
    assert wheel_key(*base) == wheel_key(*base)
    assert all(key.startswith("0.3.3") for key in keys)
