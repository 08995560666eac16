"""The vim mode of the composer: keys of normal and visual mode. Insert mode is the TextArea itself.

A small, exact part of vi: counts; h j k l w W b B e E 0 ^ $ gg G { } f F t T ; , alone, behind d c y > < and in
visual mode; iw aw iW aW ip ap; x X s S D C Y J ~ r p P u Ctrl+R i I a A o O; v V gv. What is typed is never sent by it;
Enter does that in every mode. Where keys go is in motions, what operators do in edits.
"""

from dataclasses import dataclass, field
from typing import Literal

from textual.widgets import TextArea

from localmind_tui.vim.edits import Edits, Span
from localmind_tui.vim.going import KEYS, Goal, Going
from localmind_tui.vim.motions import FINDS, LINEWISE, Place, indent, paragraph_object, word_object
from localmind_tui.vim.visual import Visual

NAMED = {
    "left": "h",
    "backspace": "h",
    "right": "l",
    "space": "l",
    " ": "l",
    "up": "k",
    "down": "j",
    "home": "0",
    "end": "$",
    "delete": "x",
}
"""Keys of the keyboard that are letters of vi."""
OPERATORS = frozenset("dcy><")
MOST = 10_000
"""What a count goes to: nobody means more, and a long one must not hold the app up."""


