"""What is typed in threads that have not begun: each window has its own, and leaves it behind when it closes."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tui_driver import Start, stored
from tui_fakes import FakeDaemon

from localmind.events import Done
from localmind_tui.state import Memory

WINDOW = """
import sys
from pathlib import Path
from localmind_tui.state import Memory

memory = Memory(Path(sys.argv[1]))
memory.draft("", "half a thought")
memory.save()
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tui.json"


def opened(path: Path) -> Memory:
    """A window that shows a thread which has not begun."""
    memory = Memory(path)
    asyncio.run(memory.take_up())
    return memory


def test_each_window_has_a_place_of_its_own_and_leaves_it_to_the_next(path: Path) -> None:
    one, other = opened(path), opened(path)
    for each, words in ((one, "of one"), (other, "of the other")):
        each.draft("", words)
        each.save()
    assert stored(path).drafts == {"": "of one", "+1": "of the other"}
    third = opened(path)
    assert third.now.drafts == {}
    one.draft("", "of one, and more")
    one.save()
    one.leave()
    other.leave()
    assert opened(path).now.drafts == {"": "of one, and more"}  # the newest
    fourth, fifth, sixth = (opened(path) for _ in range(3))
    assert [each.now.drafts.get("") for each in (fourth, fifth, sixth)] == ["of one, and more", "of the other", None]
    fifth.draft("", "")  # it was sent
    fifth.save()
    sixth.draft("", "more")
    third.draft("", "of the third")
    sixth.save()
    third.save()
    assert stored(path).drafts == {"": "of one, and more", "+2": "more", "+3": "of the third"}


def test_what_was_typed_in_a_window_that_died_is_in_the_next_and_in_none_before(path: Path) -> None:
    window = subprocess.Popen(
        [sys.executable, "-c", WINDOW, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert window.stdout is not None
        assert window.stdout.readline() == "written\n"
        assert opened(path).now.drafts == {}
        window.kill()
        window.wait()
        after = opened(path)
        assert after.now.drafts == {"": "half a thought"}
        assert opened(path).now.drafts == {}
    finally:
        window.kill()
        window.communicate()


def test_what_is_typed_before_a_waiting_text_is_here_takes_no_place_from_it(path: Path) -> None:
    before = opened(path)
    before.draft("", "waits")
    before.save()
    before.leave()
    memory = Memory(path)
    memory.draft("", "was quicker")
    asyncio.run(memory.take_up())
    assert memory.now.drafts == {"": "was quicker"}
    memory.save()
    assert sorted(stored(path).drafts.values()) == ["waits", "was quicker"]
    assert opened(path).now.drafts == {"": "waits"}


def test_a_file_that_is_gone_is_written_anew_with_what_stands_at_the_place(path: Path) -> None:
    one, other = opened(path), opened(path)
    for each, words in ((one, "of one"), (other, "of the other")):
        each.draft("", words)
        each.save()
    path.unlink()
    other.now.mode = "chat"
    other.save()
    one.now.model = "qwen3:4b"
    one.save()
    assert stored(path).drafts == {"+1": "of the other"}  # what one typed is on its screen
    one.draft("", "of one")  # as the window says when it is closed
    one.save()
    assert stored(path).drafts == {"+1": "of the other", "": "of one"}


async def test_two_windows_show_what_was_typed_in_each_and_it_comes_back_when_they_were_closed(
    start: Start, path: Path, tmp_path: Path
) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    async with start(daemon, memory=path) as one:
        one.type("of one")
        await one.until(lambda: stored(path).drafts)
        async with start(daemon, memory=path) as other:
            await other.until(lambda: not other.chat._opening)
            assert other.composer.text == ""
            other.type("of the other")
            await other.until(lambda: len(stored(path).drafts) == 2)
    async with start(daemon, memory=path) as one:
        await one.until(lambda: one.composer.text == "of one")  # which was closed last
        async with start(daemon, memory=path) as other:
            await other.until(lambda: other.composer.text == "of the other")
            await other.press("enter")
            await other.until(lambda: daemon.model.asked)
            daemon.say(Done())
            await other.ended()
            assert stored(path).drafts == {"": "of one"}
