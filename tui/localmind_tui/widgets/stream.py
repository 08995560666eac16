"""Markdown that grows while a model writes it, at a cost the model can spare.

Closed blocks are Markdown; the open one is plain text until it closes or the text ends. Measured on 2 cores at 30
tokens/s, an open list costs 60 % of a core when each token goes to the Markdown widget, and 10 % this way. Flushes come
at most seven times a second, less often when they are slow. Of a long open block only the end is drawn while it grows.
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

FASTEST_FLUSH = 0.14
SLOWEST_FLUSH = 0.75
BACK_OFF = 5
"""The next flush waits this many times what the last one took."""
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
        self._delay = FASTEST_FLUSH

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
        """Add a piece; it is seen within a seventh of a second."""
        self.text += self._cleaner.feed(piece)
        if not self._scheduled and not self._ended:
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
        began = time.perf_counter()
        async with self._writing:
            if not self._ended and (closed := closed_length(self.text[self._cut :])):
                block = self.text[self._cut : self._cut + closed]
                self._cut += closed
                await (await self._mounted()).append(block)
        if self._ended:  # `end` came while the blocks were being mounted
            return
        self._show_tail(self.text[self._cut :].rstrip("\n"))
        self._delay = min(max(FASTEST_FLUSH, BACK_OFF * (time.perf_counter() - began)), SLOWEST_FLUSH)

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


def shortened(block: str) -> str:
    """The end of a long open block, under a line that says so."""
    lines = block.split("\n")
    hidden = len(lines) - TAIL_LINES
    return block if hidden <= 0 else "\n".join([f"… {hidden} lines above", *lines[hidden:]])
