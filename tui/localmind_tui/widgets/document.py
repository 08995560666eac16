"""An answer on the screen: one widget of any length, which lays out what is new and draws the rows in view.

Markdown of closed blocks stays; the open block at the end is replaced as it grows. Large texts are parsed and coloured
in a thread, so that the app goes on. A click on the line above a block of code copies it, one on a link tells where
it leads; nothing is followed or fetched.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual
from textual.widget import Widget

from localmind.clean import clean_line
from localmind_tui import prose
from localmind_tui.prose import Code, Line, Piece, Reader, Row

LARGE = 3_000
"""Characters that take longer to parse than a frame may."""
COLOURS_AFTER_S = 0.5
"""Code is there to be read before it is coloured: the patterns of a language alone take 0.1 s to compile."""
ROOM = 4
"""Empty rows below an open block when it has been laid out: laying out the conversation costs more than drawing."""


class Document(Widget):
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
        self._strips: dict[int, Strip] = {}
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
        self._drop_open()
        if new and self._pieces:
            self._pieces.append(Line(Content("")))
        self._pieces += new
        self._whole = len(self._pieces)
        self.source += text
        self._held = 0
        if len(self._codes) > first:
            self._colour(first)
        self.refresh(layout=True)

    async def update(self, text: str) -> None:
        """Show another text."""
        self._drop_open()
        self._pieces, self._whole, self.source = [], 0, ""
        self._codes.clear()
        self._forget(0)
        await self.append(text)

    def show_open(self, text: str, *, plain: bool) -> None:
        """Show a block that is still growing, in the place of the one before; as it is where that is wanted."""
        self._drop_open()
        self.open = text
        if text:
            codes: list[Code] = []
            lines: Sequence[Piece] = [Line(Content(line)) for line in text.split("\n")]
            new = lines if plain else Reader(codes).read(text)
            gap = [Line(Content(""))] if self._pieces and new else []
            self._pieces += [*gap, *(replace(each, copies=False) if isinstance(each, Line) else each for each in new)]
        needed = self._height(self.size.width) if self.size.width else 0
        fits = 0 <= self._held - needed <= 2 * ROOM
        if fits:
            self.refresh()
        else:
            self._held = needed + ROOM if text else 0
            self.refresh(layout=True)

    # -- laying out

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(self._height(width), self._held)

    def _height(self, width: int) -> int:
        laid, before = self._laid
        if before != width:
            self._forget(0)
            laid = 0
        if laid < len(self._pieces):
            for each in prose.rows(self._pieces[laid:], width, line=len(self._texts), piece=laid):
                if isinstance(each, Row):
                    self._rows.append(each)
                else:
                    self._texts.append(each)
        self._laid = (len(self._pieces), width)
        return len(self._rows)

    def _drop_open(self) -> None:
        if len(self._pieces) > self._whole:
            del self._pieces[self._whole :]
            self._forget(self._whole)
        self.open = ""

    def _forget(self, pieces: int) -> None:
        """What was laid out and drawn from this piece on."""
        if self._laid[0] <= pieces:
            return
        while self._rows and self._rows[-1].piece >= pieces:
            self._strips.pop(len(self._rows) - 1, None)
            self._rows.pop()
        del self._texts[self._rows[-1].line + 1 if self._rows else 0 :]
        self._laid = (pieces, self._laid[1])

    # -- drawing

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        self._height(width)
        if y >= len(self._rows):
            return Strip.blank(width, self.visual_style.rich_style)
        selection = self.text_selection
        if selection is None and (known := self._strips.get(y)) is not None:
            return known
        row = self._rows[y]
        strip = self._strip(row, selection).adjust_cell_length(width, self.visual_style.rich_style)
        if selection is None:
            self._strips[y] = strip
        return strip

    def _strip(self, row: Row, selection: Selection | None) -> Strip:
        content = row.content
        if selection is not None and (span := selection.get_span(row.line)) is not None:
            start, end = span[0], len(self._texts[row.line]) if span[1] == -1 else span[1]
            style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
            content = content.stylize(style, max(0, start - row.x), max(0, end - row.x))
        drawn = Visual.to_strips(self, content, content.cell_length, 1, self.visual_style, apply_selection=False)
        return (drawn[0] if drawn else Strip([])).apply_offsets(row.x, row.line)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract("\n".join(self._texts)), "\n"

    # -- code

    def _colour(self, first: int) -> None:
        self.colouring += 1
        self.set_timer(COLOURS_AFTER_S, lambda: self.run_worker(self._coloured(first), group="colour"))

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
