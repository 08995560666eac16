"""What an operator, a motion or an object does to the text, once all keys of it are typed; what is remembered of it.

Which keys these are, and what is typed between two of them, is for modes to know.
"""

from dataclasses import dataclass, field
from typing import Literal

from textual.widgets import TextArea

from localmind_tui.vim.again import Change, Extent, Typing
from localmind_tui.vim.edits import Edits, Span
from localmind_tui.vim.going import Goal, Going
from localmind_tui.vim.motions import LINEWISE, Place, indent
from localmind_tui.vim.objects import PAIRS, QUOTES, bracket_object, paragraph_object, quote_object, word_object
from localmind_tui.vim.visual import Visual

MOST = 10_000
"""What a count goes to: nobody means more, and a long one must not hold the app up."""


@dataclass(slots=True)
class Operating:
    """The state between two keys."""

    mode: Literal["insert", "normal", "visual", "lines"] = "insert"
    _count: str = ""
    _operator: str = ""
    _times: int = 0
    """The count before the operator."""
    _waiting: str = ""
    """`g`, `r`, one of FINDS, or `i` and `a` of an object, which take another key."""
    _going: Going = field(default_factory=Going)
    _edits: Edits = field(default_factory=Edits)
    _visual: Visual = field(default_factory=Visual)
    _changed: bool = False
    """By the key that is being worked off."""
    _last: Change | None = None
    """What `.` does again."""
    _repeating: Change | None = None
    _typing: Typing | None = None

    @property
    def marking(self) -> bool:
        return self.mode in ("visual", "lines")

    def _settle(self, area: TextArea) -> None:
        """In normal mode the cursor stands on a character, never behind the last."""
        row, column = area.cursor_location
        if self.mode == "normal" and column > (last := max(len(area.document.get_line(row)) - 1, 0)):
            area.move_cursor((row, last))

    def _reset(self) -> None:
        self._count = self._operator = self._waiting = ""
        self._times = 0

    @property
    def _counted(self) -> int:
        """Both counts of `2d3w` multiply."""
        return min(max(self._times, 1) * min(int(self._count[:6] or 1), MOST), MOST)

    def _place(self, area: TextArea) -> Place:
        return self._visual.at if self.marking else area.cursor_location

    def _enter_visual(self, mode: Literal["visual", "lines"], area: TextArea) -> None:
        self.mode = mode
        self._visual.show(area)

    def _leave_visual(self, area: TextArea) -> None:
        self.mode = "normal"
        self._visual.end(area)

    def _do(self, operator: str, span: Span, area: TextArea, count: int = 1) -> None:
        self._going.forget_column()
        self._changed = self._changed or (
            operator != "y" and (operator == "c" or span.lines or span.first != span.last)
        )
        if operator == "c" and self._repeating is not None:
            self._edits.change(span, self._repeating.text, area)
            return
        self._edits.act(operator, span, area, count)
        if operator == "c":
            self._type(area)

    def _type(self, area: TextArea, times: int = 1, *, on_lines: bool = False) -> None:
        """What is typed from here on goes in at the cursor."""
        self._changed = True
        if self._repeating is None:
            self.mode = "insert"
            self._typing = Typing.at_cursor(area, times, on_lines=on_lines)
            return
        text = self._repeating.text
        row, column = area.cursor_location
        self._edits.change(Span((row, column), (row, column)), ("\n" if on_lines else "").join([text] * times), area)

    def _typed(self, area: TextArea) -> None:
        """Esc ends insert mode."""
        self.mode = "normal"
        typing, self._typing = self._typing, None
        if typing is not None and self._last is not None:
            self._last.text = typing.text(area)
            if more := typing.more(self._last.text):
                area.move_cursor(area.insert(more).end_location)
        row, column = area.cursor_location
        area.move_cursor((row, max(column - 1, 0)))

    def _extent(self) -> Extent | None:
        """How much is marked."""
        if not self.marking:
            return None
        visual = self._visual
        return Extent.of(visual.anchor, visual.at, whole_lines=visual.lines, to_end=self._going.to_end)

    def _act(self, span: Span, area: TextArea) -> None:
        """The operator that waits, on what a motion went over."""
        operator = self._operator
        self._reset()
        self._do(operator, span, area)

    def _rows(self, area: TextArea) -> None:
        """dd and the like, of as many rows as there are; of more than one on the last row nothing, as in vi."""
        row, last, count = area.cursor_location[0], area.document.line_count - 1, self._counted
        if row == last and count > 1:
            self._reset()
        else:
            self._act(Span.of_rows(area, row, min(row + count - 1, last)), area)

    def _replace(self, character: str, area: TextArea) -> None:
        if self.marking:
            span = self._visual.span(area.document.lines)
            self._leave_visual(area)
            self._edits.replace(character, span, area)
            self._changed = True
            return
        row, column = area.cursor_location
        last = column + self._counted
        if last <= len(area.document.get_line(row)):
            self._changed = True
            self._edits.replace(character, Span((row, column), (row, last)), area)
            area.move_cursor((row, last - 1))

    def _undo(self, area: TextArea, *, again: bool = False) -> bool:
        for _ in range(self._counted):
            area.redo() if again else area.undo()
        area.move_cursor(min(area.selection))
        self._reset()
        self._settle(area)
        return True

    # -- motions

    def _move(self, key: str, area: TextArea) -> None:
        count = self._counted if self._count or self._times else None
        if key == "%" and count is not None:
            key = "percent"
        lines = area.document.lines
        goal = self._going.to(key, self._place(area), lines, count, operator=self._operator, marking=self.marking)
        self._went(key, goal, area)

    def _went(self, key: str, goal: Goal | None, area: TextArea) -> None:
        """A key led there: go, or do what the operator says with all that lies between."""
        if goal is None or not self._operator:
            if goal is not None:
                self._go(goal.place, area)
            self._reset()
            return
        lines, start, place = area.document.lines, area.cursor_location, goal.place
        first, last = sorted((start, place))
        if key in LINEWISE:
            self._act(Span.of_rows(area, first[0], last[0]), area)
        elif goal.inclusive:
            self._act(self._over(first, (last[0], min(last[1] + 1, len(lines[last[0]]))), area), area)
        elif key in ("w", "W") and last[0] > start[0] and last[1] <= indent(lines[last[0]]):
            # a line's end is not taken with its last word
            self._act(self._over(first, (last[0] - 1, len(lines[last[0] - 1])), area), area)
        else:
            self._act(self._up_to(first, last, area), area)

    def _up_to(self, first: Place, last: Place, area: TextArea) -> Span:
        """What ends before a line begins leaves the end of the one before, and is whole lines when it begins as one."""
        lines = area.document.lines
        if last[0] > first[0] and last[1] == 0:
            if first[1] <= indent(lines[first[0]]):
                return Span.of_rows(area, first[0], last[0] - 1)
            last = last[0] - 1, len(lines[last[0] - 1])
        return self._over(first, last, area)

    def _over(self, first: Place, last: Place, area: TextArea) -> Span:
        """What d leaves nothing but blanks of are whole lines too."""
        lines = area.document.lines
        blank = not (lines[first[0]][: first[1]].strip() or lines[last[0]][last[1] :].strip())
        if self._operator == "d" and first[0] < last[0] and blank:
            return Span.of_rows(area, first[0], last[0])
        return Span(first, last)

    def _go(self, place: Place, area: TextArea) -> None:
        if not self.marking:
            area.move_cursor(place)
            return
        self._visual.at = place
        self._visual.show(area)

    def _object(self, key: str, area: TextArea, *, around: bool) -> None:
        lines, at = area.document.lines, self._place(area)
        if key == "p":
            rows = paragraph_object(lines, at[0], around=around)
            if rows is not None and self.marking:
                self._visual.begin((rows[0], 0), (rows[1], 0), lines=True)
                self._enter_visual("lines", area)
            elif rows is not None:
                area.move_cursor((rows[0], 0))
                self._act(Span.of_rows(area, *rows), area)
            self._reset()
            return
        if key in ("w", "W") and self.marking:
            self._extend(key == "W", area, around=around)
        elif key in ("w", "W"):
            first, last = word_object(lines, at, around=around, big=key == "W")
            for _ in range(self._counted - 1):
                last = word_object(lines, last, around=around, big=key == "W")[1]
            self._act(Span(first, last), area)
        else:
            self._enclosed(key, area, around=around)
        self._reset()

    def _enclosed(self, key: str, area: TextArea, *, around: bool) -> None:
        """What stands in quotes or brackets."""
        lines, at, visual = area.document.lines, self._place(area), self._visual
        if key in QUOTES:
            found = quote_object(lines, at, key, around=around, times=self._counted)
        else:
            first, last = sorted((visual.anchor, visual.at)) if self.marking else (at, at)
            found = bracket_object(lines, (first, last), PAIRS[key], around=around, times=self._counted)
        if found is None:
            return
        first, last = found
        if not self.marking:
            area.move_cursor(first)
            self._act(self._up_to(first, last, area), area)
            return
        if key in QUOTES and first == last:  # of empty ones both are marked
            first, last = (first[0], first[1] - 1), (last[0], last[1] + 1)
        if last > first:
            inner = (last[0], last[1] - 1) if last[1] else (last[0] - 1, len(lines[last[0] - 1]))
            visual.begin(first, inner, lines=False)
            self._enter_visual("visual", area)

    def _extend(self, big: bool, area: TextArea, *, around: bool) -> None:
        """Mark a word; where more than one character is marked already, the next one as well."""
        visual, lines = self._visual, area.document.lines
        row, column = visual.at
        back = visual.at < visual.anchor
        if visual.at != visual.anchor:
            column = max(column - 1, 0) if back else min(column + 1, max(len(lines[row]) - 1, 0))
        start, behind = word_object(lines, (row, column), around=around, big=big)
        inner = (row, max(behind[1] - 1, 0))
        if visual.at == visual.anchor:
            visual.anchor = start
        visual.at, visual.lines = start if back else inner, False
        self._enter_visual("visual", area)
