"""What is wanted while something is still under way: the last wish counts, and nothing lands where it was not meant."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

from textual.screen import Screen
from textual.widgets import Input
from textual.widgets.option_list import Option
from tui_driver import Driver, Start
from tui_fakes import FakeDaemon

from localmind.events import Done, Event, Passage, TextDelta
from localmind_tui.link import Link
from localmind_tui.screens.folders import FoldersScreen
from localmind_tui.screens.looking import keep_looking
from localmind_tui.screens.threads import ThreadsScreen
from localmind_tui.widgets.folder_field import FolderField
from localmind_tui.widgets.sources import SourcesView
from localmind_tui.widgets.turn import TurnView


class Gate:
    """Holds up calls of the daemon until it is let go, and knows who waits."""

    def __init__(self, daemon: FakeDaemon, name: str, held: Callable[..., bool] = lambda *_: True) -> None:
        self.waiting = 0
        self._open = asyncio.Event()
        call = getattr(daemon, name)

        async def slow(*what: Any, **how: Any) -> Any:
            if held(*what):
                self.waiting += 1
                await self._open.wait()
            return await call(*what, **how)

        setattr(daemon, name, slow)

    def let_go(self) -> None:
        self._open.set()


@contextmanager
def threads_held() -> Iterator[threading.Event]:
    """Nothing is done in a thread until the event is set."""
    let_go = threading.Event()
    one = ThreadPoolExecutor(1)
    one.submit(let_go.wait)
    asyncio.get_running_loop().set_default_executor(one)
    try:
        yield let_go
    finally:
        let_go.set()


def asked(driver: Driver) -> list[str]:
    return [turn.question.content for turn in driver.turns]


def said(daemon: FakeDaemon, question: str, *more: str) -> str:
    thread = daemon.threads.create()
    for each in (question, *more):
        message = daemon.threads.begin(daemon.threads.ask(thread.id, each).id, model="m")
        daemon.threads.extend(message, "x")
        daemon.threads.finish(message)
    return thread.id


@asynccontextmanager
async def opening(driver: Driver, thread: str | None, **where: Any) -> AsyncIterator[None]:
    """A thread is being opened all the while, and is there in the end."""
    task = asyncio.create_task(driver.chat.open(thread, **where))
    try:
        yield
    finally:
        await task


async def test_of_two_threads_that_are_wanted_the_last_one_is_shown_however_late_the_first_one_comes(
    start: Start,
) -> None:
    async with start() as driver:
        first, second = said(driver.daemon, "in the first"), said(driver.daemon, "in the second")
        gate = Gate(driver.daemon, "get", lambda path: path == f"/threads/{first}")
        async with opening(driver, first):
            await driver.until(lambda: gate.waiting)
            driver.type("typed for ")
            await driver.chat.open(second)
            assert asked(driver) == ["in the second"]
            driver.type("the second")
            gate.let_go()
        assert (driver.chat._key, asked(driver)) == (second, ["in the second"])
        assert driver.composer.text.endswith("the second")


async def test_what_is_typed_before_a_thread_has_come_is_there_behind_its_draft(start: Start) -> None:
    async with start() as driver:
        thread = said(driver.daemon, "old")
        driver.app.desk.memory.draft(thread, "half a ")
        gate = Gate(driver.daemon, "get", lambda path: path == f"/threads/{thread}")
        driver.type("for a new one")
        async with opening(driver, thread):
            await driver.until(lambda: gate.waiting)
            driver.type("thought")
            gate.let_go()
        assert driver.composer.text == "half a thought"
        assert driver.app.desk.memory.now.drafts[""] == "for a new one"


async def test_what_is_typed_while_one_thread_and_then_another_is_wanted_goes_to_the_last(start: Start) -> None:
    async with start() as driver:
        one, two = said(driver.daemon, "one"), said(driver.daemon, "two")
        gate = Gate(driver.daemon, "get", lambda path: path == f"/threads/{one}")
        driver.type("for a new one")
        async with opening(driver, one):
            await driver.until(lambda: gate.waiting)
            driver.type("for ")
            async with opening(driver, two):
                driver.type("the last")
            gate.let_go()
        assert driver.composer.text == "for the last"
        assert asked(driver) == ["two"]
        assert driver.app.desk.memory.now.drafts[""] == "for a new one"


async def test_earlier_turns_that_come_late_are_not_put_into_another_thread(start: Start) -> None:
    async with start() as driver:
        long, other = said(driver.daemon, *map(str, range(30))), said(driver.daemon, "elsewhere")
        await driver.chat.open(long, around=driver.daemon.threads.get(long).turns[20].question.id)
        gate = Gate(driver.daemon, "get", lambda path: path == f"/threads/{long}")
        view = driver.chat.transcript
        more = asyncio.create_task(driver.chat._more(view.MoreWanted(view.above - 4, 4, view.shown)))
        await driver.until(lambda: gate.waiting)
        await driver.chat.open(other)
        gate.let_go()
        await more
        await driver.chat._more(view.MoreWanted(14, 4, view.shown - 1))  # as the window was filled just before
        assert asked(driver) == ["elsewhere"]
        await driver.chat._more(view.MoreWanted(12, 4, view.shown))  # wanted while it still had the ends of the other
        assert asked(driver) == ["elsewhere"]


async def test_a_thread_can_be_left_while_its_earlier_turns_are_being_drawn(start: Start) -> None:
    async with start() as driver:
        long, other = said(driver.daemon, *map(str, range(30))), said(driver.daemon, "elsewhere")
        view = driver.chat.transcript
        for _ in range(2):
            await driver.chat.open(long, around=driver.daemon.threads.get(long).turns[20].question.id)
            before = len(view.turns)
            more = asyncio.create_task(driver.chat._more(view.MoreWanted(view.above - 4, 4, view.shown)))
            for _ in range(1000):  # up to the moment when they are there, and not yet drawn
                if len(view.turns) > before:
                    break
                await asyncio.sleep(0)
            await driver.chat.open(other)
            await more
            assert asked(driver) == ["elsewhere"]


async def test_of_a_thread_that_is_being_left_nothing_more_is_asked_for(start: Start) -> None:
    async with start() as driver:
        long, other = said(driver.daemon, *map(str, range(30))), said(driver.daemon, "elsewhere")
        view = driver.chat.transcript
        await driver.chat.open(long, around=driver.daemon.threads.get(long).turns[20].question.id)
        await driver.until(lambda: not view._asking)
        before = view.shown
        async with opening(driver, other):
            for _ in range(1000):
                if view.shown > before:
                    break
                await asyncio.sleep(0)
            view.ask_more()
            view.ask_later()
        await driver.heard()
        assert asked(driver) == ["elsewhere"]


async def test_turns_that_could_not_be_had_are_asked_for_again(start: Start) -> None:
    async with start() as driver:
        long = said(driver.daemon, *map(str, range(30)))
        view = driver.chat.transcript
        await driver.chat.open(long)
        await driver.until(lambda: view.virtual_size.height > view.size.height and not view._asking)
        driver.daemon.away = True
        view.ask_more()
        await driver.until(lambda: "no daemon answers" in driver.notices)
        driver.daemon.away = False
        before = view.above
        view.ask_more()
        await driver.until(lambda: view.above < before)


async def test_a_thread_that_was_changed_is_not_shown_to_whoever_has_left_it(start: Start) -> None:
    async with start() as driver:
        elsewhere = said(driver.daemon, "elsewhere")
        await driver.settled("question", TextDelta("first"), Done())
        changed = driver.chat._key
        gate = Gate(driver.daemon, "post")
        driver.turns[0].action_again()
        await driver.until(lambda: gate.waiting)
        await driver.chat.open(elsewhere)
        gate.let_go()
        await driver.until(lambda: driver.daemon.running.list())
        driver.daemon.say(Done())
        await driver.until(lambda: not driver.daemon.running.list())
        assert (driver.chat._key, asked(driver)) == (elsewhere, ["elsewhere"])

        titled = Gate(driver.daemon, "patch")
        async with asyncio.timeout(30):
            await driver.chat.open(changed)
            renaming = asyncio.create_task(driver.chat.run_rename("Another"))
            await driver.until(lambda: titled.waiting)
            await driver.chat.open(elsewhere)
            titled.let_go()
            await renaming
        assert driver.chat.thread is not None
        assert (driver.chat.thread["id"], driver.header.thread) == (elsewhere, "elsewhere")
        assert driver.daemon.threads.find(changed).title == "Another"


async def test_what_comes_while_the_window_is_being_closed_breaks_nothing(start: Start) -> None:
    async with start() as driver:
        await driver.settled("question", TextDelta("first"), Done())
        await driver.chat.remove_children()
        await driver.chat.show_pictures()
        await driver.chat.transcript.remove_children()
        await driver.chat.transcript.show((), ())
        await driver.chat.run_rename("Another")
        driver.chat.use_model("smollm2:135m")
        await driver.chat.open(driver.chat._key)
        assert driver.app._exception is None


async def test_a_key_on_a_turn_that_is_gone_by_now_does_nothing(start: Start) -> None:
    async with start() as driver:
        turn = await driver.settled("question", TextDelta("first"), Done())
        await driver.chat.open(None)
        await driver.chat.on_turn_view_move(TurnView.Move(turn, "next"))
        assert driver.composer.has_focus


async def test_a_mark_on_a_source_that_is_gone_by_now_does_nothing(start: Start) -> None:
    passage = Passage(1, "/home/ines/note.md", 1, 2, None, None, "x", 0.7)
    async with start() as driver:
        turn = await driver.settled("question", TextDelta("first"), Done())
        turn.cite((passage, passage))
        turn.cite(())  # before the mark of the first ones was told
        await driver.pilot.pause()
        turn.sources.post_message(SourcesView.OptionSelected(turn.sources, Option("gone"), 1))
        await driver.pilot.pause()
        assert driver.app._exception is None


async def test_enter_that_is_quicker_than_the_search_goes_to_what_was_typed(start: Start) -> None:
    async with start() as driver:
        bees = said(driver.daemon, "About bees")
        driver.daemon.now += 60
        said(driver.daemon, "About the boiler")
        await driver.opened("f2", ThreadsScreen)
        window = driver.app.screen
        assert isinstance(window, ThreadsScreen)
        await driver.until(lambda: window.marked)
        gate = Gate(driver.daemon, "get", lambda path: path == "/threads/search")
        window.query_one(Input).value = "bees"
        await driver.until(lambda: gate.waiting)
        await driver.press("enter")
        gate.let_go()
        await driver.until(lambda: driver.app.screen is driver.chat)
        await driver.until(lambda: driver.turns)
        assert driver.chat._key == bees


async def test_a_second_press_of_pause_goes_on_however_soon_it_comes(start: Start) -> None:
    async with start() as driver:
        await driver.opened("f4", FoldersScreen)
        gate = Gate(driver.daemon, "post")
        await driver.press("space", "space", "space")
        await driver.until(lambda: gate.waiting)
        gate.let_go()
        await driver.until(lambda: len(driver.daemon.posted) == 3)
        assert [path for path, _ in driver.daemon.posted] == ["/folders/pause", "/folders/resume", "/folders/pause"]


async def test_enter_that_is_pressed_twice_has_a_folder_watched_once(start: Start, tmp_path: Path) -> None:
    async with start() as driver:
        await driver.opened("f4", FoldersScreen)
        field = driver.app.screen.query_one(FolderField)
        asked, let_go = list[str](), asyncio.Event()
        events = driver.daemon.events

        async def slow(path: str, body: Mapping[str, Any]) -> AsyncIterator[Event]:
            asked.append(body["path"])
            await let_go.wait()
            async for event in events(path, body):
                yield event

        driver.daemon.events = slow  # type: ignore[method-assign]
        await driver.press("a")
        field.value = str(tmp_path)
        await driver.press("enter", "enter")
        await driver.until(lambda: asked)
        let_go.set()
        await driver.until(lambda: not field.display)
        assert asked == [str(tmp_path)]
        await driver.press("a")
        field.value = str(tmp_path)  # removed meanwhile, and wanted again
        await driver.press("enter")
        await driver.until(lambda: not field.display)
        assert len(asked) == 2


class FakeLook:
    is_finished = is_cancelled = False


def test_a_daemon_that_is_slower_than_a_window_looks_is_heard_out() -> None:
    looks, ticks = list[FakeLook](), list[Callable[[], None]]()

    class FakeScreen:
        def set_interval(self, every_s: float, again: Callable[[], None]) -> None:
            ticks.append(again)

    def look() -> FakeLook:
        looks.append(FakeLook())
        return looks[-1]

    keep_looking(cast(Screen[None], FakeScreen()), 0.5, cast(Any, look))
    ticks[0]()
    ticks[0]()
    assert len(looks) == 1
    looks[0].is_finished = True
    ticks[0]()
    assert len(looks) == 2


async def test_who_asks_for_news_while_they_are_being_told_gets_newer_ones_at_once(tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    link = Link(daemon)
    changes = link.changes()
    await anext(changes)
    link.ask()  # an answer ended while the screen was still showing what the daemon said before
    async with asyncio.timeout(2):  # and not EVERY_S
        await anext(changes)
    await cast(Any, changes).aclose()
    await daemon.stop()
