"""Saved chats as a source: found and cited when asked for, followed, forgotten with the thread, gone when unwanted."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from knowledge_fakes import Household, eventually

from localmind.assistant.saved_chats import SavedChats
from localmind.errors import FolderNotFound
from localmind.store.threads import Threads

QUESTION = "Where shall we keep the canoe in winter?"


@pytest.fixture
async def chats(house: Household, tmp_path: Path) -> AsyncIterator[SavedChats]:
    threads = Threads(tmp_path / "threads.db")
    saved = SavedChats(threads, house.knowledge, tmp_path / "data-chats")
    yield saved
    await saved.close()
    threads.close()


def said(threads: Threads, question: str, answer: str) -> str:
    """A thread with one answered question; its id."""
    thread = threads.create()
    turn = threads.ask(thread.id, question)
    message = threads.begin(turn.id, model="m")
    threads.extend(message, answer)
    threads.finish(message)
    return thread.id


async def test_a_chat_is_found_only_after_it_was_asked_for_and_is_cited_by_its_line(
    chats: SavedChats, house: Household
) -> None:
    number = said(chats._threads, QUESTION, "Upside down in the boathouse, on two trestles.")
    await house.knowledge.wait_indexed()
    assert not chats.directory.exists()
    assert not any(number in path for path in await house.found("canoe boathouse"))
    await chats.add()
    await house.knowledge.wait_indexed()
    [passage, *_] = await house.knowledge.search("Where do we keep the canoe?")
    assert Path(passage.path) == chats.directory / f"{number}.md"
    lines = Path(passage.path).read_text().splitlines()[passage.line_start - 1 : passage.line_end]
    assert any("boathouse" in line for line in lines)


async def test_what_is_said_later_is_followed_and_a_deleted_chat_is_forgotten(
    chats: SavedChats, house: Household
) -> None:
    await chats.add()
    number = said(chats._threads, QUESTION, "Upside down in the boathouse, on two trestles.")

    async def told() -> bool:
        return any(each.path.endswith(f"{number}.md") for each in await house.knowledge.search("canoe boathouse"))

    async def untold() -> bool:
        return not await told() and not (chats.directory / f"{number}.md").exists()

    await eventually(told)
    chats._threads.delete(number)
    await eventually(untold)
    await house.knowledge.purge()
    kept = [path for path in (house.base / "state").rglob("*") if path.is_file() and b"trestles" in path.read_bytes()]
    assert kept == []


async def test_an_answer_that_is_still_written_is_left_out_until_it_is_there(chats: SavedChats) -> None:
    thread = chats._threads.create()
    turn = chats._threads.ask(thread.id, QUESTION)
    message = chats._threads.begin(turn.id, model="m")
    chats._threads.extend(message, "Upside ")
    chats.write()
    assert "canoe in winter" not in (chats.directory / f"{thread.id}.md").read_text().partition("\n")[2]
    chats._threads.extend(message, "down.")
    chats._threads.finish(message)
    chats.write()
    assert "Upside down." in (chats.directory / f"{thread.id}.md").read_text()


async def test_chats_that_are_not_wanted_any_more_leave_the_index_and_no_copies(
    chats: SavedChats, house: Household
) -> None:
    said(chats._threads, QUESTION, "Upside down in the boathouse.")
    with pytest.raises(FolderNotFound):
        await chats.remove()
    await chats.add()
    await house.knowledge.wait_indexed()
    await chats.remove()
    assert not chats.directory.exists()
    assert len(await house.knowledge.folders()) == 1


async def test_after_a_restart_chats_are_followed_where_they_were_wanted(chats: SavedChats, house: Household) -> None:
    await chats.start()
    assert not chats.directory.exists()
    await chats.add()
    await chats.close()
    number = said(chats._threads, QUESTION, "In the boathouse.")
    await chats.start()
    assert (chats.directory / f"{number}.md").is_file()
    (chats.directory / "half").write_text("left by a crash")
    chats.write()
    assert [path.name for path in chats.directory.iterdir()] == [f"{number}.md"]
