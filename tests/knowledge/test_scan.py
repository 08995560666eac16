"""The scan decides what changed; comparing is pure."""

import os
from pathlib import Path
from typing import Any

import pytest

from localmind.knowledge.rules import Rules
from localmind.knowledge.scan import Entry, Found, Known, compare, is_below, minimal, walk

RECIPES = {"markdown": "m1", "text": "t1", "unknown": "u1"}


def entry(relpath: str, inode: int = 1, mtime: int = 1, size: int = 5, kind: str = "markdown") -> Entry:
    return Entry(relpath, kind, 7, inode, size, mtime)


def known(relpath: str, number: int = 1, inode: int = 1, mtime: int = 1, size: int = 5, recipe: str = "m1") -> Known:
    return Known(number, relpath, 7, inode, size, mtime, recipe)


def found(*entries: Entry, unreadable: tuple[str, ...] = ()) -> Found:
    return Found(entries={one.relpath: one for one in entries}, unreadable=list(unreadable))


def test_nothing_changed_means_nothing_to_do() -> None:
    assert not compare({"a.md": known("a.md")}, found(entry("a.md")), RECIPES)


@pytest.mark.parametrize("change", [{"inode": 2}, {"mtime": 2}, {"size": 6}])
def test_a_file_that_changed_in_any_way_is_read(change: dict[str, Any]) -> None:
    changes = compare({"a.md": known("a.md")}, found(entry("a.md", **change)), RECIPES)
    assert [one.relpath for one in changes.read] == ["a.md"]


def test_a_new_recipe_reads_again() -> None:
    assert compare({"a.md": known("a.md", recipe="m0")}, found(entry("a.md")), RECIPES).recut


def test_a_vanished_file_is_gone_and_a_new_one_is_read() -> None:
    changes = compare({"a.md": known("a.md", 4)}, found(entry("b.md", inode=9)), RECIPES)
    assert changes.gone == (4,)
    assert [one.relpath for one in changes.read] == ["b.md"]


def test_a_renamed_file_is_moved_and_not_read() -> None:
    changes = compare({"a.md": known("a.md", 4)}, found(entry("new/b.md")), RECIPES)
    assert [(number, one.relpath) for number, one in changes.moved] == [(4, "new/b.md")]
    assert not changes.read
    assert not changes.gone


def test_a_file_renamed_to_another_format_is_read() -> None:
    changes = compare({"a.md": known("a.md", 4)}, found(entry("a.txt", kind="text")), RECIPES)
    assert [one.relpath for one in changes.read] == ["a.txt"]
    assert changes.gone == (4,)


def test_below_an_unreadable_directory_nothing_is_forgotten() -> None:
    rows = {"locked/a.md": known("locked/a.md", 1, 1), "b.md": known("b.md", 2, 2)}
    assert compare(rows, found(unreadable=("locked",)), RECIPES).gone == (2,)


def test_newest_files_are_read_first() -> None:
    changes = compare({}, found(entry("old.md", 1, 10), entry("new.md", 2, 30), entry("mid.md", 3, 20)), RECIPES)
    assert [one.relpath for one in changes.read] == ["new.md", "mid.md", "old.md"]


def test_a_scope_is_reduced_to_its_outermost_paths() -> None:
    assert minimal(["a/b", "a", "a/b/c", "ab", "a-b"]) == ["a", "a-b", "ab"]
    assert minimal(["a", "", "b"]) == [""]
    assert minimal([]) == []


def test_below_is_by_whole_names() -> None:
    assert is_below("a/b", "a")
    assert is_below("a", "")
    assert not is_below("ab", "a")


def test_a_walk_of_a_scope_sees_only_that_scope(tmp_path: Path) -> None:
    for name in ("a/x.md", "a/y.md", "b/z.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("words")
    rules = Rules(tmp_path)
    assert set(walk(tmp_path, rules, ["a"]).entries) == {"a/x.md", "a/y.md"}
    assert set(walk(tmp_path, rules, ["b/z.md", "gone.md"]).entries) == {"b/z.md"}
    assert set(walk(tmp_path, rules).entries) == {"a/x.md", "a/y.md", "b/z.md"}


def test_a_name_that_is_not_unicode_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "ok.md").write_text("words")
    with open(os.fsencode(tmp_path) + b"/bad\xff.md", "w") as stream:
        stream.write("words")
    assert set(walk(tmp_path, Rules(tmp_path)).entries) == {"ok.md"}


def test_a_file_that_is_too_big_is_listed_with_its_reason(tmp_path: Path) -> None:
    with (tmp_path / "big.txt").open("wb") as stream:
        stream.truncate(21 * 2**20)
    assert walk(tmp_path, Rules(tmp_path)).problems == [("big.txt", "it is bigger than 20 MiB")]
