"""The conversation: asks the daemon, shows the answer while it comes, stops it, opens its sources.

One answer is written at a time. Its events are read in a task of their own, so that Esc can cancel
that task, which closes the stream and with it the work in the daemon, and the text so far stays.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal

from textual import on, work
from textual.app import ComposeResult
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Footer

from localmind.clean import clean_line
from localmind.errors import DaemonUnreachable, InternalError, LocalmindError
from localmind.events import Done, Event, Failed, Progress, Sources, TextDelta
from localmind.messages import Message
from localmind_tui import format
from localmind_tui.assistant import Assistant
from localmind_tui.editor import Launch, launch_for
from localmind_tui.keymap import bindings
from localmind_tui.screens.help import HelpScreen
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.header import Header
from localmind_tui.widgets.sources import SourcesView
from localmind_tui.widgets.transcript import Transcript
from localmind_tui.widgets.turn import TurnView

STATUS_SECONDS = 5.0
"""How often the header asks the daemon how it is."""

Mode = Literal["files", "chat"]


class ChatScreen(Screen[None]):
    """`launch` runs a command that opens a source; `environ` says which editor that is."""

    BINDINGS = bindings("chat")
    AUTO_FOCUS = "Composer"

    mode: reactive[Mode] = reactive("files", init=False)

    def __init__(
        self,
        client: Assistant,
        *,
        folder: str | None,
        model: str | None,
        environ: Mapping[str, str],
        launch: Callable[[Launch], None],
    ) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal")]
        self._client = client
        self._folder = folder
        self._model = model
        self._environ = environ
        self._launch = launch
        self._roots: list[str] = []
        self._answer: asyncio.Task[None] | None = None

    def compose(self) -> ComposeResult:
        yield Header()
        yield Transcript()
        yield Composer()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.watch_mode(self.mode)
        self._ask_status()
        self.set_interval(STATUS_SECONDS, self._ask_status)

    async def on_unmount(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            await asyncio.gather(self._answer, return_exceptions=True)

    @property
    def answering(self) -> bool:
        return self._answer is not None and not self._answer.done()

    def watch_mode(self, mode: Mode) -> None:
        composer = self.query_one(Composer)
        composer.border_title = "Ask your files" if mode == "files" else "Chat, without your files"

    @on(Composer.Sent)
    async def _sent(self, event: Composer.Sent) -> None:
        if self.answering:
            self.notify("An answer is still being written. Esc stops it.", markup=False)
            return
        transcript = self.query_one(Transcript)
        if self.mode == "files":
            events = self._client.ask(event.text, folder=self._folder, model=self._model)
        else:
            events = self._client.chat([*transcript.messages, Message("user", event.text)], model=self._model)
        self.query_one(Composer).clear()
        turn = await transcript.begin(event.text)
        self.query_one(Header).state = "answering"
        self._answer = asyncio.create_task(self._read(turn, events))
        self._see_through(turn, self._answer)

    async def _read(self, turn: TurnView, events: AsyncIterator[Event]) -> None:
        """Show events until the last one. Raises LocalmindError for a stream that failed."""
        try:
            async for event in events:
                match event:
                    case TextDelta(text):
                        turn.feed(text)
                    case Sources(passages):
                        turn.cite(passages, self._roots)
                    case Progress():
                        turn.report(event)
                    case Done():
                        await turn.finish(event)
                        return
                    case Failed():
                        raise event.exception()
        finally:
            # An async generator that is dropped closes when the collector finds it; the daemon should stop now.
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()
        raise DaemonUnreachable("the answer ended early", hint="localmind status")

    @work(group="answer")
    async def _see_through(self, turn: TurnView, answer: asyncio.Task[None]) -> None:
        """Wait for an answer to end, however it does, and say how it did."""
        await asyncio.wait([answer])
        if answer.cancelled():
            await turn.stop()
        elif (problem := answer.exception()) is not None:
            if not isinstance(problem, LocalmindError):
                self.log.error(problem)
                problem = InternalError(f"the app met an error of its own: {type(problem).__name__}: {problem}")
            await turn.fail(problem)
        self._ask_status()

    @work(group="status", exclusive=True)
    async def _ask_status(self) -> None:
        header, transcript = self.query_one(Header), self.query_one(Transcript)
        try:
            status = await self._client.status()
        except LocalmindError as problem:
            header.state = "unreachable"
            transcript.welcome(format.failure(problem))
            return
        header.state = "answering" if self.answering else "ready"
        header.model = format.model_in_use(status, self._model)
        self._roots = format.roots(status)
        header.folders = format.folders(status)
        transcript.welcome(_welcome(self._roots))

    @on(SourcesView.Opened)
    def _open(self, event: SourcesView.Opened) -> None:
        try:
            self._launch(launch_for(event.passage, self._environ))
        except LocalmindError as problem:
            self.notify(format.failure(problem), severity="error", markup=False)

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen())

    def action_stop(self) -> None:
        if self._answer is not None and self.answering:
            self._answer.cancel()
        else:
            self.set_focus(self.query_one(Composer))

    def action_switch_mode(self) -> None:
        self.mode = "chat" if self.mode == "files" else "files"

    def action_sources(self) -> None:
        for turn in reversed(self.query_one(Transcript).turns):
            if turn.sources.passages:
                self.set_focus(turn.sources)  # at once, so that a quick Enter does not miss it
                return
        self.notify("No answer has sources yet.", markup=False)

    async def action_new(self) -> None:
        if self.answering:
            self.notify("An answer is still being written. Esc stops it.", markup=False)
            return
        await self.query_one(Transcript).clear()
        self.set_focus(self.query_one(Composer))

    def action_page(self, direction: int) -> None:
        transcript = self.query_one(Transcript)
        if direction < 0:
            transcript.scroll_page_up(animate=False)
        else:
            transcript.scroll_page_down(animate=False)


def _welcome(roots: list[str]) -> str:
    if not roots:
        return (
            "No folder is watched yet, so there is nothing to answer from.\n"
            "In another terminal:  localmind folders add DIR\n\n"
            "Ctrl+T switches to a chat without files."
        )
    listed = "\n".join(f"  {clean_line(root)}" for root in roots[:8])
    return f"Ask about what is in\n\n{listed}\n\nF1 shows every key."
