"""Markdown that grows while a model writes it, at a cost the model can spare.

Closed blocks are Markdown; the open one is plain text until it closes or the text ends. Measured on 2 cores at 30
tokens/s, an open list costs 60 % of a core when each token goes to the Markdown widget, and 10 % this way. It is drawn
ten times a second, or less often where that would take more of a core than SHARE; what it takes is measured. Of a long
open block only the end is drawn while it grows.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from localmind.clean import Cleaner, clean
from localmind_tui.blocks import closed_length

if TYPE_CHECKING:
    from localmind_tui.widgets.fence import Document

SHARE = 0.11
"""Of a core, that this program may use while an answer is written; the model wants the rest."""
FASTEST_S = 0.1
SLOWEST_S = 0.5
TAIL_LINES = 40
"""Lines of an open block that are drawn while it grows; all of them when it closes."""


ROOM = 4
"""Empty lines below an open block when it has been laid out."""


class StreamView(Vertical):
    """Shows one text that is fed in pieces, or is there from the beginning. `text` is all of it, cleaned."""

    def __init__(self, text: str | None = None) -> None:
        super().__init__()
        self.text = "" if text is None else clean(text)
        self.markdown: Document | None = None
        """The closed blocks, once there are some."""
        self.tail = Static(classes="tail", markup=False)
        self._cleaner = Cleaner()
        self._cut = len(self.text)  # characters of `text` that are in the Markdown widget
        self._writing = asyncio.Lock()  # blocks are mounted one after the other
        self._scheduled = False
        self._ended = text is not None
        self._delay = FASTEST_S
        self._used = time.process_time()  # at the flush before

    def compose(self) -> ComposeResult:
        if self.text:
            yield self._document(self.text)
        if not self._ended:
            yield self.tail

    def _document(self, text: str | None = None) -> "Document":
        from localmind_tui.widgets.fence import Document  # with a Markdown parser: 0.1 s that the first picture saves

        self.markdown = Document(text)
        return self.markdown

    async def _mounted(self) -> "Document":
        if self.markdown is None:
            await self.mount(self._document(), before=0)
        assert self.markdown is not None
        return self.markdown

    def feed(self, piece: str) -> None:
        """Add a piece; it is seen within a tenth of a second, or as soon as the machine can afford it."""
        self.text += self._cleaner.feed(piece)
        if not self._scheduled and not self._ended:
            if not self._cut and not self.tail.display:
                self._used = time.process_time()  # what went before the first word was not drawing it
            self._scheduled = True
            self.set_timer(self._delay, self._flush)

    async def end(self) -> None:
        """Show all of it as Markdown. Later pieces are not expected."""
        self.text += self._cleaner.end()
        self._ended = True
        async with self._writing:
            if self.is_attached and (rest := self.text[self._cut :]):  # else the app is being closed around us
                self._cut = len(self.text)
                await (await self._mounted()).append(rest)
            self.tail.display = False

    async def replace(self, text: str) -> None:
        """Show another text as a whole: the daemon knows better."""
        self._cleaner = Cleaner()
        self.text = clean(text)
        self._ended, self._cut = True, len(self.text)
        async with self._writing:
            if self.is_attached and (self.text or self.markdown is not None):
                await (await self._mounted()).update(self.text)
            self.tail.display = False

    async def _flush(self) -> None:
        self._scheduled = False
        if self._ended or not self.is_attached:
            return
        used = (
            time.process_time()
        )  # laying out and drawing come after a flush, so it is charged with all until the next
        self._delay, self._used = pause(used - self._used), used
        async with self._writing:
            if not self._ended and (closed := closed_length(self.text[self._cut :])):
                block = self.text[self._cut : self._cut + closed]
                self._cut += closed
                await (await self._mounted()).append(block)
        if self._ended:  # `end` came while the blocks were being mounted
            return
        self._show_tail(self.text[self._cut :].rstrip("\n"))

    def _show_tail(self, open_block: str) -> None:
        shown = bool(open_block.strip())
        content = Content(shortened(open_block))
        # Laying out the conversation anew costs more than all the rest, so the block gets room for its next lines.
        size = self.tail.size
        drawn = shown and self.tail.display and size.width > 0  # no width: it has not been laid out yet
        height = content.get_height({}, size.width) if drawn else 0
        fits = drawn and 0 <= size.height - height <= 2 * ROOM
        if drawn and not fits:
            self.tail.styles.height = height + ROOM
        self.tail.display = shown
        self.tail.update(content, layout=not fits)


def pause(used_s: float) -> float:
    """Seconds until the next flush, so that flushes like the last one take SHARE of a core."""
    return min(max(FASTEST_S, used_s / SHARE), SLOWEST_S)


def shortened(block: str) -> str:
    """The end of a long open block, under a line that says so."""
    lines = block.split("\n")
    hidden = len(lines) - TAIL_LINES
    return block if hidden <= 0 else "\n".join([f"… {hidden} lines above", *lines[hidden:]])