@dataclass(slots=True)
class Vim:
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

    @property
    def marking(self) -> bool:
        return self.mode in ("visual", "lines")

    @property
    def words(self) -> str:
        """For the frame of the question."""
        keys = "y d c p, Esc ends it"
        known = {"normal": "normal mode, i inserts", "visual": f"visual mode: {keys}", "lines": f"visual lines: {keys}"}
        return known.get(self.mode, "")

    def marked(self, area: TextArea) -> str:
        """What visual mode marks; the TextArea's own selection lacks the character under the cursor."""
        if not (self.marking and self._visual.is_shown(area)):
            return area.selected_text
        span = self._visual.span(area.document.lines)
        return area.get_text_range(span.first, span.last)

    def rest(self, area: TextArea) -> None:
        """Another text is coming: nothing is marked or half typed."""
        self._reset()
        if self.marking:
            self._leave_visual(area)

    def key(self, name: str, character: str | None, area: TextArea) -> bool:
        """Take a key; False when it is none of vim's business."""
        if self.mode == "insert":
            if name != "escape":
                return False
            self.mode = "normal"
            row, column = area.cursor_location
            area.move_cursor((row, max(column - 1, 0)))
            return True
        self._notice(area)
        key = character if character is not None and character.isprintable() else name
        if key == "escape":
            return self._escape(area)
        if key in ("up", "down") and self.mode == "normal" and not self._operator:
            return False  # to what was asked before, on the first line
        if name in ("enter", "tab", "shift+tab") or (name.startswith(("ctrl+", "alt+", "f")) and len(key) > 1):
            return name == "ctrl+r" and self.mode == "normal" and self._undo(area, again=True)
        if self._waiting:
            self._second(key, area)
        elif key.isdecimal() and key.isascii() and (key != "0" or self._count):
            self._count += key
        else:
            self._first(NAMED.get(key, key), area)
        self._settle(area)
        return True

    def _notice(self, area: TextArea) -> None:
        """The mouse may have marked or unmarked something since the last key."""
        if self.marking and not self._visual.is_shown(area):
            self.mode = "normal"
        if self.mode == "normal" and not area.selection.is_empty:
            self._visual.take_over(area)
            self.mode = "visual"

    def _settle(self, area: TextArea) -> None:
        """In normal mode the cursor stands on a character, never behind the last."""
        row, column = area.cursor_location
        if self.mode == "normal" and column > (last := max(len(area.document.get_line(row)) - 1, 0)):
            area.move_cursor((row, last))

    def _escape(self, area: TextArea) -> bool:
        waited, busy = self._waiting, bool(self._count or self._operator or self._waiting)
        self._reset()
        if self.marking and not waited:
            self._leave_visual(area)
            return True
        return busy

    def _reset(self) -> None:
        self._count = self._operator = self._waiting = ""
        self._times = 0

    @property
    def _counted(self) -> int:
        """Both counts of `2d3w` multiply."""
        return min(max(self._times, 1) * min(int(self._count[:6] or 1), MOST), MOST)

    def _place(self, area: TextArea) -> Place:
        return self._visual.at if self.marking else area.cursor_location

    # -- keys

    def _second(self, key: str, area: TextArea) -> None:
        waiting, self._waiting = self._waiting, ""
        if waiting == "g" and key == "g":
            self._move("gg", area)
        elif waiting == "g" and key == "v" and not self._operator:
            if self._visual.again(area):
                self._enter_visual("lines" if self._visual.lines else "visual", area)
            self._reset()
        elif waiting in FINDS and len(key) == 1:
            self._went(
                waiting, self._going.find(waiting, key, self._place(area), area.document.lines, self._counted), area
            )
        elif waiting in ("i", "a") and key in ("w", "W", "p"):
            self._object(key, area, around=waiting == "a")
        elif waiting == "r" and len(key) == 1:
            self._replace(key, area)
            self._reset()
        else:
            self._reset()

    def _first(self, key: str, area: TextArea) -> None:
        alone = not self._operator
        if key == "g" or key in FINDS or (key == "r" and alone) or (key in ("i", "a") and (self.marking or not alone)):
            self._waiting = key
        elif self.marking and self._on_marked(key, area):
            self._reset()
        elif key in OPERATORS and alone:
            self._operator, self._times, self._count = key, int(self._count[:6] or 0), ""
        elif key == self._operator:
            self._rows(area)
        elif key in KEYS:
            self._move(key, area)
        else:
            if alone and not self.marking:
                self._command(key, area)
            self._reset()

    def _command(self, key: str, area: TextArea) -> None:
        row, column = area.cursor_location
        line = area.document.get_line(row)
        count, end = self._counted, (row, len(line))
        match key:
            case "i" | "a" | "I" | "A":
                self.mode = "insert"
                area.move_cursor(
                    (row, {"i": column, "a": min(column + 1, end[1]), "I": indent(line), "A": end[1]}[key])
                )
            case "o" | "O":
                self.mode = "insert"
                area.history.checkpoint()
                area.insert("\n", end if key == "o" else (row, 0))
                area.move_cursor((row + (key == "o"), 0))
            case "v" | "V":
                self._visual.begin((row, column), (row, column), lines=key == "V")
                self._enter_visual("visual" if key == "v" else "lines", area)
            case "x" | "s":
                last = row, min(column + count, end[1])
                self._do("c" if key == "s" else "d", Span((row, column), last), area)
            case "D" | "C":
                self._operator = "c" if key == "C" else "d"
                self._move("$", area)
            case "X":
                self._do("d", Span((row, max(column - count, 0)), (row, column)), area)
            case "S" | "Y":
                self._operator = "c" if key == "S" else "y"
                self._rows(area)
            case "~":
                span = Span((row, column), (row, min(column + count, end[1])))
                self._do("~", span, area)
                area.move_cursor(span.last)
            case "J":
                self._edits.join(row, row + max(count - 1, 1), area)
            case "p" | "P":
                self._edits.put(area, after=key == "p", count=count)
            case "u":
                self._undo(area)

    def _on_marked(self, key: str, area: TextArea) -> bool:
        """What visual mode does with what is marked; False for keys that move."""
        visual = self._visual
        span = visual.span(area.document.lines)
        first_row, last_row = min(visual.anchor, visual.at)[0], max(visual.anchor, visual.at)[0]
        rows = Span.of_rows(area, first_row, last_row)
        match key:
            case "v" | "V":
                wanted: Literal["visual", "lines"] = "visual" if key == "v" else "lines"
                if self.mode == wanted:
                    self._leave_visual(area)
                else:
                    visual.lines = key == "V"
                    self._enter_visual(wanted, area)
            case "o" | "O":
                visual.anchor, visual.at = visual.at, visual.anchor
                visual.show(area)
            case "d" | "x" | "y" | "c" | "s" | "~" | "u" | "U":
                self._on_span({"x": "d", "s": "c"}.get(key, key), span, area)
            case "D" | "X" | "Y" | "C" | "S" | "R":
                self._on_span({"D": "d", "X": "d", "Y": "y"}.get(key, "c"), rows, area)
            case ">" | "<":
                self._on_span(key, rows, area)
            case "J":
                self._leave_visual(area)
                area.move_cursor(span.first)
                self._edits.join(first_row, max(last_row, first_row + 1), area)
            case "p" | "P":
                self._leave_visual(area)
                self._edits.put_over(span, area, keep=key == "P")
            case _:
                return False
        return True

    def _on_span(self, operator: str, span: Span, area: TextArea) -> None:
        count = self._counted
        self._leave_visual(area)
        area.move_cursor(span.first)
        self._do(operator, span, area, count)

    def _enter_visual(self, mode: Literal["visual", "lines"], area: TextArea) -> None:
        self.mode = mode
        self._visual.show(area)

    def _leave_visual(self, area: TextArea) -> None:
        self.mode = "normal"
        self._visual.end(area)

    def _do(self, operator: str, span: Span, area: TextArea, count: int = 1) -> None:
        self._edits.act(operator, span, area, count)
        self._going.forget_column()
        if operator == "c":
            self.mode = "insert"

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
            return
        row, column = area.cursor_location
        last = column + self._counted
        if last <= len(area.document.get_line(row)):
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
            return
        if goal.inclusive:
            last = last[0], min(last[1] + 1, len(lines[last[0]]))
        elif key in ("w", "W") and last[0] > start[0] and last[1] <= indent(lines[last[0]]):
            last = last[0] - 1, len(lines[last[0] - 1])  # a line's end is not taken with its last word
        elif last[0] > first[0] and last[1] == 0:  # nor with what ends before the next line, which is whole lines then
            if first[1] <= indent(lines[first[0]]):
                self._act(Span.of_rows(area, first[0], last[0] - 1), area)
                return
            last = last[0] - 1, len(lines[last[0] - 1])
        before, behind = lines[first[0]][: first[1]], lines[last[0]][last[1] :]
        if self._operator == "d" and first[0] < last[0] and not (before.strip() or behind.strip()):
            self._act(Span.of_rows(area, first[0], last[0]), area)  # and so is what leaves nothing but blanks
        else:
            self._act(Span(first, last), area)

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
        if self.marking:
            self._extend(key == "W", area, around=around)
        else:
            self._act(Span(*word_object(lines, at, around=around, big=key == "W")), area)
        self._reset()

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
