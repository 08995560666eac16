"""Where files go, and that writing them is all or nothing."""

import os
import resource
import stat
from pathlib import Path

import pytest

from localmind.errors import ConfigInvalid, InvalidRequest, PermissionRefused
from localmind.paths import SOCKET_PATH_LIMIT, Paths, private_dir, typed_path, write_atomic, write_new


def test_localmind_home_moves_everything(tmp_path: Path) -> None:
    paths = Paths.find({"LOCALMIND_HOME": str(tmp_path / "h")})
    for place in (paths.config, paths.data, paths.cache, paths.models, paths.run, paths.logs, paths.socket):
        assert place.is_relative_to(tmp_path / "h")


def test_an_empty_home_is_refused_and_not_taken_for_the_current_directory() -> None:
    with pytest.raises(ConfigInvalid, match="LOCALMIND_HOME is empty"):
        Paths.find({"LOCALMIND_HOME": " "})


def test_a_home_too_deep_for_a_unix_socket_moves_only_the_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    socket = Paths.find({"LOCALMIND_HOME": str(deep)}).socket
    assert len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT
    assert socket != Paths.find({"LOCALMIND_HOME": str(tmp_path / ("e" * 120))}).socket


def test_private_directories_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = private_dir(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "f"
    write_atomic(target, b"old")
    write_atomic(target, b"new content")
    assert target.read_bytes() == b"new content"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["f"]


def test_a_write_that_cannot_be_done_keeps_the_old_file_and_says_why(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    (target / "inside").touch()
    with pytest.raises(PermissionRefused, match="cannot write"):
        write_atomic(target, b"x")
    assert os.listdir(tmp_path) == ["taken"]


def test_a_typed_path_begins_at_home_or_here_and_what_cannot_be_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed_path("notes", tmp_path) == tmp_path / "notes"
    assert typed_path("~/x", tmp_path) == Path.home() / "x"
    with pytest.raises(InvalidRequest, match="no user ~nobody-of-that-name"):
        typed_path("~nobody-of-that-name/x", tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert typed_path(Path("x")) == here / "x"
    here.rmdir()
    with pytest.raises(InvalidRequest, match="is gone"):
        typed_path("x")


def test_a_new_file_is_whole_or_not_there_and_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "export.md"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_new(path, "a" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not path.exists()
    write_new(path, "kept \udcff")
    with pytest.raises(FileExistsError):
        write_new(path, "new")
    assert path.read_text("utf-8") == "kept ?"
