"""Two windows of the app share one memory: neither writes away what the other one put into it."""

import threading
from pathlib import Path

import msgspec
import pytest
from tui_driver import Start, stored
from tui_fakes import FakeDaemon

from localmind_tui.remembered import HISTORY_KEPT, Remembered
from localmind_tui.state import Memory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tui.json"


def test_each_puts_in_its_own_drafts_questions_and_words(path: Path) -> None:
    one, other = Memory(path), Memory(path)
    one.draft("a", "of one")
    one.asked("first")
    one.now.theme = "nord"
    one.save()
    other.draft("b", "of the other")
    other.asked("second")
    other.now.model = "qwen3:4b"
    other.save()
    one.asked("third")
    one.save()
    assert stored(path) == Remembered(
        drafts={"a": "of one", "b": "of the other"},
        history=["first", "second", "third"],
        theme="nord",
        model="qwen3:4b",
    )
    assert one.now.drafts == {"a": "of one", "b": "of the other"}  # and has it when that thread is opened here
    assert one.now.history == ["first", "second", "third"]


def test_what_was_looked_at_in_one_window_is_new_in_none(path: Path) -> None:
    path.write_bytes(msgspec.json.encode(Remembered(unread=["x", "y"])))
    one, other = Memory(path), Memory(path)
    one.now.unread = ["y"]
    one.save()
    other.now.unread = ["x", "y", "z"]  # as it goes on saying, until it is opened anew
    other.save()
    other.now.mode = "chat"
    other.save()
    assert stored(path).unread == ["y", "z"]


def test_a_draft_that_was_sent_goes_but_not_what_the_other_typed_in_its_place(path: Path) -> None:
    one, other = Memory(path), Memory(path)
    one.draft("t", "half a thought")
    one.save()
    one.draft("t", "half a thought and more")
    one.draft("t", "")  # sent before that was written
    one.save()
    assert stored(path).drafts == {}
    one.draft("t", "of one")
    one.save()
    other.draft("t", "of the other")
    other.save()
    one.draft("t", "")
    one.save()
    assert stored(path).drafts == {"t": "of the other"}
    other.draft("t", "")
    other.save()
    assert stored(path).drafts == {}


def test_a_draft_of_the_other_window_that_is_opened_here_can_be_sent_here(path: Path) -> None:
    one, other = Memory(path), Memory(path)
    one.draft("t", "half a thought")
    one.save()
    other.asked("something")
    other.save()
    other.draft("t", "")  # its thread is left, and nothing was typed in it
    other.save()
    assert stored(path).drafts == {"t": "half a thought"}
    other.draft("t", other.now.drafts["t"])  # it is shown
    other.draft("t", "")  # and sent
    other.save()
    assert stored(path).drafts == {}
    one.asked("something else")
    one.save()
    assert stored(path).drafts == {}


def test_what_stands_on_the_screen_to_the_end_is_kept_whatever_the_other_did(path: Path) -> None:
    one, other = Memory(path), Memory(path)
    one.draft("t", "of one")
    one.save()
    other.draft("t", "of the other")
    other.draft("t", "")
    other.save()
    one.draft("t", "of one")  # as the window says when it is closed
    one.save()
    assert stored(path).drafts == {"t": "of one"}


def test_a_file_that_is_gone_is_written_whole_and_nothing_is_written_where_nothing_changed(path: Path) -> None:
    one = Memory(path)
    one.draft("t", "words")
    one.asked("first")
    one.save()
    path.unlink()
    one.save()
    assert not path.exists()
    one.now.mode = "chat"
    one.save()
    assert stored(path) == Remembered(drafts={"t": "words"}, history=["first"], mode="chat")


def test_many_writers_at_once_lose_nothing(path: Path) -> None:
    def write(name: str) -> None:
        memory = Memory(path)
        for number in range(12):
            memory.asked(f"{name}{number}")
            memory.draft(name, f"draft {number}")
            memory.save()

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    found = stored(path)
    assert found.drafts == dict.fromkeys("abcd", "draft 11")
    assert sorted(found.history) == sorted(f"{name}{number}" for name in "abcd" for number in range(12))
    assert len(found.history) <= HISTORY_KEPT


async def test_two_windows_on_one_daemon_keep_both_drafts(start: Start, path: Path, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    threads = [daemon.threads.create().id for _ in range(2)]
    for each in threads:
        daemon.threads.ask(each, "boiler")
    async with start(daemon, memory=path, thread=threads[0]) as one:
        await one.until(lambda: one.chat._key == threads[0] and not one.chat._opening)
        async with start(daemon, memory=path, thread=threads[1]) as other:
            await other.until(lambda: other.chat._key == threads[1] and not other.chat._opening)
            other.type("of the other")
            one.type("of one")
            await one.until(lambda: set(stored(path).drafts) == set(threads))
    assert stored(path).drafts == {threads[0]: "of one", threads[1]: "of the other"}
