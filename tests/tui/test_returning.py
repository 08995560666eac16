"""Coming back: what came while nobody looked, the thread before, and the one used last."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.widgets import OptionList
from tui_driver import Start
from tui_fakes import FakeDaemon

from localmind.events import Done, TextDelta
from localmind_tui.screens.frame import Frame
from localmind_tui.screens.threads import ThreadsScreen


def welcome(screen: Frame) -> str:
    return str(screen.query_one("#welcome").render())


async def test_a_window_that_is_opened_again_tells_of_the_answer_that_came_meanwhile(
    start: Start, tmp_path: Path
) -> None:
    memory, daemon = tmp_path / "tui.json", FakeDaemon(tmp_path / "threads.db")
    async with start(daemon, size=(80, 24), memory=memory) as driver:
        await driver.ask("When was the boiler serviced?")
        thread = driver.chat.thread
    assert thread is not None
    async with start(daemon, size=(80, 24), memory=memory) as driver:
        await driver.until(lambda: "◐ “When was the boiler serviced?” is being answered." in welcome(driver.chat))
        assert driver.header.folders == "◐ 1 more answering"
        daemon.say(TextDelta("In October."), Done())
        await driver.until(lambda: not daemon.running.list())
    async with start(daemon, size=(80, 24), memory=memory) as driver:
        told = "● “When was the boiler serviced?” has been answered. F6 goes there."
        await driver.until(lambda: told in welcome(driver.chat))
        assert driver.header.folders == "● 1 new answer, F6"  # the list of threads is hidden at this width
        await driver.opened("f2", ThreadsScreen)
        listed = driver.app.screen.query_one(OptionList)
        await driver.until(lambda: listed.option_count)
        assert str(listed.get_option_at_index(0).prompt).startswith("● When was the boiler serviced?")
        await driver.press("escape")
        await driver.until(lambda: driver.app.screen is driver.chat)
        await driver.press("f6")
        await driver.until(lambda: driver.turns and driver.turns[0].answer == "In October.")
        await driver.until(lambda: "new answer" not in driver.header.folders)
    async with start(daemon, size=(80, 24), memory=memory) as driver:  # it was looked at
        await driver.until(lambda: "F6 goes back to “When was the boiler serviced?”." in welcome(driver.chat))
        assert "new answer" not in driver.header.folders
    async with start(daemon, size=(80, 24), memory=memory) as driver:  # which no window in between forgets
        await driver.press("f6")
        await driver.until(lambda: driver.turns)
    await daemon.stop()


class FakeQuick(FakeDaemon):
    """Whose answers have ended when it is asked for the threads by who has left them."""

    left: Callable[[], bool] = staticmethod(lambda: False)

    async def get(self, path: str, /, **query: Any) -> Any:
        if path == "/threads" and self.running.list() and self.left():
            self.say(Done())
            for run in self.running.list():
                async for _ in self.running.follow(run.message_id):
                    pass
        return await super().get(path, **query)


async def test_an_answer_that_ends_as_soon_as_it_is_left_is_new_too(start: Start, tmp_path: Path) -> None:
    daemon = FakeQuick(tmp_path / "threads.db")
    async with start(daemon) as driver:
        await driver.ask("quick?")
        daemon.left = lambda: driver.chat.thread is None
        await driver.press("ctrl+n")
        await driver.until(lambda: "“quick?” has been answered" in welcome(driver.chat))
    await daemon.stop()


async def test_the_key_goes_between_two_threads_and_says_when_there_is_none(start: Start) -> None:
    async with start() as driver:
        await driver.press("f6")
        await driver.until(lambda: "no other thread" in driver.notices)
        await driver.settled("one", Done())
        await driver.press("ctrl+n")
        await driver.until(lambda: not driver.turns)
        await driver.settled("two", Done())
        for question in ("one", "two", "one"):
            await driver.press("f6")
            await driver.until(lambda wanted=question: [each.question.content for each in driver.turns] == [wanted])
        other = next(each.id for each in driver.daemon.threads.recent() if each.title == "two")
        driver.daemon.threads.delete(other)
        driver.app.clear_notifications()
        driver.app.desk.link.ask()
        await driver.until(lambda: other not in driver.chat.sidebar.titles)
        await driver.press("f6")
        await driver.until(lambda: "no other thread" in driver.notices)


async def test_what_was_typed_before_the_daemon_was_there_goes_into_the_thread_that_was_asked_for(
    start: Start, tmp_path: Path
) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    async with start(daemon) as driver:
        await driver.settled("older", Done())
        await driver.press("ctrl+n")
        await driver.until(lambda: not driver.turns)
        daemon.now += 60
        await driver.settled("newer", Done())
        older = next(each.id for each in daemon.threads.recent() if each.title == "older")
    for wanted, question in (({"thread": older}, "older"), ({"goes_on": True}, "newer")):
        daemon.go_away()
        async with start(daemon, **wanted) as driver:
            await driver.until(lambda: driver.header.state == "unreachable")
            driver.type("typed early")
            daemon.come_back()
            await driver.until(lambda: driver.turns)
            assert [each.question.content for each in driver.turns] == [question]
            await driver.until(lambda: driver.composer.text == "typed early")
            assert driver.notices == ""
            driver.composer.clear()
    await daemon.stop()


async def test_what_was_typed_for_a_thread_that_never_came_is_the_draft_of_a_new_one(
    start: Start, tmp_path: Path
) -> None:
    daemon, memory = FakeDaemon(tmp_path / "threads.db"), tmp_path / "tui.json"
    daemon.go_away()
    async with start(daemon, thread="abc", memory=memory) as driver:
        await driver.until(lambda: driver.header.state == "unreachable")
        driver.type("typed early")
    daemon.come_back()
    async with start(daemon, memory=memory) as driver:
        await driver.until(lambda: driver.composer.text == "typed early")
    await daemon.stop()


async def test_going_on_where_nothing_was_said_begins_a_thread(start: Start) -> None:
    async with start(goes_on=True) as driver:
        await driver.until(lambda: not driver.chat._opening)
        turn = await driver.settled("first", Done())
        assert turn.state == "done"
