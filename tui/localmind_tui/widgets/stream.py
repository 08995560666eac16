"""Markdown that grows while a model writes it, at a cost the model can spare.

Closed blocks are Markdown; the open one is plain text until it closes, and the end brings one update
with the whole text. Measured on 2 cores at 30 tokens/s, an open list costs 60 % of a core when each token
goes to the Markdown widget, and 10 % this way. Flushes come at most ten times a second, less often
when they are slow. Of a long open block only the end is drawn while it grows.
"""

import time

from markdown_it import MarkdownIt
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Markdown, Static

from localmind.clean import Cleaner, clean, clean_line
from localmind_tui.blocks import closed_length
from localmind_tui.widgets.fence import Document

FASTEST_FLUSH = 0.1
SLOWEST_FLUSH = 0.75
BACK_OFF = 5
"""The next flush waits this many times what the last one took."""
MAX_NESTING = 12
"""Quotes within quotes that are still drawn; a hostile text nests thousands."""
TAIL_LINES = 40
"""Lines of an open block that are drawn while it grows; all of them when it closes."""


def markdown_parser() -> MarkdownIt:
    """The parser of answers: GitHub's tables and strikes, no HTML, no links made of bare words, bounded nesting."""
    return MarkdownIt("gfm-like", {"maxNesting": MAX_NESTING, "linkify": False, "html": False})


class StreamView(Vertical):
    """Shows one text that is fed in pieces, or is there from the beginning. `text` is all of it, cleaned."""

    def __init__(self, text: str | None = None) -> None:
        super().__init__()
        self.text = "" if text is None else clean(text)
        self.markdown = Document(self.text or None, parser_factory=markdown_parser, open_links=False)
        self.tail = Static(classes="tail", markup=False)
        self._cleaner = Cleaner()
        self._cut = len(self.text)  # characters of `text` that are in the Markdown widget
        self._scheduled = False
        self._ended = text is not None
        self._delay = FASTEST_FLUSH

    def compose(self) -> ComposeResult:
        yield self.markdown
        if not self._ended:
            yield self.tail

    def feed(self, piece: str) -> None:
        """Add a piece; it is seen within a tenth of a second."""
        self.text += self._cleaner.feed(piece)
        if not self._scheduled and not self._ended:
            self._scheduled = True
            self.set_timer(self._delay, self._flush)

    async def end(self) -> None:
        """Show the whole text as Markdown. Later pieces are not expected."""
        self.text += self._cleaner.end()
        self._ended = True
        if self.is_attached:  # else the app is being closed around us
            await self.markdown.update(self.text)
            self.tail.display = False

    async def replace(self, text: str) -> None:
        """Show another text as a whole: the daemon knows better."""
        self._cleaner = Cleaner()
        self.text = clean(text)
        self._ended = False
        await self.end()

    async def _flush(self) -> None:
        self._scheduled = False
        if self._ended or not self.is_attached:
            return
        began = time.perf_counter()
        closed = closed_length(self.text[self._cut :])
        if closed:
            block = self.text[self._cut : self._cut + closed]
            self._cut += closed
            await self.markdown.append(block)
        if self._ended:  # `end` came while the blocks were being mounted
            return
        self._show_tail(self.text[self._cut :].rstrip("\n"))
        self._delay = min(max(FASTEST_FLUSH, BACK_OFF * (time.perf_counter() - began)), SLOWEST_FLUSH)

    def _show_tail(self, open_block: str) -> None:
        shown = bool(open_block.strip())
        content = Content(shortened(open_block))
        # Laying out the conversation anew costs more than all the rest, and most words begin no new line.
        size = self.tail.size
        drawn = shown and self.tail.display and size.width > 0  # no width: it has not been laid out yet
        same = drawn and content.get_height({}, size.width) == size.height
        self.tail.display = shown
        self.tail.update(content, layout=not same)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        event.stop()
        self.notify(clean_line(event.href), title="This link leads to", markup=False)


def shortened(block: str) -> str:
    """The end of a long open block, under a line that says so."""
    lines = block.split("\n")
    hidden = len(lines) - TAIL_LINES
    return block if hidden <= 0 else "\n".join([f"… {hidden} lines above", *lines[hidden:]])
