"""Recordings in watched folders: cited by time, kept part by part, heard once, behind everything else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from knowledge_fakes import Household, eventually

from localmind.errors import AudioUnreadable, ModelNotInstalled, NoRoom
from localmind.knowledge.citations import for_prompt
from localmind.knowledge.recordings import load, timed
from localmind.speech import SAMPLE_RATE, Part

PART_S = 600
TALK = (
    (1.2, "Welcome to the meeting of the gardeners."),
    (751.4, "The telescope of uncle Bartholomew weighs fourteen kilograms."),
    (1460.0, "Goodbye."),
)


class FakeListener:
    """Hears TALK in every file, ten minutes at a time."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.problems: list[Exception] = []
        self.missing = ""

    def deaf(self) -> str:
        return self.missing

    async def part(self, path: Path, start: int, language: str | None = None) -> Part:
        self.heard.append((path.name, start // SAMPLE_RATE))
        if self.problems and start:
            raise self.problems.pop()
        begin = start // SAMPLE_RATE
        if begin >= 1500:
            return Part((), start, 1500.0, "en", done=True)
        end = min(begin + PART_S, 1500)
        said = tuple((at, text) for at, text in TALK if begin <= at < end)
        return Part(said, end * SAMPLE_RATE, 1500.0, "en")


@pytest_asyncio.fixture
async def listened(tmp_path: Path) -> AsyncIterator[tuple[Household, FakeListener]]:
    house, listener = Household(tmp_path), FakeListener()
    house.knowledge.listen_with(listener)
    await house.knowledge.start()
    await house.knowledge.add_folder(house.folder)
    await house.knowledge.wait_indexed()
    yield house, listener
    await house.knowledge.close()


def record(house: Household, relpath: str = "talk.mp3", data: bytes = b"ID3 sound") -> Path:
    path = house.folder / relpath
    path.write_bytes(data)
    return path


async def test_what_is_said_in_a_recording_is_found_and_cited_by_time(
    listened: tuple[Household, FakeListener],
) -> None:
    house, listener = listened
    path = record(house)
    await house.until("telescope of Bartholomew", ["talk.mp3"])
    passage = (await house.knowledge.search("telescope of Bartholomew"))[0]
    assert passage.place == f"{path} at 12:31"
    assert "\n\n" not in passage.text
    assert "talk.mp3, at 12:31\n" in for_prompt([passage])
    assert [start for _, start in listener.heard] == [0, 600, 1200, 1500]
    assert (await house.knowledge.why(path)).startswith("indexed, ")


async def test_a_copy_and_a_rename_are_not_heard_again_and_a_deleted_one_leaves_no_transcript(
    listened: tuple[Household, FakeListener],
) -> None:
    house, listener = listened
    path = record(house)
    await house.until("telescope of Bartholomew", ["talk.mp3"])
    record(house, "copy.wav")
    await house.until("telescope of Bartholomew", ["copy.wav", "talk.mp3"])
    path.rename(house.folder / "moved.mp3")
    await house.until("telescope of Bartholomew", ["copy.wav", "moved.mp3"])
    assert len(listener.heard) == 4
    assert await transcripts(house) == 1
    (house.folder / "copy.wav").unlink()
    (house.folder / "moved.mp3").unlink()
    await house.until("telescope of Bartholomew", [])
    await house.knowledge.wait_indexed()
    assert await transcripts(house) == 0


def heard_twice(listener: FakeListener) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return len(listener.heard) == 2

    return reached


async def test_after_a_restart_hearing_goes_on_where_it_was(listened: tuple[Household, FakeListener]) -> None:
    house, listener = listened
    listener.problems = [NoRoom("no room for the model")]
    record(house)
    await eventually(heard_twice(listener))
    assert "being heard: 10:00 of 25:00" in await house.knowledge.why(house.folder / "talk.mp3")
    await house.knowledge.close()
    house.knowledge = house.fresh()
    house.knowledge.listen_with(listener)
    await house.knowledge.start()
    await house.until("telescope of Bartholomew", ["talk.mp3"])
    assert [start for _, start in listener.heard] == [0, 600, 600, 1200, 1500]


async def test_a_want_of_room_for_the_ear_stops_no_other_file(listened: tuple[Household, FakeListener]) -> None:
    house, listener = listened
    listener.problems = [NoRoom("no room for the model")]
    record(house)
    await eventually(heard_twice(listener))
    house.put("note.md", "The marmalade is in the cellar.\n")
    await house.until("marmalade cellar", ["note.md"])


async def test_without_a_model_the_reason_says_which_to_pull_and_its_arrival_is_enough(tmp_path: Path) -> None:
    house, listener = Household(tmp_path), FakeListener()
    listener.missing = "no speech model is on this machine yet: localmind models pull whisper:tiny.en"
    house.knowledge.listen_with(listener)
    await house.knowledge.start()
    path = record(house)
    await house.knowledge.add_folder(house.folder)
    await house.knowledge.wait_indexed()
    assert "localmind models pull whisper:tiny.en" in await house.knowledge.why(path)
    assert listener.heard == []
    listener.missing = ""
    house.knowledge.look_for_listener()
    await house.until("telescope of Bartholomew", ["talk.mp3"])
    await house.knowledge.close()


@pytest.mark.parametrize(
    ("problem", "reason"),
    [(AudioUnreadable("talk.mp3 is damaged"), "talk.mp3 is damaged"), (ModelNotInstalled("it is gone"), "knowledge")],
)
async def test_what_cannot_be_heard_is_stored_with_its_reason(
    listened: tuple[Household, FakeListener], problem: Exception, reason: str
) -> None:
    house, listener = listened
    listener.problems = [problem]
    if isinstance(problem, ModelNotInstalled):
        listener.missing = "knowledge has no ear"
    path = record(house)

    async def tried() -> bool:
        return bool(listener.heard) and not listener.problems

    await eventually(tried)
    await house.knowledge.wait_indexed()
    assert reason in await house.knowledge.why(path)


async def transcripts(house: Household) -> int:
    def count(index: object) -> int:
        return int(index.db.execute("SELECT count(*) FROM transcript").fetchone()[0])  # type: ignore[attr-defined]

    return await house.knowledge._database.run(count)


async def test_nothing_is_known_of_bytes_that_were_never_heard(listened: tuple[Household, FakeListener]) -> None:
    house, _ = listened
    heard = await house.knowledge._database.run(load, b"never")
    assert (heard.said, heard.until, heard.done) == ((), 0, False)


@given(st.lists(st.tuples(st.floats(0, 2_000), st.text(st.characters(codec="utf-8")))))
def test_every_word_is_on_the_line_of_its_second(said: list[tuple[float, str]]) -> None:
    lines = timed(said).split("\n")
    for at, text in said:
        assert " ".join(text.split()) in lines[int(at)]
