"""Prefixes on disk: found again, private, within their budget, and dropped when they are not what was written."""

import os
import queue
import shutil
from array import array
from collections import namedtuple
from collections.abc import Hashable
from pathlib import Path

import numpy
import pytest
from engine_fakes import WAIT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.engine.shelf import DISK_MARGIN, SUFFIX, Shelf

BUDGET = 1 << 20


def tokens(length: int, first: int = 7) -> "array[int]":
    return array("i", [first, *range(length - 1)])


def state(size: int, seed: int = 0) -> "numpy.ndarray":
    return numpy.random.default_rng(seed).integers(0, 256, size, dtype=numpy.uint8)


class Waiting:
    """A shelf whose answers can be waited for."""

    def __init__(self, directory: Path, max_bytes: int = BUDGET) -> None:
        self.shelf = Shelf(directory, max_bytes=max_bytes)
        self.directory = directory

    def store(self, tokens: "array[int]", state: object, group: Hashable = ()) -> str:
        answer: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.shelf.store(tokens, state, answer.put, group)
        return answer.get(timeout=WAIT)

    def load(self, name: str) -> tuple:
        answer: queue.SimpleQueue[tuple] = queue.SimpleQueue()
        self.shelf.load(name, lambda *found: answer.put(found))
        return answer.get(timeout=WAIT)

    def find(self, tokens: "array[int]", group: Hashable = ()) -> tuple[str, int]:
        """After the index was read."""
        self.load("none")
        return self.shelf.find(tokens, group)

    def files(self) -> list[Path]:
        return sorted(self.directory.iterdir())

    def restart(self) -> "Waiting":
        self.shelf.close(WAIT)
        return Waiting(self.directory)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "model"


def test_what_was_stored_is_found_and_read_after_a_restart(place):
    shelf = Waiting(place)
    name = shelf.store(tokens(300), state(5000))
    assert shelf.find(tokens(300)) == (name, 300)
    shelf = shelf.restart()
    assert shelf.find(array("i", [*tokens(250), 999])) == (name, 250)
    found, data = shelf.load(name)
    assert found == tokens(300)
    assert numpy.array_equal(data, state(5000))


def test_the_nearest_of_several_is_found_and_nothing_for_a_stranger(place):
    shelf = Waiting(place)
    names = [shelf.store(tokens(100, first), state(50, first)) for first in (1, 2, 3)]
    assert len(set(names)) == 3
    assert shelf.find(tokens(60, 2)) == (names[1], 60)
    assert shelf.find(tokens(60, 9))[1] == 0
    assert shelf.find(array("i"))[1] == 0


def test_a_state_that_adapters_had_a_part_in_is_found_by_the_same_set_alone(place):
    shelf = Waiting(place)
    tone = (("ab12", 1.0),)
    others = [(), (("ab12", 0.5),), (("ab12", 1.0 + 2**-52),), (("ab13", 1.0),), (("ab12", 1.0), ("cd34", 1.0))]
    names = {shelf.store(tokens(300), state(100, seed), group) for seed, group in enumerate([tone, *others])}
    assert len(names) == 6
    shelf = shelf.restart()
    for seed, group in enumerate([tone, *others]):
        name, length = shelf.find(tokens(400), group)
        assert length == 300
        numpy.testing.assert_array_equal(shelf.load(name)[1], state(100, seed))
    assert shelf.find(tokens(400), (("ef56", 1.0),)) == ("", 0)
    shelf.store(tokens(350), state(100), tone)
    assert shelf.find(tokens(400))[1] == 300, "the longer one of another set replaces nothing"
    shelf.shelf.close(WAIT)


def test_nobody_else_may_read_what_was_prompted(place):
    shelf = Waiting(place)
    shelf.store(tokens(300), state(5000))
    (file,) = shelf.files()
    assert file.stat().st_mode & 0o777 == 0o600
    assert place.stat().st_mode & 0o777 == 0o700


def test_a_longer_prefix_replaces_the_shorter_one_and_the_same_is_written_once(place):
    shelf = Waiting(place)
    first = shelf.store(tokens(300), state(500))
    assert shelf.store(tokens(300), state(500)) == first
    written = shelf.files()
    longer = shelf.store(tokens(400), state(700))
    assert longer != first
    assert [file.stem for file in written] == [first]
    assert [file.stem for file in shelf.files()] == [longer]
    assert shelf.find(tokens(300)) == (longer, 300)
    assert shelf.restart().find(tokens(300)) == (longer, 300)


def damaged(data: bytes, how: str) -> bytes:
    match how:
        case "empty":
            return b""
        case "cut":
            return data[:-1]
        case "longer":
            return data + b"x"
        case "foreign":
            return b"SQLite format 3\0" + data
        case "header":
            return data[:6] + b"\xff\xff\xff\xff" + data[10:]
        case "negative":
            return data[:6] + (16).to_bytes(4, "little") + b"\x93\xd3" + b"\xff" * 8 + b"\x00\x00" + b"x" * 100
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["empty", "cut", "longer", "foreign", "header", "negative"])
def test_a_file_that_is_not_whole_is_deleted_and_the_others_stay(place, how):
    shelf = Waiting(place)
    good, bad = shelf.store(tokens(100, 1), state(50)), shelf.store(tokens(100, 2), state(50))
    shelf.shelf.close(WAIT)
    file = place / f"{bad}{SUFFIX}"
    file.write_bytes(damaged(file.read_bytes(), how))
    shelf = Waiting(place)
    assert shelf.find(tokens(100, 2))[1] == 0
    assert shelf.find(tokens(100, 1)) == (good, 100)
    assert [each.stem for each in shelf.files()] == [good]


