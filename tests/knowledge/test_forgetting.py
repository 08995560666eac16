"""After a deletion neither words nor vectors are left in any of our files: looked for in the bytes."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from knowledge_fakes import Household, eventually, toy_vector

from localmind.knowledge import traces
from localmind.knowledge.index import Index
from localmind.knowledge.purge import QUIET_S, SPARING, Moment, due
from localmind.knowledge.traces import Traces
from localmind.workers.supervisor import Supervisor, launcher

SECRETS = [f"Zanzibarquux {number}x keeps the violet ocelot in drawer {number * 37}qz." for number in range(20)]
WORDS = (b"zanzibarquux", b"ocelot", b"qz.")


def left(state: Path) -> list[str]:
    """Files that hold words of a secret, or its vector."""
    vectors = [toy_vector(text).astype("<f4").tobytes()[:64] for text in SECRETS]
    return [path.name for path in state.rglob("*") if path.is_file() and _tells(path, vectors)]


def _tells(path: Path, vectors: list[bytes]) -> bool:
    data = path.read_bytes()
    small = data.lower()
    return any(word in small for word in WORDS) or any(vector in data for vector in vectors)


def pids(house: Household) -> list[int]:
    """Of the worker with Chroma, while there is one."""
    assert isinstance(house.vectors, Supervisor)
    return [house.vectors.pid] if house.vectors.pid is not None else []


@pytest.fixture
async def secretive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Household]:
    """A household on a real worker with Chroma, which holds 20 secrets among other files.

    All its threads share one heap: what one of them freed is what the next one is given.
    """
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    house = Household(tmp_path)
    worker = Supervisor("vectors", launcher("vectors", "vectors"), lifted_after_s=1.0)
    house.vectors = worker  # type: ignore[assignment]  # in place of the fake
    for number in range(40):
        house.put(f"{number}.md", f"File {number} speaks of {'plums and quinces ' * (number % 7)}\n")
    for number, text in enumerate(SECRETS):
        house.put(f"secret{number}.md", text + "\n")
    house.an_hour_ago()
    await house.fresh().start()
    await house.knowledge.add_folder(house.folder)
    await house.knowledge.wait_indexed()
    yield house
    await house.knowledge.close()
    await worker.stop()


async def test_deleted_files_leave_nothing_by_themselves(secretive: Household) -> None:
    house, state = secretive, secretive.base / "state"
    (state / "knowledge.db.backup-0001").write_text(SECRETS[3])
    assert len(left(state)) > 1
    for path in house.folder.glob("secret*.md"):
        path.unlink()

    async def forgotten() -> bool:
        return not (await house.knowledge.indexing()).to_forget and not left(state)

    await eventually(forgotten)
    await house.knowledge.wait_indexed()
    assert await house.found("plums and quinces") != []
    assert left(state) == []


async def test_an_edit_that_removes_a_sentence_is_forgotten_by_a_purge(secretive: Household) -> None:
    house, state = secretive, secretive.base / "state"
    house.knowledge._searched_at = math.inf  # somebody is always there: nothing is removed without being asked for
    for number in range(20):
        house.put(f"secret{number}.md", f"Nothing to be seen in number {number}.\n")

    async def replaced() -> bool:
        return not any("ocelot" in text for chunks in (await house.contents()).values() for _, _, text in chunks)

    await eventually(replaced)
    await house.knowledge.wait_indexed()
    [knew] = pids(house)
    done = await house.knowledge.purge()
    assert done.text
    assert done.vectors
    assert left(state) == []
    await house.knowledge.wait_indexed()
    assert left(state) == [], "nor is it when the vectors are written anew"
    [knows] = pids(house)
    assert knows != knew, "Chroma writes memory that it never filled: only a process that never had them is sure"


async def test_a_removed_folder_leaves_nothing_at_once(secretive: Household) -> None:
    await secretive.knowledge.remove_folder(secretive.folder)
    assert left(secretive.base / "state") == []
    assert pids(secretive) == [], "and no process that had its vectors"


async def test_files_that_are_deleted_or_not_watched_are_told_from_those_that_are(secretive: Household) -> None:
    house = secretive
    names = [str(house.folder / name) for name in ("1.md", "never.md", "secret1.md")]
    paths = [(name, 10**9) for name in names]
    elsewhere = str(house.base / "elsewhere.md")
    assert await house.knowledge.unknown([*paths, (elsewhere, 10**9)]) == [elsewhere, names[1]]
    [secret] = await house.knowledge.search(SECRETS[1], limit=1)
    assert secret.path == names[2]
    renamed = house.folder / "renamed.md"
    (house.folder / "secret1.md").rename(renamed)

    async def followed() -> bool:
        return not await house.knowledge.unknown([(str(renamed), 10**9)])

    await eventually(followed)
    assert await house.knowledge.unknown([(names[2], secret.chunk_id)]) == [], "its text is still there"
    assert await house.knowledge.unknown([(names[2], 10**9)]) == [names[2]]
    renamed.unlink()

    async def noticed() -> bool:
        return await house.knowledge.unknown([(names[2], secret.chunk_id)]) == [names[2]]

    await eventually(noticed)
    house.folder.rename(house.base / "unplugged")

    async def offline() -> bool:
        return (await house.knowledge.folders())[0].state == "offline"

    await eventually(offline)
    assert await house.knowledge.unknown(paths) == names[1:], "what is not there at the moment is not gone"
    (house.base / "unplugged").rename(house.folder)
    await house.knowledge.remove_folder(house.folder)
    assert await house.knowledge.unknown(paths) == names


def test_a_deletion_during_a_removal_makes_a_mark_of_its_own(tmp_path: Path) -> None:
    index = Index(tmp_path / "knowledge.db")
    assert not traces.traces(index)
    index.set_meta("traces_of_text", "5")
    traces.begin_removal(index, "text")
    assert traces.traces(index).text is not None, "a removal that is broken off is still due"
    index.set_meta("traces_of_text", "9")
    traces.end_removal(index, "text")
    assert traces.traces(index) == Traces(9.0, None)
    index.close()


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (Moment(100, None, 5), (False, False)),
        (Moment(100, 99, 5), (False, False)),
        (Moment(100, 100 - QUIET_S, 5), (True, True)),
        (Moment(100, 50, 5, text_again_at=101), (False, True)),
        (Moment(100, 50, 5, vectors_again_at=100 + SPARING), (True, False)),
    ],
)
def test_traces_are_removed_in_quiet_moments_and_sparingly(moment: Moment, expected: tuple[bool, bool]) -> None:
    assert due(Traces(1.0, 1.0), moment) == expected
    assert due(Traces(None, None), moment) == (False, False)


async def test_searching_somebody_is_not_disturbed(secretive: Household) -> None:
    (secretive.folder / "secret1.md").unlink()
    await secretive.knowledge.search("plums")
    await asyncio.sleep(0)
    assert secretive.knowledge._busy()
