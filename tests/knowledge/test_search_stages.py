"""Filters, what each stage found, reranking: searches of a whole index on toy workers."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from knowledge_fakes import Household

from localmind.errors import InvalidRequest, WorkerDied
from localmind.knowledge.index import Index
from localmind.knowledge.scope import Filters, _matcher, parse_date
from localmind.knowledge.search import Floor
from localmind.store.connection import transaction

NOTES = {
    "notes/may.md": "# May\n\nThe beekeepers met at the quarry in May.\n",
    "notes/old/june.md": "# June\n\nThe beekeepers met at the library in June.\n",
    "minutes.txt": "The beekeepers met again, and nobody took minutes.\n",
    "bees.py": "def beekeepers():\n    return 'met'\n",
}


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[Household]:
    house = Household(tmp_path, floor=Floor(answer=0.1, shown=0.02))
    for name, text in NOTES.items():
        path = house.put(name, text)
        year = 2024 if "old" in name else 2026
        os.utime(path, (parse_date(str(year)) + 86400,) * 2)
    await house.knowledge.start()
    await house.knowledge.add_folder(house.folder)
    await house.knowledge.wait_indexed()
    yield house
    await house.knowledge.close()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(glob="*.md"), ["notes/may.md", "notes/old/june.md"]),
        (Filters(glob="notes/*.md"), ["notes/may.md"]),
        (Filters(glob="notes/**"), ["notes/may.md", "notes/old/june.md"]),
        (Filters(glob="**/old/*"), ["notes/old/june.md"]),
        (Filters(kind="markdown"), ["notes/may.md", "notes/old/june.md"]),
        (Filters(kind="code"), ["bees.py"]),
        (Filters(kind=".txt"), ["minutes.txt"]),
        (Filters(after=parse_date("2025")), ["bees.py", "minutes.txt", "notes/may.md"]),
        (Filters(before=parse_date("2024", end=True)), ["notes/old/june.md"]),
        (Filters(glob="*.md", after=parse_date("2026")), ["notes/may.md"]),
        (Filters(glob="nothing*"), []),
    ],
)
async def test_filters_keep_what_they_name(notes: Household, filters: Filters, expected: list[str]) -> None:
    assert sorted(await notes.found("where did the beekeepers meet", filters=filters)) == expected


async def test_a_search_does_not_wait_for_what_is_being_stored(notes: Household) -> None:
    begun, stored = threading.Event(), threading.Event()

    def store_slowly(index: Index) -> None:
        with transaction(index.db):
            index.set_meta("slow", "yes")
            begun.set()
            stored.wait(240)

    writing = asyncio.create_task(notes.knowledge._database.run(store_slowly))
    try:
        assert await asyncio.to_thread(begun.wait, 60)
        async with asyncio.timeout(60):
            assert await notes.found("beekeepers at the quarry")
            assert await notes.found("beekeepers at the quarry", filters=Filters(glob="*.md"))
        assert not writing.done()
    finally:
        stored.set()
        await writing


async def test_a_type_that_nothing_has_is_refused_with_those_that_exist(notes: Household) -> None:
    with pytest.raises(InvalidRequest, match="no type 'spreadsheet'") as problem:
        await notes.found("beekeepers", filters=Filters(kind="spreadsheet"))
    assert "xlsx" in str(problem.value.hint)


@pytest.mark.parametrize(
    ("text", "end", "same"),
    [
        ("2026-02-28", True, "2026-03-01"),
        ("2026-12", True, "2027-01-01"),
        ("2026", True, "2027"),
        ("2026-5", False, "2026-05-01"),
    ],
)
def test_dates_may_be_days_months_or_years(text: str, end: bool, same: str) -> None:
    assert parse_date(text, end=end) == parse_date(same)
    for bad in ("yesterday", "2026-13", "26-01-01", "2026-02-30"):
        with pytest.raises(InvalidRequest, match="not a date"):
            parse_date(bad)


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.md", "a/b.md", True),
        ("*.MD", "a/b.md", True),
        ("a/*.md", "a/b/c.md", False),
        ("a/**/c.md", "a/b/c.md", True),
        ("a/**/c.md", "a/c.md", True),
        ("b?.t[xy]t", "x/b1.tyt", True),
        ("a.md", "abmd", False),
    ],
)
def test_globs_read_like_those_of_a_shell(glob: str, path: str, matches: bool) -> None:
    assert bool(_matcher(glob).match(path)) is matches


async def test_a_trace_names_what_every_stage_found(notes: Household) -> None:
    trace = await notes.knowledge.trace("Where did the beekeepers meet in June?", limit=1)
    assert len(trace.passages) == 1
    best = trace.passages[0].chunk_id
    assert all(best in stage for stage in (trace.keyword, trace.dense, trace.fused, trace.shown, trace.unranked))
    assert trace.evidence >= trace.floor
    assert set(trace.ms) == {"embed", "keyword", "dense", "rank", "read"}
    [chunk] = await notes.knowledge.chunks([best])
    assert chunk.path.endswith("june.md")


async def test_a_reranker_has_the_last_word_on_the_order_and_none_on_what_is_shown(notes: Household) -> None:
    asked: list[tuple[str, int]] = []

    async def prefer_june(query: str, texts: Sequence[str]) -> list[float]:
        asked.append((query, len(texts)))
        return [float("June" in text) for text in texts]

    question = "where did the beekeepers meet"
    before = await notes.found(question)
    notes.knowledge.use_reranker(prefer_june)
    after = await notes.found(question)
    assert after[0] == "notes/old/june.md"
    assert sorted(after) == sorted(before)
    assert asked == [(question, len(before))]
    numbers = [one.number for one in await notes.knowledge.search(question)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert await notes.knowledge.search("quarterly dividend of the mining company") == []


async def test_a_reranker_that_fails_costs_only_its_order(notes: Household) -> None:
    async def broken(query: str, texts: Sequence[str]) -> list[float]:
        raise WorkerDied("the reranker died")

    before = await notes.found("where did the beekeepers meet")
    notes.knowledge.use_reranker(broken)
    assert await notes.found("where did the beekeepers meet") == before
