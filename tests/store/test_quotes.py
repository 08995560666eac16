"""Answers lose what they quote of files that are gone, and keep all else; nothing of it is left in the bytes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import database
from hypothesis import given
from hypothesis import strategies as st

from localmind.events import Passage
from localmind.store.quotes import FORGOTTEN, LEFT_OUT, _runs, without
from localmind.store.threads import Threads

SECRET = "The violet ocelot sleeps in drawer 37, behind the Zanzibar maps."
KEPT = "The plums are ripe in September."


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[Threads]:
    store = Threads(tmp_path / "threads.db")
    yield store
    store.close()


def passage(path: str, text: str, number: int = 1) -> Passage:
    return Passage(number, path, 3, 4, None, "Heading of " + text, text, 0.5, 1)


def said(threads: Threads, answer: str, *sources: Passage, reasoning: str = "") -> str:
    thread = threads.create()
    turn = threads.ask(thread.id, "Where does the ocelot sleep?")
    message = threads.begin(turn.id, model="m")
    threads.extend(message, answer, reasoning)
    threads.finish(message, sources=sources)
    return thread.id


def test_the_quotation_goes_and_its_place_stays(threads: Threads, tmp_path: Path) -> None:
    thread = said(
        threads,
        f"It is there: {SECRET.lower()} [1] But {KEPT} [2]",
        passage("/a/secret.md", SECRET),
        passage("/a/garden.md", KEPT, 2),
        reasoning=f"So {SECRET}",
    )
    assert sorted(threads.quoted()) == [("/a/garden.md", 1), ("/a/secret.md", 1)]
    assert threads.forget_quotes(["/a/secret.md"]) == 1
    answer = threads.get(thread).turns[0].answer
    assert answer is not None
    assert answer.content == f"It is there: {LEFT_OUT}. [1] But {KEPT} [2]"
    assert answer.reasoning == f"So {LEFT_OUT}."
    gone, kept = answer.sources
    assert (gone.path, gone.line_start, gone.text, gone.heading) == ("/a/secret.md", 3, FORGOTTEN, None)
    assert kept.text == KEPT
    assert threads.quoted() == [("/a/garden.md", 1)]
    assert threads.search("Zanzibar") == []
    assert len(threads.search("plums")) == 1
    threads.close()
    for file in tmp_path.rglob("*"):
        data = file.read_bytes().lower()
        assert b"zanzibar" not in data
        assert b"drawer" not in data


def test_a_copy_from_before_a_migration_forgets_too(threads: Threads, tmp_path: Path) -> None:
    said(threads, SECRET, passage("/a/secret.md", SECRET))
    copy = tmp_path / "threads.db.backup-0001"
    with database(copy) as target:
        threads._db.backup(target)
    target.close()
    assert b"Zanzibar" in copy.read_bytes()
    threads.forget_quotes(["/a/secret.md"])
    assert b"Zanzibar" not in copy.read_bytes()


def test_nothing_is_touched_when_nothing_is_gone(threads: Threads) -> None:
    thread = said(threads, SECRET, passage("/a/secret.md", SECRET))
    assert threads.forget_quotes([]) == 0
    assert threads.forget_quotes(["/a/other.md"]) == 0
    answer = threads.get(thread).turns[0].answer
    assert answer is not None
    assert answer.content == SECRET


words = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "锅炉", "42"]), max_size=25)


@given(words, words)
def test_no_run_of_five_words_of_a_passage_is_left_and_other_words_stay(passage: list[str], answer: list[str]) -> None:
    left = without(" ".join(answer), _runs([" ".join(passage)]))
    pieces = [piece.split() for piece in left.split(LEFT_OUT)]
    runs = {tuple(passage[at : at + 5]) for at in range(len(passage) - 4)}
    for piece in pieces:
        assert not any(tuple(piece[at : at + 5]) in runs for at in range(len(piece) - 4))
    if not runs and len(passage) >= 5:
        assert left == " ".join(answer)
    if not passage:
        assert left == " ".join(answer)
