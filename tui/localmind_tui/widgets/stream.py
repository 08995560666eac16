"""Markdown that grows while a model writes it, at a cost the model can spare.

Closed blocks are parsed once; the open one is parsed anew each time it is drawn while it is short, and is plain text
when it is long, of which only the end is drawn. It is drawn ten times a second, or less often where that would take
more of a core than SHARE; what it takes is measured.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical

from localmind.clean import Cleaner, clean
from localmind.counted import counted
from localmind.markdown import closed_length
from localmind_tui.widgets.lean import Backdrop

if TYPE_CHECKING:
    from localmind_tui.widgets.document import Document

SHARE = 0.10
"""Of a core, that this program may use while an answer is written; the model wants the rest."""
FASTEST_S = 0.1
SLOWEST_S = 0.5
SHORT = 3_000
"""Characters of an open block that are drawn as Markdown while it grows."""
TAIL_LINES = 40
"""Lines of an open block that are drawn while it grows; all of them when it closes."""


class StreamView(Vertical, Backdrop):
    """Shows one text that is fed in pieces, or is there from the beginning. `text` is all of it, cleaned."""

    DEFAULT_CSS = """
    StreamView { height: auto; padding: 0 0 0 2; }
    """

    def __init__(self, text: str | None = None) -> None:
        super().__init__()
        self.text = "" if text is None else clean(text)
        self.document: Document | None = None
        """What is seen, once there is something."""
        self._cleaner = Cleaner()
        self._cut = len(self.text)  # characters of `text` that are closed blocks of the document
        self._writing = asyncio.Lock()  # blocks are added one after the other
        self._scheduled = False
        self._ended = text is not None
        self._delay = FASTEST_S
        self._used = time.process_time()  # at the flush before

    def compose(self) -> ComposeResult:
        if self.text:
            yield self._document(self.text)

    def _document(self, text: str = "") -> "Document":
        from localmind_tui.widgets.document import Document  # with a Markdown parser, which the first picture saves

        self.document = Document(text)
        return self.document

    async def _mounted(self) -> "Document":
        if self.document is None:
            await self.mount(self._document())
        assert self.document is not None
        return self.document

    def feed(self, piece: str) -> None:
        """Add a piece; it is seen within a tenth of a second, or as soon as the machine can afford it."""
        self.text += self._cleaner.feed(piece)
        if not self._scheduled and not self._ended:
            if self.document is None:
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

    async def replace(self, text: str) -> None:
        """Show another text as a whole: the daemon knows better."""
        self._cleaner = Cleaner()
        self.text = clean(text)
        self._ended, self._cut = True, len(self.text)
        async with self._writing:
            if self.is_attached and (self.text or self.document is not None):
                await (await self._mounted()).update(self.text)

    async def _flush(self) -> None:
        self._scheduled = False
        if self._ended or not self.is_attached:
            return
        # Laying out and drawing come after a flush, so it is charged with all that is used until the next.
        used = time.process_time()
        self._delay, self._used = pause(used - self._used), used
        async with self._writing:
            if not self._ended and (closed := closed_length(self.text[self._cut :])):
                block = self.text[self._cut : self._cut + closed]
                self._cut += closed
                await (await self._mounted()).append(block)
            if self._ended:  # `end` came while the blocks were being added
                return
            open_block = self.text[self._cut :].rstrip("\n")
            if open_block.strip() or self.document is not None:
                plain = len(open_block) > SHORT
                (await self._mounted()).show_open(shortened(open_block) if plain else open_block, plain=plain)


def pause(used_s: float) -> float:
    """Seconds until the next flush, so that flushes like the last one take SHARE of a core."""
    return min(max(FASTEST_S, used_s / SHARE), SLOWEST_S)


def shortened(block: str) -> str:
    """The end of a long open block, under a line that says so."""
    lines = block.split("\n")
    hidden = len(lines) - TAIL_LINES
    return block if hidden <= 0 else "\n".join([f"… {counted(hidden, 'line')} above", *lines[hidden:]])
