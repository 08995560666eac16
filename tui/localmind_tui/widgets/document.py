"""An answer on the screen: one widget of any length, which lays out what is new and draws the rows in view.

Markdown of closed blocks stays; the open block at the end is read anew as it grows, and what came out as before is
neither laid out nor drawn again. Large texts are parsed and coloured in a thread, so that the app goes on. A click on
the line above a block of code copies it, one on a link tells where it leads; nothing is followed or fetched.
"""

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.segment import Segment
from textual.content import Content
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style

from localmind.clean import clean_line
from localmind_tui import prose
from localmind_tui.prose import Code, Line, Piece, Reader, Row, same
from localmind_tui.widgets.lean import Steady

LARGE = 3_000
"""Characters that take longer to parse than a frame may."""
COLOURS_AFTER_S = 0.5
"""Code is there to be read before it is coloured: the patterns of a language alone take 0.1 s to compile."""
ROOM = 4
"""Empty rows below an open block when it has been laid out: laying out the conversation costs more than drawing."""


class Document(Steady):
    """Shows Markdown. `source` is the closed part of it."""

    DEFAULT_CSS = "Document { height: auto; width: 1fr; }"

    @dataclass
    class CopyWanted(Message):
        """Somebody wants this block of code."""

        code: str

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.source = text
        self.open = ""
        self._codes: list[Code] = []
        self._reader = Reader(self._codes)
        self._pieces: list[Piece] = self._reader.read(text) if text else []
        self._whole = len(self._pieces)  # of the pieces; the others are the open block
        self._rows: list[Row] = []
        self._texts: list[str] = []  # of the lines, as they are copied
        self._laid = (0, 0)  # how many pieces are laid out in `_rows`, and for which width
        self._strips: dict[int, Strip] = {}  # as drawn, by row
        self._stale: dict[int, tuple[Row, Strip]] = {}  # rows that may come out as they were
        self._changed = 0  # the first row that did not
        self._styles: dict[str, Style] = {}
        self._held = 0  # rows that were given room
        self.colouring = 0
        """How many blocks or groups of them wait for their colours."""

    def on_mount(self) -> None:
        if self._codes:
            self._colour(0)

    async def append(self, text: str) -> None:
        """Add closed blocks in the place of the open one."""
        first = len(self._codes)
        read = self._reader.read
        new = read(text) if len(text) < LARGE else await asyncio.to_thread(read, text)
        self._put(new)
        self._whole = len(self._pieces)
        self.open = ""
        self.source += text
        self._held = 0
        if len(self._codes) > first:
            self._colour(first)
        self.refresh(layout=True)

    async def update(self, text: str) -> None:
        """Show another text."""
        self._forget(0)
        self._pieces, self._whole, self.source = [], 0, ""
        self._codes.clear()
        await self.append(text)

    def show_open(self, text: str, *, plain: bool) -> None:
        """Show a block that is still growing, in the place of the one before; as it is where that is wanted."""
        self.open = text
        before = len(self._rows)
        if plain:
            self._put([Line(Content(line)) for line in text.split("\n")])
        else:
            self._put(Reader(self._codes.copy()).read(text))
        if not self.size.width:
            return
        self._changed = len(self._rows)
        needed = self._height(self.size.width)
        if 0 <= self._held - needed <= 2 * ROOM:
            if (end := max(before, needed)) > self._changed:
                self.refresh(Region(0, self._changed, self.size.width, end - self._changed))
        else:
            self._held = needed + ROOM if text else 0
            self.refresh(layout=True)

    def _put(self, new: Sequence[Piece]) -> None:
        """These pieces after the closed ones; those that are there already stay as they are."""
        if new and self._whole:
            new = [Line(Content("")), *new]
        place = self._whole
        for was, now in zip(self._pieces[self._whole :], new, strict=False):
            if not same(was, now):
                break
            place += 1
        self._forget(place)
        self._pieces[place:] = new[place - self._whole :]

    # -- laying out

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(self._height(width), self._held)

    def _height(self, width: int) -> int:
        laid, before = self._laid
        if before != width:
            self._forget(0)
            self._stale.clear()
            laid = 0
        if laid < len(self._pieces):
            first = len(self._rows)
            for each in prose.rows(self._pieces[laid:], width, line=len(self._texts), piece=laid):
                if isinstance(each, Row):
                    self._rows.append(each)
                else:
                    self._texts.append(each)
            self._keep(first)
        self._laid = (len(self._pieces), width)
        return len(self._rows)

    def _keep(self, first: int) -> None:
        """What is drawn of rows that came out as they were before."""
        for place in range(first, len(self._rows)):
            row, strip = self._stale.get(place, (None, None))
            if row is not None and strip is not None and row.looks_like(self._rows[place]):
                self._strips[place] = strip
            else:
                self._changed = min(self._changed, place)
        self._stale.clear()

    def _forget(self, pieces: int) -> None:
        """What was laid out from this piece on."""
        if self._laid[0] <= pieces:
            return
        while self._rows and self._rows[-1].piece >= pieces:
            row = self._rows.pop()
            if (strip := self._strips.pop(len(self._rows), None)) is not None:
                self._stale[len(self._rows)] = row, strip
        del self._texts[self._rows[-1].line + 1 if self._rows else 0 :]
        self._laid = (pieces, self._laid[1])
        self._changed = min(self._changed, len(self._rows))

    # -- drawing

    def notify_style_update(self) -> None:
        self._strips.clear()
        self._stale.clear()
        self._styles.clear()
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows of a part of it. There is no edge and no padding around them, so Textual has nothing to add."""
        ground, filters, width = self.background_colors[1], self.get_line_filters(), self.size.width
        strips = []
        for y in range(crop.y, crop.bottom):
            strip = self.render_line(y)
            for each in filters:
                strip = strip.apply_filter(each, ground)
            strips.append(strip if crop.column_span == (0, width) else strip.crop(crop.x, crop.right))
        return strips

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        self._height(width)
        if y >= len(self._rows):
            return Strip.blank(width, self.visual_style.rich_style)
        row = self._rows[y]
        # What was taken away can be drawn once more before the rest is laid out anew; only what is there has a screen.
        selection = self.text_selection if self.is_attached else None
        if selection is not None and (span := selection.get_span(row.line)) is not None:
            return self._drawn(row, self._marked(row, *span), width)
        if (known := self._strips.get(y)) is None:  # the same object while it looks the same: Textual knows it then
            known = self._strips[y] = self._drawn(row, row.content, width)
        return known

    def _marked(self, row: Row, start: int, end: int) -> Content:
        if end == -1:
            end = len(self._texts[row.line])
        style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
        return row.content.stylize(style, max(0, start - row.x), max(0, end - row.x))

    def _drawn(self, row: Row, content: Content, width: int) -> Strip:
        ground, x = self.visual_style, row.x
        segments = []
        for text, style in content.render(ground, end="", parse_style=self._style):
            segments.append(Segment(text, style.rich_style_with_offset(x, row.line)))  # by which it can be selected
            x += len(text)
        return Strip(segments, content.cell_length).adjust_cell_length(width, ground.rich_style)

    def _style(self, style: str | Style) -> Style:
        if isinstance(style, Style):
            return style
        if (known := self._styles.get(style)) is None:
            known = self._styles[style] = Style.parse(style)
        return known

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract("\n".join(self._texts)), "\n"

    # -- code

    def _colour(self, first: int) -> None:
        self.colouring += 1
        # The worker makes the coroutine: one that is made for an app that ends meanwhile is never awaited.
        work = functools.partial(self._coloured, first)
        self.set_timer(COLOURS_AFTER_S, lambda: self.run_worker(work, group="colour"))  # type: ignore[arg-type]  # None

    async def _coloured(self, first: int) -> None:
        """Colour blocks of code, from this one on, that hold still in the meantime."""
        from localmind_tui.colours import coloured  # pygments: needed by the first block of code

        try:
            for which in range(first, len(self._codes)):
                code = self._codes[which]
                lines = await asyncio.to_thread(coloured, code)
                if which >= len(self._codes) or self._codes[which] is not code:
                    return
                self._recolour(which, lines)
        finally:
            self.colouring -= 1

    def _recolour(self, which: int, lines: Sequence[Content]) -> None:
        places = [
            place
            for place, each in enumerate(self._pieces[: self._whole])
            if isinstance(each, Line) and each.code == which and not each.copies
        ]
        for place, line in zip(places, lines, strict=False):
            was = self._pieces[place]
            assert isinstance(was, Line)
            if was.text.plain == line.plain:
                self._pieces[place] = replace(was, text=line)
        if places:
            self._forget(places[0])
            self.refresh()

    # -- clicks

    def on_click(self, event: Click) -> None:
        href = event.style.meta.get("href")
        if href is not None:
            event.stop()
            self.notify(clean_line(str(href)), title="This link leads to", markup=False)
            return
        row = self._rows[event.y] if event.y < len(self._rows) else None
        piece = self._pieces[row.piece] if row is not None else None
        if isinstance(piece, Line) and piece.copies and piece.code is not None and piece.code < len(self._codes):
            event.stop()
            self.post_message(self.CopyWanted(self._codes[piece.code].text))
