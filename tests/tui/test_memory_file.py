"""The file that drafts are kept in, where it cannot be had or makes no sense: nothing in it is lost, and it is told."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from tui_driver import Start, stored

from localmind_tui.remembered import Remembered
from localmind_tui.state import Memory

STORED = Remembered(
    drafts={"t": "a long thought", "u": "another", "": "not sent yet"},
    pastes={"t": ("many lines",)},
    history=["earlier"],
    theme="nord",
)


@pytest.fixture(params=["link", "directory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The system refuses to read it, also for root."""
    path = tmp_path / "tui.json"
    if request.param == "link":
        path.symlink_to(path)
    else:
        path.mkdir()
    return path


def come_back(path: Path) -> None:
    whole = path.with_suffix(".whole")
    whole.write_bytes(msgspec.json.encode(STORED))
    if path.is_dir():
        path.rmdir()
    whole.replace(path)


def test_a_file_that_cannot_be_had_stays_as_it_is_and_is_told_once(path: Path) -> None:
    kind = path.lstat().st_mode
    memory = Memory(path)
    assert memory.now == Remembered()
    asyncio.run(memory.take_up())
    memory.draft("t", "typed here")
    for _ in range(2):
        memory.save()
    assert path.lstat().st_mode == kind
    assert not path.with_suffix(".broken").exists()
    first, second = memory.told()
    assert first.startswith(f"Drafts and earlier questions are not here: cannot read {path}: ")
    assert second.startswith(f"What you type is not kept: cannot read {path}: ")
    assert memory.told() == []


def test_when_it_can_be_had_all_that_stood_in_it_and_all_that_was_typed_is_there(path: Path) -> None:
    memory = Memory(path)
    memory.draft("t", "typed here")
    memory.draft("", "typed there")
    memory.asked("first")
    memory.save()
    come_back(path)
    memory.save()
    found = stored(path)
    assert (found.history, found.theme) == (["earlier", "first"], "nord")
    assert found.drafts.pop("t") == "typed here"
    assert found.drafts.pop("u") == "another"
    assert sorted(found.drafts.values()) == ["a long thought", "not sent yet", "typed there"]
    assert memory.now.drafts == {"t": "typed here", "u": "another", "": "typed there"}
    assert memory.now.history == ["earlier", "first"]
    memory.draft("t", "typed here, and more")
    memory.save()
    assert sorted(stored(path).drafts.values()) == sorted([*found.drafts.values(), "another", "typed here, and more"])
    windows = [Memory(path) for _ in range(3)]
    for each in windows:
        asyncio.run(each.take_up())
    assert [each.now.drafts.get("") for each in windows] == ["a long thought", "not sent yet", None]
    assert windows[0].now.pastes[""] == ("many lines",)


def test_one_that_can_be_had_again_before_anything_is_typed_shows_what_was_not_sent(path: Path) -> None:
    memory = Memory(path)
    come_back(path)
    asyncio.run(memory.take_up())
    assert memory.now.drafts == {"": "not sent yet"}
    memory.draft("", "not sent yet, but now")
    memory.save()
    assert stored(path).drafts == STORED.drafts | {"": "not sent yet, but now"}


def test_trouble_that_ended_and_comes_again_is_told_again(path: Path) -> None:
    memory = Memory(path)
    come_back(path)
    memory.draft("v", "words")
    memory.save()
    assert stored(path).drafts["v"] == "words"
    memory.told()
    path.unlink()
    path.mkdir()
    memory.draft("v", "more words")
    memory.save()
    assert len(memory.told()) == 1


async def test_the_app_opens_on_one_that_cannot_be_had_and_says_so(start: Start, path: Path) -> None:
    async with start(memory=path) as driver:
        await driver.until(lambda: "earlier questions are not here" in driver.notices)
        memory, chat = driver.app.desk.memory, driver.chat
        driver.type("half a thought")
        await driver.until(lambda: memory.now.drafts and chat._draft_timer is None and not memory._turn.locked())
        await driver.until(lambda: "What you type is not kept" in driver.notices)
        come_back(path)
        driver.type(" and more")
        await driver.until(lambda: path.is_file() and "half a thought and more" in stored(path).drafts.values())
        assert stored(path).drafts | STORED.drafts == stored(path).drafts


async def test_one_that_makes_no_sense_is_kept_beside_and_told(start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "tui.json"
    broken.write_text('{"drafts": 7}')
    async with start(memory=broken) as driver:
        await driver.until(lambda: "made no sense and was begun anew" in driver.notices)
    assert (tmp_path / "tui.broken").read_text() == '{"drafts": 7}'
