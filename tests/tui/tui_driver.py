"""A running app, a pilot at its keys and a fake daemon behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import OptionList
from tui_fakes import NOW, FakeDaemon, wait_until

from localmind_tui.app import LocalmindApp
from localmind_tui.editor import Launch
from localmind_tui.remembered import Remembered
from localmind_tui.room import Room
from localmind_tui.screens.asking import Confirm
from localmind_tui.screens.chat import ChatScreen
from localmind_tui.screens.listed import Listed
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.header import Header
from localmind_tui.widgets.transcript import Transcript
from localmind_tui.widgets.turn import TurnView

ENVIRON = {"EDITOR": "true", "COLORTERM": "truecolor", "TERM": "xterm-256color", "SSH_TTY": "/dev/pts/1"}


def stored(memory: Path) -> Remembered:
    """What stands in the file that drafts are kept in, once there is one."""
    if not memory.exists():
        return Remembered()
    return msgspec.json.decode(memory.read_bytes(), type=Remembered)


class Driver:
    """The few moves that every test needs."""

    def __init__(self, app: LocalmindApp, pilot: Pilot[None], daemon: FakeDaemon, launched: list[Launch]) -> None:
        self.app = app
        self.pilot = pilot
        self.daemon = daemon
        self.launched = launched

    async def ask(self, question: str) -> TurnView:
        before = self.daemon.threads.search(question)
        self.type(question)
        await self.pilot.press("enter")
        await self.until(lambda: self.daemon.model.open and self.composer.text == "" and self.turns)
        await self.until(lambda: self.turns[-1].question.content == question and self.chat.answering)
        assert len(self.daemon.threads.search(question)) >= len(before)
        return self.turns[-1]

    async def settled(self, question: str, *events: Any) -> TurnView:
        """Ask, answer, and wait until it has ended."""
        turn = await self.ask(question)
        self.daemon.say(*events)
        await self.until(lambda: turn.state != "streaming" and not self.daemon.running.list())
        return turn

    async def ended(self) -> None:
        """Until all that was asked has been answered, and the app knows."""
        await self.until(lambda: not self.chat._sending and not self.daemon.running.list())
        await self.until(lambda: not self.chat.answering and not self.chat._showing.locked())

    async def worked_off(self) -> None:
        """Until every widget of every screen has done what it had before it, those behind a window as well."""
        asked = list[tuple[Widget, asyncio.Event]]()
        for each in (widget for screen in self.app.screen_stack for widget in screen.walk_children(with_self=True)):
            if isinstance(each, Widget) and each.call_later((done := asyncio.Event()).set):
                asked.append((each, done))
        await self.until(lambda: all(done.is_set() or not each.is_attached for each, done in asked))

    async def opened(self, key: str, kind: type[Screen[Any]]) -> None:
        """Open a window by its key."""
        await self.press(key)
        await self.shows(kind)

    async def shows(self, kind: type[Screen[Any]]) -> None:
        """Until a window is there, and one of the lines of its list is marked: the screen behind it has a list too."""
        await self.until(lambda: isinstance(self.app.screen, kind) and self.app.screen.is_mounted)
        if isinstance(window := self.app.screen, Listed):
            await self.until(lambda: window.marked is not None)
        await self.heard()

    async def confirm(self, key: str = "y") -> None:
        """Answer the question that a key led to."""
        await self.until(lambda: isinstance(self.app.screen, Confirm) and self.app.screen.is_current)
        await self.press(key)

    def type(self, text: str) -> None:
        self.composer.insert(text)

    async def press(self, *keys: str) -> None:
        """Each key when the one before has been heard, which Textual's own pilot guesses by how idle the process is."""
        for key in keys:
            await self.pilot.press(key)
            await self.heard()

    async def heard(self) -> None:
        """A key goes from the app to what has the focus and from there up to the app: each pause is a step at least."""
        focused = self.app.focused
        for _ in range(2 + len(list(focused.ancestors_with_self) if focused is not None else ())):
            await self.pilot.pause(0)

    async def until(self, condition: Callable[[], object]) -> None:
        await wait_until(self.pilot, condition)

    @property
    def chat(self) -> ChatScreen:
        return self.app._chat

    @property
    def composer(self) -> Composer:
        return self.chat.query_one(Composer)

    @property
    def turns(self) -> list[TurnView]:
        """Those that show what they have: one that is being mounted is there, and is empty."""
        return [turn for turn in self.chat.query_one(Transcript).turns if turn.is_mounted]

    @property
    def lines(self) -> list[str]:
        """Of the list in the window that is open."""
        listed = self.app.screen.query_one(OptionList)
        return [str(listed.get_option_at_index(place).prompt) for place in range(listed.option_count)]

    @property
    def header(self) -> Header:
        return self.chat.query_one(Header)

    @property
    def notices(self) -> str:
        return " ".join(str(notice.message) for notice in self.app._notifications)


Start = Callable[..., AbstractAsyncContextManager[Driver]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts an app, also one after another on the same daemon; all daemons end with the test, however it ends."""
    daemons: set[FakeDaemon] = set()

    @asynccontextmanager
    async def started(
        daemon: FakeDaemon | None = None, size: tuple[int, int] = (100, 32), *, greeted: bool = True, **more: Any
    ) -> AsyncIterator[Driver]:
        own = daemon is None
        daemon = daemon or FakeDaemon(tmp_path / "threads.db")
        daemons.add(daemon)
        launched: list[Launch] = []

        async def launch(wanted: Launch) -> None:
            launched.append(wanted)

        (tmp_path / "here").mkdir(exist_ok=True)
        given: dict[str, Any] = {
            "environ": ENVIRON,
            "launch": launch,
            "clock": lambda: NOW + 3600,
            "room": lambda: Room(8_000_000_000, 5_000_000_000),
            "here": tmp_path / "here",
            "templates": tmp_path / "templates",
        }
        app = LocalmindApp(daemon, **(given | more))
        app.desk.memory.now.greeted = greeted
        async with app.run_test(size=size) as pilot:
            driver = Driver(app, pilot, daemon, launched)
            await driver.until(lambda: driver.header.state != "connecting")
            yield driver
        if own:
            await daemon.stop()

    yield started
    for each in daemons:
        await each.stop()
