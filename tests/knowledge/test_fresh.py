"""A file that is saved twice within one tick of its clock: the second save leaves no trace but its text."""

import os
from pathlib import Path

import pytest
from knowledge_fakes import Household

from localmind.knowledge.extract_child import extract_file, is_fresh

SECOND = 1_000_000_000
SAVED = 1_790_000_000 * SECOND
"""A whole second, as FAT and some network disks store times; one nanosecond later it is a fine clock's."""


@pytest.mark.parametrize(
    ("mtime_ns", "read_after_ns", "fresh"),
    [
        (SAVED + 1, 0, True),
        (SAVED + 1, SECOND // 100, True),
        (SAVED + 1, SECOND // 50, False),
        (SAVED + 1, -SECOND // 100, True),
        (SAVED + 1, -SECOND, False),
        (SAVED, 2 * SECOND, True),
        (SAVED, -2 * SECOND, True),
        (SAVED, 4 * SECOND, False),
        (0, SAVED, False),
    ],
)
def test_fresh_is_what_another_save_could_leave_with_the_same_time(
    mtime_ns: int, read_after_ns: int, fresh: bool
) -> None:
    assert is_fresh(mtime_ns, mtime_ns + read_after_ns) is fresh


def test_a_file_is_judged_by_when_it_was_read_and_not_by_when_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "note.md"
    note.write_text("The gate code is 1111.\n")
    os.utime(note, ns=(SAVED + 1, SAVED + 1))
    monkeypatch.setattr("time.time_ns", lambda: SAVED + 2)
    request = {"path": str(note), "kind": "markdown"}
    assert extract_file(request)["fresh"] is True
    monkeypatch.setattr("time.time_ns", lambda: SAVED + SECOND)
    assert extract_file(request)["fresh"] is False


async def test_a_save_that_left_the_same_time_size_and_inode_is_seen_by_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = Household(tmp_path)
    note = house.put("note.md", "The gate code is 1111.\n")
    os.utime(note, ns=(SAVED + 1, SAVED + 1))
    with monkeypatch.context() as still:
        still.setattr("localmind.knowledge.extract_child.time.time_ns", lambda: SAVED + 2)
        await house.knowledge.start()
        await house.knowledge.add_folder(house.folder)
        await house.knowledge.wait_indexed()
        await house.knowledge.close()
    with note.open("r+") as stream:
        stream.write("The gate code is 2222.\n")
    os.utime(note, ns=(SAVED + 1, SAVED + 1))
    await house.fresh().start()
    await house.knowledge.wait_indexed()
    [[(_, _, text)]] = (await house.contents()).values()
    assert text == "The gate code is 2222.\n"
    # By now it is old, so it is not read a third time.
    house.extract.calls.clear()
    await house.knowledge.add_folder(house.folder)
    await house.knowledge.wait_indexed()
    assert house.extract.calls == []
    await house.knowledge.close()
