"""The visual mode of the composer: what is marked, and how it is shown in a TextArea.

`at` is where the cursor is for vim; the TextArea's own cursor ends its selection, whose last character the cursor
itself marks. A selection that somebody else made, with the mouse, is taken over.
"""

from dataclasses import dataclass

from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from localmind_tui.vim.edits import Span
from localmind_tui.vim.motions import Lines, Place


@dataclass(slots=True)
class Visual:
    """Between two keys. `last` is what `gv` brings back."""

    anchor: Place = (0, 0)
    at: Place = (0, 0)
    lines: bool = False
    last: tuple[Place, Place, bool] | None = None
    _shown: Selection | None = None

    def begin(self, anchor: Place, at: Place, *, lines: bool) -> None:
        self.anchor, self.at, self.lines = anchor, at, lines

    def end(self, area: TextArea) -> None:
        """Nothing is marked any more; the cursor is where vim had it."""
        self.last = self.anchor, self.at, self.lines
        self._shown = None
        area.move_cursor(_inside(self.at, area.document.lines))

    def again(self, area: TextArea) -> bool:
        """gv; False when nothing was marked before. The text may have become shorter since."""
        if self.last is None:
            return False
        anchor, at, lines = self.last
        self.begin(_inside(anchor, area.document.lines), _inside(at, area.document.lines), lines=lines)
        return True

    def take_over(self, area: TextArea) -> None:
        """What was selected without us, by its characters."""
        start, end = area.selection
        first, behind = sorted((start, end))
        lines = area.document.lines
        row, column = behind
        inner = (row, column - 1) if column else (row - 1, len(lines[row - 1]))
        self.begin(first, inner, lines=False) if end == behind else self.begin(inner, first, lines=False)

    def is_shown(self, area: TextArea) -> bool:
        """Whether the selection is still ours."""
        return area.selection == self._shown

    def span(self, lines: Lines) -> Span:
        """What an operator acts on."""
        first, last = sorted((self.anchor, self.at))
        if self.lines:
            return Span((first[0], 0), (last[0], len(lines[last[0]])), True)
        row, column = last
        if column < len(lines[row]):
            return Span(first, (row, column + 1))
        return Span(first, (row + 1, 0) if row + 1 < len(lines) else last)  # with the line's end

    def show(self, area: TextArea) -> None:
        lines = area.document.lines
        span = self.span(lines)
        if self.lines:
            down = self.at[0] >= self.anchor[0]
            wanted = Selection(span.first, span.last) if down else Selection(span.last, span.first)
        elif self.at >= self.anchor:
            wanted = Selection(self.anchor, self.at)
        else:
            wanted = Selection(span.last, self.at)
        area.selection = wanted
        self._shown = area.selection


def _inside(place: Place, lines: Lines) -> Place:
    """On a character of the text that is there now."""
    row = min(place[0], len(lines) - 1)
    return row, min(place[1], max(len(lines[row]) - 1, 0))
