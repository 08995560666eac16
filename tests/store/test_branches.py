"""Branches, windows and search: a thread is a tree, and every path through it is a conversation."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.errors import NotFound
from localmind.messages import Message
from localmind.store.connection import open_database
from localmind.store.threads import Threads
from localmind.store.threads_schema import MIGRATIONS
from localmind.store.transcript import Attachment, Options, messages_of


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[Threads]:
    store = Threads(tmp_path / "threads.db")
    yield store
    store.close()


def answer(threads: Threads, turn_id: int, text: str) -> int:
    message = threads.begin(turn_id, model="m")
    threads.extend(message, text)
    threads.finish(message)
    return message


def said(threads: Threads, thread_id: str) -> list[str]:
    return [message.content for message in messages_of(threads.get(thread_id).turns)]


def test_an_edited_question_begins_a_branch_and_the_old_one_can_be_gone_back_to(threads: Threads) -> None:
    thread = threads.create()
    first = threads.ask(thread.id, "one")
    answer(threads, first.id, "1")
    second = threads.ask(thread.id, "two")
    answer(threads, second.id, "2")
    edited = threads.ask(thread.id, "two, please", beside=second.id)
    answer(threads, edited.id, "2!")
    assert said(threads, thread.id) == ["one", "1", "two, please", "2!"]
    turn = threads.get(thread.id).turns[1]
    assert turn.questions == (second.question.id, edited.question.id)
    assert threads.choose(turn.questions[0]) == thread.id
    assert said(threads, thread.id) == ["one", "1", "two", "2"]
    threads.ask(thread.id, "three")
    assert said(threads, thread.id) == ["one", "1", "two", "2", "three"]


def test_an_answer_written_again_has_its_own_continuation(threads: Threads) -> None:
    thread = threads.create()
    first = threads.ask(thread.id, "one")
    bad = answer(threads, first.id, "bad")
    answer(threads, threads.ask(thread.id, "go on").id, "on from bad")
    good = answer(threads, first.id, "good")
    assert said(threads, thread.id) == ["one", "good"]
    assert threads.get(thread.id).turns[0].answers == (bad, good)
    threads.choose(bad)
    assert said(threads, thread.id) == ["one", "bad", "go on", "on from bad"]


def test_the_first_question_can_be_edited_too(threads: Threads) -> None:
    thread = threads.create()
    first = threads.ask(thread.id, "one")
    threads.ask(thread.id, "uno", beside=first.id)
    turn = threads.get(thread.id).turns[0]
    assert (turn.question.content, len(turn.questions)) == ("uno", 2)
    with pytest.raises(NotFound):
        threads.ask(threads.create().id, "elsewhere", beside=first.id)


def test_what_a_model_is_told_before_a_question_is_the_path_to_it(threads: Threads) -> None:
    thread = threads.create()
    answer(threads, threads.ask(thread.id, "one", attachments=[Attachment("/a.txt", "text of a")]).id, "1")
    second = threads.ask(thread.id, "two")
    assert threads.said_until(second, seeing=False) == [
        Message("user", "File /a.txt:\n\ntext of a\n\none"),
        Message("assistant", "1"),
        Message("user", "two"),
    ]
    assert threads.turn(second.question.id).answer is None


def test_reasoning_is_kept_apart_from_the_answer(threads: Threads) -> None:
    thread = threads.create()
    message = threads.begin(threads.ask(thread.id, "?").id, model="m")
    threads.extend(message, "", reasoning="hm ")
    threads.extend(message, "42", reasoning="so")
    assert threads.turn(message).answer is not None
    threads.finish(message)
    stored = threads.get(thread.id).turns[0].answer
    assert stored is not None
    assert (stored.reasoning, stored.content) == ("hm so", "42")


def test_a_window_is_the_end_of_the_path_or_wherever_it_is_asked_for(threads: Threads) -> None:
    thread = threads.create()
    turns = [threads.ask(thread.id, str(number)) for number in range(30)]

    def window(**wanted: int) -> tuple[list[str], int, int]:
        found = threads.get(thread.id, **wanted)
        return [turn.question.content for turn in found.turns], found.start, found.total

    assert window(limit=3) == (["27", "28", "29"], 27, 30)
    assert window(limit=2, start=5) == (["5", "6"], 5, 30)
    assert window(limit=3, around=turns[10].question.id) == (["9", "10", "11"], 9, 30)
    assert window(limit=3, around=turns[0].question.id) == (["0", "1", "2"], 0, 30)
    assert window(limit=99, start=29)[1:] == (0, 30)


def test_a_path_of_thousands_of_turns_can_be_walked_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    open_database(path, MIGRATIONS).close()
    with database(path) as db:
        db.execute("INSERT INTO thread VALUES ('t', 'long', NULL, 0, 0, 5000, NULL)")
        db.executemany(
            "INSERT INTO turn (id, thread_id, number, parent) VALUES (?, 't', ?, ?)",
            [(number, number, 2 * number - 2 or None) for number in range(1, 2501)],
        )
        db.executemany(
            "INSERT INTO message (id, turn_id, role, content, state, created_at) VALUES (?, ?, ?, ?, 'done', 0)",
            [(n, (n + 1) // 2, "user" if n % 2 else "assistant", f"message {n}") for n in range(1, 5001)],
        )
    db.close()
    threads = Threads(path)
    try:
        found = threads.get("t", limit=20)
        assert (found.total, found.start, found.turns[-1].answer is not None) == (2500, 2480, True)
        assert threads.choose(1) == "t"
        threads.delete_branch(3)
        assert said(threads, "t") == ["message 1", "message 2"]
        threads.delete("t")
        assert threads.recent() == []
    finally:
        threads.close()


def test_threads_of_the_first_schema_become_one_path(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    open_database(path, MIGRATIONS[:1]).close()
    with database(path) as db:
        db.execute("INSERT INTO thread VALUES ('t', 'old', NULL, 0, 0)")
        db.executemany("INSERT INTO turn VALUES (?, 't', ?)", [(1, 1), (2, 2)])
        db.executemany(
            "INSERT INTO message (turn_id, role, content, state, created_at) VALUES (?, ?, ?, 'done', 0)",
            [(1, "user", "one"), (1, "assistant", "bad"), (1, "assistant", "good"), (2, "user", "two")],
        )
    db.close()
    threads = Threads(path)
    try:
        assert said(threads, "t") == ["one", "good", "two"]
        assert len(threads.get("t").turns[0].answers) == 2
        assert [hit.message_id for hit in threads.search("bad")] == [2]
    finally:
        threads.close()


def test_search_finds_words_in_questions_answers_and_titles_and_marks_them(threads: Threads) -> None:
    boiler = threads.create()
    message = answer(threads, threads.ask(boiler.id, "When was it serviced?").id, "The boiler was serviced in October.")
    threads.rename(boiler.id, "Heating")
    threads.ask(threads.create().id, "Something else")
    hits = threads.search("octob")
    assert [(hit.thread.id, hit.message_id, hit.role) for hit in hits] == [(boiler.id, message, "assistant")]
    assert [text for text, marked in hits[0].snippet if marked] == ["October"]
    assert [hit.message_id for hit in threads.search("heat")] == [None]
    assert len(threads.search("serviced")) == 2
    assert threads.search("serviced nowhere") == []


def test_a_thread_of_many_words_hides_no_other_where_each_is_wanted_once(threads: Threads) -> None:
    quiet = threads.create()
    threads.ask(quiet.id, "Heating")  # its title
    threads.ask(quiet.id, "Somebody said something about a boiler, its pump and its filter, long ago")
    talkative = threads.create()
    threads.ask(talkative.id, "Hello")
    for number in range(30):
        threads.ask(talkative.id, f"boiler {number}")
    assert {hit.thread.id for hit in threads.search("boiler", limit=20)} == {talkative.id}
    assert [hit.thread.id for hit in threads.search("boiler", limit=20, once=True)] == [talkative.id, quiet.id]
    assert [hit.thread.id for hit in threads.search("boiler", limit=1, once=True)] == [talkative.id]
    threads.rename(quiet.id, "Boiler")
    named = threads.search("boiler", once=True)
    assert [(hit.thread.id, hit.message_id is None) for hit in named] == [(quiet.id, True), (talkative.id, False)]


def test_what_is_nearest_to_what_was_typed_is_found_first_however_old_it_is(threads: Threads) -> None:
    thread = threads.create()
    said = [
        "question 42 is about the boiler, its filter and its pump, and whatever else was ever said of it",
        "of 42 words this is no question",
        "question 421",
        "for this question there are 4200 answers",
        "question 420",
    ]
    numbers = [threads.ask(thread.id, text).question.id for text in said]
    threads.rename(thread.id, "Boiler")
    other = threads.create()
    threads.rename(other.id, "Question 421")
    hits = threads.search("question 42")
    assert [hit.message_id for hit in hits if hit.thread.id == thread.id] == [
        *numbers[:2],
        numbers[4],
        numbers[2],
        numbers[3],
    ]
    assert [hit.message_id for hit in hits].index(None) == 2  # the title of the other thread is no nearer than its kind
    assert [text for text, marked in hits[0].snippet if marked] == ["question", "42"]


def test_titles_that_have_what_was_typed_come_first_whatever_their_accents(threads: Threads) -> None:
    wanted = threads.create()
    threads.rename(wanted.id, "Für Élise, opus 59")
    near = threads.create()
    threads.rename(near.id, "Fur Elise and opus 591")
    threads.ask(near.id, "who wrote für elise, opus 59?")
    hits = threads.search("FUR elise opus 59")
    assert [(hit.thread.id, hit.message_id is None) for hit in hits] == [
        (wanted.id, True),
        (near.id, False),
        (near.id, True),
    ]


def test_an_answer_is_found_when_it_has_ended_and_not_when_it_is_deleted(threads: Threads) -> None:
    thread = threads.create()
    message = threads.begin(threads.ask(thread.id, "?").id, model="m")
    threads.extend(message, "zanzibar")
    assert threads.search("zanzibar") == []
    threads.finish(message, "stopped")
    assert len(threads.search("zanzibar")) == 1
    threads.delete_branch(message)
    assert threads.search("zanzibar") == []
    assert said(threads, thread.id) == ["?"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(st.characters(exclude_categories=())))
def test_any_query_is_words_and_never_syntax(threads: Threads, query: str) -> None:
    assert isinstance(threads.search(query), list)


def test_deleting_a_branch_leaves_no_byte_of_it_behind(threads: Threads, tmp_path: Path) -> None:
    thread = threads.create()
    first = threads.ask(thread.id, "KEEP")
    answer(threads, first.id, "kept")
    second = threads.ask(thread.id, "SECRETQUESTION")
    answer(threads, second.id, "SECRETANSWER")
    answer(threads, threads.ask(thread.id, "SECRETLATER").id, "x")
    with (
        database(tmp_path / "threads.db.backup-0001") as copy,
        database(tmp_path / "threads.db") as source,
    ):
        source.backup(copy)
    copy.close()
    source.close()
    threads.delete_branch(second.question.id)
    assert said(threads, thread.id) == ["KEEP", "kept"]
    for file in tmp_path.iterdir():
        data = file.read_bytes().lower()
        assert b"secret" not in data, file.name


def test_a_wording_that_is_deleted_gives_way_to_the_other_one(threads: Threads) -> None:
    thread = threads.create()
    first = threads.ask(thread.id, "one")
    answer(threads, first.id, "1")
    edited = threads.ask(thread.id, "uno", beside=first.id)
    threads.delete_branch(edited.question.id)
    assert said(threads, thread.id) == ["one", "1"]
    threads.delete_branch(first.question.id)
    assert said(threads, thread.id) == []
    assert threads.ask(thread.id, "again").number == 1


def test_a_title_can_be_changed_and_given_back(threads: Threads) -> None:
    thread = threads.create()
    threads.ask(thread.id, "First words")
    assert threads.rename(thread.id, "  Mine\n own ").title == "Mine own"
    assert threads.rename(thread.id, "").title == "First words"
    with pytest.raises(NotFound):
        threads.rename("nope", "x")


def test_how_a_thread_is_answered_is_kept_with_it(threads: Threads) -> None:
    thread = threads.create()
    assert thread.options == Options()
    wanted = Options(model="m", system="Be brief.", temperature=0.2, thinking=False)
    assert threads.set_options(thread.id, wanted).options == wanted
    assert threads.recent()[0].options == wanted
