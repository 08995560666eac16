"""The thread store: what was typed is never lost, what was deleted is really gone."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.errors import ContextTooLong, InvalidRequest, NotFound, StoreTooNew
from localmind.events import Passage
from localmind.messages import Message, Timings, Usage
from localmind.store.connection import open_database
from localmind.store.threads import DRAFT_SECONDS, Threads
from localmind.store.threads_schema import MIGRATIONS
from localmind.store.transcript import TITLE_LENGTH, Attachment, messages_of, title_of

PASSAGE = Passage(
    number=1,
    path="/home/ines/boiler.md",
    line_start=6,
    line_end=10,
    page=None,
    heading="Service",
    text="The boiler was last serviced on 9 October 2026.",
    score=0.71,
    chunk_id=12,
)


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "threads.db"


@pytest.fixture
def threads(path: Path, clock: FakeClock) -> Iterator[Threads]:
    store = Threads(path, clock=clock, monotonic=clock)
    yield store
    store.close()


def on_disk(path: Path) -> list[tuple[str, str, str]]:
    """What another process would find now: role, state and content of every message."""
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT role, state, content FROM message ORDER BY id").fetchall()
    finally:
        db.close()


def test_a_question_is_on_the_disk_before_anything_is_generated(threads: Threads, path: Path) -> None:
    turn = threads.ask(threads.create().id, "When was the boiler serviced?")
    assert on_disk(path) == [("user", "done", "When was the boiler serviced?")]
    assert turn.number == 1
    assert turn.answer is None


def test_an_answer_keeps_its_text_model_costs_and_sources(threads: Threads) -> None:
    thread = threads.create(folder="/home/ines")
    answer = threads.begin(threads.ask(thread.id, "When?").id, model="smollm2:135m")
    threads.extend(answer, "On 9 October ")
    threads.extend(answer, "2026 [1].")
    usage = Usage(prompt_tokens=300, completion_tokens=9, cached_tokens=120)
    timings = Timings(queue_ms=1.0, prefill_ms=200.0, decode_ms=90.0)
    assert threads.finish(answer, "done", finish_reason="stop", usage=usage, timings=timings, sources=[PASSAGE])

    stored = threads.get(thread.id).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.state, stored.model) == ("On 9 October 2026 [1].", "done", "smollm2:135m")
    assert (stored.usage, stored.timings, stored.sources) == (usage, timings, (PASSAGE,))
    assert stored.finish_reason == "stop"


def test_a_stopped_answer_keeps_its_partial_text(threads: Threads) -> None:
    thread = threads.create()
    answer = threads.begin(threads.ask(thread.id, "Tell me all").id, model="m")
    threads.extend(answer, "Once upon")
    assert threads.finish(answer, "stopped", finish_reason="cancelled")
    stored = threads.get(thread.id).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.state) == ("Once upon", "stopped")


def test_a_failed_answer_keeps_the_error_with_its_class_and_hint(threads: Threads) -> None:
    thread = threads.create()
    answer = threads.begin(threads.ask(thread.id, "?").id, model="m")
    threads.finish(answer, "failed", error=ContextTooLong("5000 tokens, 4096 fit", hint="localmind models show m"))
    stored = threads.get(thread.id).turns[0].answer
    assert stored is not None
    assert isinstance(stored.error, ContextTooLong)
    assert stored.error.hint == "localmind models show m"


def test_only_the_first_end_of_an_answer_counts(threads: Threads) -> None:
    answer = threads.begin(threads.ask(threads.create().id, "?").id, model="m")
    assert threads.finish(answer, "stopped")
    assert not threads.finish(answer, "done")
    with pytest.raises(NotFound):
        threads.extend(answer, "too late")


def test_a_streaming_answer_reaches_the_disk_every_quarter_of_a_second(
    threads: Threads, path: Path, clock: FakeClock
) -> None:
    answer = threads.begin(threads.ask(threads.create().id, "?").id, model="m")
    threads.extend(answer, "one ")
    assert on_disk(path)[1] == ("assistant", "streaming", "")
    clock.now += DRAFT_SECONDS
    threads.extend(answer, "two ")
    threads.extend(answer, "three ")
    assert on_disk(path)[1] == ("assistant", "streaming", "one two ")


def test_reading_a_thread_shows_its_streaming_answer_to_the_last_word(threads: Threads) -> None:
    thread = threads.create()
    answer = threads.begin(threads.ask(thread.id, "?").id, model="m")
    threads.extend(answer, "half a sen")
    stored = threads.get(thread.id).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.state) == ("half a sen", "streaming")


def test_the_prompt_of_the_next_turn_has_the_newest_answers_and_no_empty_ones(threads: Threads) -> None:
    thread = threads.create()
    first = threads.ask(thread.id, "first")
    for text in ("bad answer", "better answer"):
        answer = threads.begin(first.id, model="m")
        threads.extend(answer, text)
        threads.finish(answer)
    threads.finish(threads.begin(threads.ask(thread.id, "second").id, model="m"), "failed")
    assert messages_of(threads.get(thread.id).turns) == [
        Message("user", "first"),
        Message("assistant", "better answer"),
        Message("user", "second"),
    ]


def test_threads_are_listed_by_last_use_and_titled_by_their_first_question(threads: Threads, clock: FakeClock) -> None:
    old, new = threads.create(), threads.create(title="Mine")
    clock.now += 1
    threads.ask(new.id, "ignored as a title")
    clock.now += 1
    threads.ask(old.id, "What is\nthis?")
    assert [(thread.id, thread.title, thread.turns) for thread in threads.recent()] == [
        (old.id, "What is", 1),
        (new.id, "Mine", 1),
    ]
    assert [thread.id for thread in threads.recent(limit=1, offset=1)] == [new.id]


def test_a_thread_is_found_by_the_beginning_of_its_id(threads: Threads) -> None:
    thread = threads.create()
    assert threads.find(thread.id[:7]).id == thread.id
    for missing in ("", "zzz", "%"):
        with pytest.raises(NotFound):
            threads.find(missing)
    ids = [thread.id, *(threads.create().id for _ in range(20))]  # 21 ids, 16 first digits: some share one
    shared = next(digit for digit in "0123456789abcdef" if sum(each.startswith(digit) for each in ids) > 1)
    with pytest.raises(InvalidRequest):
        threads.find(shared)


def test_unknown_threads_and_turns_are_errors_and_store_nothing(threads: Threads, path: Path) -> None:
    with pytest.raises(NotFound):
        threads.ask("nope", "hello")
    with pytest.raises(NotFound):
        threads.begin(99, model="m")
    with pytest.raises(NotFound):
        threads.get("nope")
    with pytest.raises(NotFound):
        threads.delete("nope")
    assert on_disk(path) == []


def test_a_deleted_thread_leaves_no_byte_of_itself_behind(threads: Threads, path: Path) -> None:
    kept, gone = threads.create(), threads.create()
    threads.ask(kept.id, "KEEP-THIS-SENTENCE")
    answer = threads.begin(threads.ask(gone.id, "SECRET-QUESTION").id, model="m")
    threads.extend(answer, "SECRET-ANSWER " * 1000)
    threads.finish(answer, sources=[PASSAGE])
    copy = path.with_name("threads.db.backup-0001")
    with database(copy) as target, database(path) as source:
        source.backup(target)
    target.close()
    source.close()

    threads.delete(gone.id)

    left = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert {"threads.db", "threads.db.backup-0001"} <= set(left)
    for name, data in left.items():
        assert b"SECRET" not in data, name
        assert b"9 October 2026" not in data, name
    assert b"KEEP-THIS-SENTENCE" in left["threads.db.backup-0001"]
    assert threads.get(kept.id).turns[0].question.content == "KEEP-THIS-SENTENCE"


def test_deleting_a_thread_ends_its_streaming_answer(threads: Threads) -> None:
    thread = threads.create()
    answer = threads.begin(threads.ask(thread.id, "?").id, model="m")
    threads.delete(thread.id)
    with pytest.raises(NotFound):
        threads.extend(answer, "more")
    assert not threads.finish(answer)


def test_a_question_that_does_not_say_goes_on_about_what_was_attached_before_it(threads: Threads) -> None:
    thread, file = threads.create(), [Attachment("/a.txt", "text of a")]
    modes = [
        threads.ask(thread.id, "searched").mode,
        threads.ask(thread.id, "with a file", attachments=file).about_attached,
        threads.ask(thread.id, "and on").mode,
        threads.ask(thread.id, "and on").mode,
        threads.ask(thread.id, "in the folders, then", mode="files").mode,
        threads.ask(thread.id, "and on").mode,
        threads.ask(thread.id, "alone, with a file", mode="chat", attachments=file).mode,
        threads.ask(thread.id, "in one folder", folder="/a").mode,
        threads.ask(thread.id, "of one kind", filters='{"kind": "pdf"}').mode,
    ]
    assert modes == ["files", True, "attached", "attached", "files", "files", "chat", "files", "files"]


def test_another_wording_goes_on_from_where_the_first_one_did(threads: Threads) -> None:
    thread = threads.create()
    threads.ask(thread.id, "with a file", attachments=[Attachment("/a.txt", "text of a")])
    second = threads.ask(thread.id, "and on")
    threads.ask(thread.id, "in the folders", mode="files")
    assert threads.ask(thread.id, "and on, in other words", beside=second.id).mode == "attached"


def test_a_database_of_a_newer_localmind_is_refused(path: Path) -> None:
    Threads(path).close()
    with database(path) as db:
        db.execute(f"PRAGMA user_version = {MIGRATIONS[-1].number + 1}")
    db.close()
    with pytest.raises(StoreTooNew):
        Threads(path)


def test_migrations_are_numbered_from_one_without_gaps(tmp_path: Path) -> None:
    assert [step.number for step in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    open_database(tmp_path / "new.db", MIGRATIONS).close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(question=st.text(st.characters(exclude_categories=())), pieces=st.lists(st.text(st.characters())))
def test_any_text_comes_back_as_it_went_in_but_for_lone_surrogates(
    threads: Threads, question: str, pieces: list[str]
) -> None:
    thread = threads.create()
    turn = threads.ask(thread.id, question)
    answer = threads.begin(turn.id, model="m")
    for piece in pieces:
        threads.extend(answer, piece)
    threads.finish(answer)
    stored = threads.get(thread.id).turns[0]
    assert stored.question.content == question.encode("utf-8", "replace").decode()
    assert stored.answer is not None
    assert stored.answer.content == "".join(pieces)


@given(question=st.text())
def test_a_title_is_one_short_line(question: str) -> None:
    title = title_of(question)
    assert len(title) <= TITLE_LENGTH
    assert "\n" not in title
