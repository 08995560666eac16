"""One question and its answer in the transcript, with its branches, thoughts, costs and sources.

It can be focused, and its keys ask the screen for what concerns the daemon by the messages below. What it
shows it is told; it reaches nothing by itself.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from localmind.clean import clean, clean_line
from localmind.errors import LocalmindError
from localmind.events import Done, Passage, Progress
from localmind.markdown import code_blocks
from localmind.messages import Usage
from localmind_tui import format
from localmind_tui.keymap import bindings
from localmind_tui.remembered import Picture
from localmind_tui.said import Exchange, Said, State
from localmind_tui.widgets.lean import Backdrop
from localmind_tui.widgets.sources import SourcesView
from localmind_tui.widgets.stream import StreamView
from localmind_tui.widgets.thoughts import ThoughtsView

SILENT = "stopped before the first word"


class TurnView(Vertical, Backdrop):
    """The question as it was typed, the answer as it grows, a note on what became of it, and its sources."""

    DEFAULT_CSS = """
    TurnView {
        height: auto;
        margin: 0 0 1 0;
        border-left: blank;
        max-width: 120;
    }
    TurnView:focus { border-left: outer $primary; }
    TurnView .question {
        border-left: outer $accent;
        padding: 0 1;
        margin: 0 0 1 0;
    }
    TurnView .note { padding: 0 2; margin: 1 0 0 0; color: $text-muted; }
    TurnView.failed .note { color: $text-error; }
    """
    place = "turn"
    BINDINGS = bindings("turn")
    can_focus = True

    @dataclass
    class Asked(Message):
        """The user wants something done with this turn."""

        turn: "TurnView"
        what: Literal["edit", "again", "choose", "delete", "copy", "read"]
        message: int = 0
        """Of `choose`: the branch that is wanted."""
        text: str = ""
        """Of `copy` and `read`: what."""
        named: str = ""
        """Of `copy`: what it is, for the notice."""

    @dataclass
    class PictureWanted(Message):
        """The user wants to look at an image of the question."""

        picture: Picture

    @dataclass
    class Move(Message):
        """The user wants to be elsewhere."""

        turn: "TurnView"
        where: Literal["next", "previous", "first", "last", "composer"]

    def __init__(self, exchange: Exchange, roots: Sequence[str] = ()) -> None:
        super().__init__()
        self.question: Said = exchange.question
        self.said: Said | None = exchange.answer
        self.state: State = exchange.answer.state if exchange.answer else "streaming"
        settled = exchange.answer is not None and exchange.answer.state != "streaming"
        self.stream = StreamView(exchange.answer.content if exchange.answer and settled else None)
        self._sources: SourcesView | None = None
        self.note = ""
        self.usage = exchange.answer.usage if exchange.answer else Usage()
        self.pieces = 0
        self._first_at: float | None = None
        thoughts = exchange.answer.reasoning if exchange.answer else ""
        self._thoughts = ThoughtsView(thoughts) if thoughts else None  # most models have none
        self._note = Static("…", classes="note", markup=False)
        self._question = Static(classes="question", markup=False)
        self._coding = self._looking = -1
        self._roots = roots

    def compose(self) -> ComposeResult:
        # What most turns lack is mounted when it comes: each widget costs 3 ms of opening a thread.
        yield self._question
        if self._thoughts is not None:
            yield self._thoughts
        yield self.stream
        yield self._note
        if self.said is not None and self.said.sources:
            yield self.sources

    def on_mount(self) -> None:
        self._question.update(question_text(self.question))
        if self.said is not None and self.state != "streaming":
            self.settle_note(self.said)
            if self.said.sources:
                self.sources.show(self.said.sources, self._roots)

    @property
    def sources(self) -> SourcesView:
        """Made when it is asked for: a list costs more than all the rest of a turn."""
        if self._sources is None:
            self._sources = SourcesView()
        return self._sources

    @property
    def passages(self) -> tuple[Passage, ...]:
        """What the answer rests on."""
        return tuple(self._sources.passages) if self._sources is not None else ()

    @property
    def answer(self) -> str:
        """The text so far."""
        return self.stream.text

    @property
    def rate(self) -> float:
        """Pieces a second since the first one, which is about the tokens."""
        if self._first_at is None or self.pieces < 2:
            return 0.0
        return (self.pieces - 1) / max(time.monotonic() - self._first_at, 1e-3)

    def feed(self, text: str) -> None:
        if self._first_at is None:
            self._first_at = time.monotonic()
            self._end_thoughts()
        self.pieces += 1
        self.stream.feed(text)
        if self.note:
            self._say("")

    def think(self, text: str) -> None:
        """A piece of reasoning: counted and folded, drawn only when asked for."""
        self._begin_thoughts().feed(text)

    def cite(self, passages: Sequence[Passage]) -> None:
        if not passages and self._sources is None:
            return
        if passages and not self.sources.is_attached and self.is_attached:
            self.mount(self.sources)
        self.sources.show(passages, self._roots)

    def report(self, event: Progress) -> None:
        """What the daemon is doing before the first word."""
        self._say(format.progress(event))

    def wait(self, why: str) -> None:
        """Nothing comes at the moment."""
        self._say(why)

    async def finish(self, done: Done) -> None:
        self.usage = done.usage
        stopped = done.finish_reason == "cancelled"
        silent = stopped and not self.answer
        await self._end("stopped" if stopped else "done", SILENT if silent else format.costs(done))

    async def fail(self, error: LocalmindError) -> None:
        await self._end("failed", format.failure(error))

    async def settle(self, said: Said) -> None:
        """The answer as the daemon stored it, in place of what was followed."""
        self.said, self.usage = said, said.usage
        if said.reasoning:
            self._begin_thoughts().replace(said.reasoning)
        await self.stream.replace(said.content)
        self.cite(said.sources)
        self.state = said.state
        self.settle_note(said)

    def settle_note(self, said: Said) -> None:
        self.set_class(said.state == "failed", "failed")
        self._end_thoughts()
        if said.state == "failed":
            self._say(clean(said.error or "failed") + (f"\nhint: {clean_line(said.hint)}" if said.hint else ""))
        elif said.state == "stopped" and not said.content:
            self._say(SILENT)
        else:
            reason = "cancelled" if said.state == "stopped" else said.finish_reason or "stop"
            self._say(format.costs(Done(reason, said.usage, said.timings)))

    async def _end(self, state: State, note: str) -> None:
        await self.stream.end()
        self._end_thoughts()
        self.set_class(state == "failed", "failed")
        self.state = state
        self._say(note)

    def _say(self, note: str) -> None:
        self.note = note
        place, count = self.said.branch if self.said else (1, 1)
        branch = f"‹ {place}/{count} ›" if count > 1 else ""
        shown = "  ".join(part for part in (branch, note) if part)
        self._note.update(shown)
        self._note.display = bool(shown)

    def _begin_thoughts(self) -> ThoughtsView:
        if self._thoughts is None:
            self._thoughts = ThoughtsView()
            if self.is_attached:
                self.mount(self._thoughts, before=self.stream)
        return self._thoughts

    def _end_thoughts(self) -> None:
        if self._thoughts is not None:
            self._thoughts.end()

    def on_click(self) -> None:
        self.focus()

    def action_fold(self) -> None:
        if self._thoughts is not None:
            self._thoughts.fold()

    def action_copy(self) -> None:
        self.post_message(self.Asked(self, "copy", text=self.answer))

    def action_read(self) -> None:
        self.post_message(self.Asked(self, "read", text=self.answer))

    def action_copy_question(self) -> None:
        self.post_message(self.Asked(self, "copy", text=self.question.content))

    def action_copy_code(self) -> None:
        """The first block, and with each further press the one after it."""
        blocks = [block for block in code_blocks(self.answer) if block.strip()]
        if not blocks:
            self.notify("No code block in this answer.", markup=False)
            return
        self._coding = (self._coding + 1) % len(blocks)
        which = f"code block {self._coding + 1} of {len(blocks)}" if len(blocks) > 1 else "the code"
        self.post_message(self.Asked(self, "copy", text=blocks[self._coding], named=which))

    def action_picture(self) -> None:
        """The first image, and with each further press the one after it."""
        pictures = self.question.pictures
        if not pictures:
            self.notify("No image went with this question.", markup=False)
            return
        self._looking = (self._looking + 1) % len(pictures)
        self.post_message(self.PictureWanted(pictures[self._looking]))

    def action_edit(self) -> None:
        self.post_message(self.Asked(self, "edit"))

    def action_again(self) -> None:
        self.post_message(self.Asked(self, "again"))

    def action_delete(self) -> None:
        self.post_message(self.Asked(self, "delete"))

    def action_branch(self, step: int) -> None:
        if self.said is not None and (wanted := self.said.beside(step)) is not None:
            self.post_message(self.Asked(self, "choose", wanted))

    def action_wording(self, step: int) -> None:
        if (wanted := self.question.beside(step)) is not None:
            self.post_message(self.Asked(self, "choose", wanted))

    def action_sources(self) -> None:
        if self.passages:
            self.sources.focus()

    def action_go(self, step: int) -> None:
        self.post_message(self.Move(self, "next" if step > 0 else "previous"))

    def action_first(self) -> None:
        self.post_message(self.Move(self, "first"))

    def action_last(self) -> None:
        self.post_message(self.Move(self, "last"))

    def action_leave(self) -> None:
        self.post_message(self.Move(self, "composer"))


def question_text(question: Said) -> Content:
    """The question with what went with it and its branch mark."""
    place, count = question.branch
    lines: list[str] = []
    lines += [f"▣ {picture.words}" for picture in question.pictures]
    if question.attachments:
        lines.append("with " + ", ".join(clean_line(path.rpartition("/")[2]) for path in question.attachments))
    if count > 1:
        lines.append(f"‹ {place}/{count} ›")
    beneath = "".join(f"\n{line}" for line in lines)
    return Content.assemble((clean(question.content), "bold"), (beneath, "$foreground-muted"))