@pytest.mark.parametrize("place_of_damage", [-1, 100], ids=["state", "tokens"])
def test_one_flipped_bit_is_noticed_when_it_is_read(place, place_of_damage):
    shelf = Waiting(place)
    name = shelf.store(tokens(300), state(5000))
    (file,) = shelf.files()
    data = bytearray(file.read_bytes())
    data[place_of_damage] ^= 1
    file.write_bytes(data)
    assert shelf.load(name) == (array("i"), None)
    assert shelf.files() == []
    assert shelf.find(tokens(300)) == ("", 0)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=80).map(lambda rest: b"LMKV1\n\x04\0\0\0" + rest)))
def test_no_file_of_any_content_stops_the_shelf(place, content):
    place.mkdir(parents=True, exist_ok=True)
    (place / f"hostile{SUFFIX}").write_bytes(content)
    shelf = Waiting(place)
    name = shelf.store(tokens(100), state(50))
    assert shelf.find(tokens(100)) == (name, 100)
    shelf.load("hostile")
    shelf.shelf.close(WAIT)


def test_a_file_that_vanished_is_forgotten(place):
    shelf = Waiting(place)
    name = shelf.store(tokens(300), state(500))
    shelf.files()[0].unlink()
    assert shelf.load(name) == (array("i"), None)
    assert shelf.find(tokens(300)) == ("", 0)
    assert shelf.store(tokens(300), state(500)) == name


def test_half_files_of_a_killed_process_are_removed_and_never_found(place):
    shelf = Waiting(place)
    name = shelf.store(tokens(300), state(500))
    shelf.shelf.close(WAIT)
    whole = (place / f"{name}{SUFFIX}").read_bytes()
    (place / f".{name}{SUFFIX}.abc.tmp").write_bytes(whole[:200])
    (place / ".strange").mkdir()
    shelf = Waiting(place)
    assert shelf.find(tokens(300)) == (name, 300)
    assert [file.name for file in shelf.files() if file.is_file()] == [f"{name}{SUFFIX}"]


def test_the_least_recently_used_make_room_also_in_directories_of_other_models(place):
    other = Waiting(place.parent / "other")
    old = other.store(tokens(100, 1), state(300_000))
    shelf = Waiting(place)
    first, second = (shelf.store(tokens(100, number), state(300_000)) for number in (2, 3))
    age(other.directory / f"{old}{SUFFIX}", 300)
    age(place / f"{first}{SUFFIX}", 200)
    age(place / f"{second}{SUFFIX}", 100)
    third = shelf.store(tokens(100, 4), state(300_000))
    assert other.files() == []
    assert {file.stem for file in shelf.files()} == {first, second, third}
    shelf.load(first)  # reading counts as use
    fourth = shelf.store(tokens(100, 5), state(300_000))
    assert {file.stem for file in shelf.files()} == {first, third, fourth}
    assert shelf.find(tokens(100, 3))[1] == 0
    assert sum(file.stat().st_size for file in shelf.files()) <= BUDGET


def age(file: Path, seconds: float) -> None:
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))


def test_a_state_larger_than_the_budget_is_not_written_and_drives_nothing_out(place):
    shelf = Waiting(place)
    name = shelf.store(tokens(100), state(500))
    assert shelf.store(tokens(100, 2), state(BUDGET)) == ""
    assert [file.stem for file in shelf.files()] == [name]


def test_the_last_of_the_disk_is_left_to_others(place, monkeypatch):
    usage = namedtuple("usage", "total used free")
    shelf = Waiting(place)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1 << 40, 1 << 40, DISK_MARGIN + 100))
    assert shelf.store(tokens(100), state(500)) == ""
    assert shelf.files() == []


def test_a_directory_that_takes_no_files_costs_no_answer(place):
    shelf = Waiting(place)
    shutil.rmtree(place)
    assert shelf.store(tokens(100), state(500)) == ""
    assert shelf.find(tokens(100)) == ("", 0)


def test_a_state_too_large_for_memory_is_answered_like_one_that_is_gone(place, monkeypatch):
    shelf = Waiting(place)
    name = shelf.store(tokens(100), state(500))

    def no_memory(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(numpy, "empty", no_memory)
    assert shelf.load(name) == (array("i"), None)


@pytest.mark.parametrize("removed", [False, True])
def test_a_cleared_shelf_keeps_nothing_from_before_and_goes_on_keeping(place, removed):
    shelf = Waiting(place)
    shelf.store(tokens(100), state(500))
    if removed:
        shutil.rmtree(place)
    done: queue.SimpleQueue[str] = queue.SimpleQueue()
    shelf.shelf.store(tokens(90, first=8), state(500), done.put)
    shelf.shelf.clear(lambda: done.put("cleared"))
    done.get(timeout=WAIT)
    assert done.get(timeout=WAIT) == "cleared"
    assert shelf.files() == []
    assert shelf.find(tokens(100)) == shelf.find(tokens(90, first=8)) == ("", 0)
    name = shelf.store(tokens(100), state(500))
    assert shelf.find(tokens(100)) == (name, 100)
    assert len(shelf.files()) == 1
