"""Files that go with a question: found by name or pattern, read as text, refused with what to do instead."""

import os
from pathlib import Path

import pytest

from localmind.attachments import LARGEST, MOST, expand, read_text
from localmind.errors import InvalidRequest, LocalmindError, NotFound


def test_patterns_are_expanded_in_order_and_each_file_comes_once(tmp_path: Path):
    for name in ("b.py", "a.py", "sub/c.py", "d.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    names = [path.name for path in expand([str(tmp_path / "b.py"), str(tmp_path / "*.py"), str(tmp_path / "**/*.py")])]
    assert names == ["b.py", "a.py", "c.py"]


def test_a_name_with_the_characters_of_a_pattern_is_that_file(tmp_path: Path):
    odd = tmp_path / "notes [2026].md"
    odd.write_text("odd")
    assert expand([str(odd)]) == [odd]
    assert read_text(odd) == "odd"


def test_what_does_not_exist_and_what_is_too_much_is_said(tmp_path: Path):
    with pytest.raises(NotFound, match=r"b\.md does not exist"):
        expand([str(tmp_path / "b.md")])
    with pytest.raises(NotFound, match="no file fits"):
        expand([str(tmp_path / "*.md")])
    for number in range(MOST + 1):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(InvalidRequest, match="too many"):
        expand([str(tmp_path / "*.txt")])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("photo.png", b"\x89PNG", "image, no text"),
        ("paper.pdf", b"%PDF", "folders add|read by the daemon"),
        ("program", b"\x7fELF\0\0", "not text"),
        ("big.log", b"x" * (LARGEST + 1), "larger than"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, name: str, data: bytes, words: str):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InvalidRequest, match=words) as refused:
        read_text(path)
    assert refused.value.hint


def test_a_folder_and_a_file_that_went_away_are_said(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="is a folder"):
        read_text(tmp_path)
    with pytest.raises(LocalmindError, match=os.strerror(2)):
        read_text(tmp_path / "gone.txt")


def test_the_same_bytes_are_the_same_text_in_a_file_and_in_a_watched_folder(tmp_path: Path):
    path = tmp_path / "old.txt"
    path.write_bytes("Grüße\r\naus Köln".encode("latin-1"))
    assert read_text(path) == "Grüße\naus Köln"
    path.write_bytes("Grüße".encode("utf-16"))
    assert read_text(path) == "Grüße"


def test_what_has_no_end_is_not_read_to_it():
    with pytest.raises(InvalidRequest, match="larger than"):
        read_text(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["a" * 5000, "~nobody-of-that-name/x", "[" * 300])
def test_what_can_be_no_name_of_a_file_does_not_exist(name: str):
    with pytest.raises(NotFound):
        expand([name])
