"""One question and its answer in the transcript."""

from collections.abc import Sequence
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from localmind.clean import clean
from localmind.errors import LocalmindError
from localmind.events import Done, Passage, Progress
from localmind_tui import format
from localmind_tui.widgets.sources import SourcesView
from localmind_tui.widgets.stream import StreamView

State = Literal["streaming", "done", "stopped", "failed"]


class TurnView(Vertical):
    """The question as it was typed, the answer as it grows, a note on what became of it, and its sources."""

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question
        self.state: State = "streaming"
        self.note = ""
        self.stream = StreamView()
        self.sources = SourcesView()
        self._note = Static("…", classes="note", markup=False)

    def compose(self) -> ComposeResult:
        yield Static(clean(self.question), classes="question", markup=False)
        yield self.stream
        yield self._note
        yield self.sources

    @property
    def answer(self) -> str:
        """The text so far."""
        return self.stream.text

    def feed(self, text: str) -> None:
        self.stream.feed(text)
        self._say("")

    def cite(self, passages: Sequence[Passage], roots: Sequence[str]) -> None:
        self.sources.show(passages, roots)

    def report(self, event: Progress) -> None:
        """What the daemon is doing before the first word."""
        self._say(format.progress(event))

    async def finish(self, done: Done) -> None:
        await self._end("stopped" if done.finish_reason == "cancelled" else "done", format.costs(done))

    async def stop(self) -> None:
        """The user stopped it: what is there stays."""
        await self._end("stopped", "stopped" if self.answer else "stopped before the first word")

    async def fail(self, error: LocalmindError) -> None:
        await self._end("failed", format.failure(error))

    async def _end(self, state: State, note: str) -> None:
        await self.stream.end()
        self.add_class(state)
        self._say(note)
        self.state = state

    def _say(self, note: str) -> None:
        self.note = note
        self._note.update(note)
        self._note.display = bool(note)
