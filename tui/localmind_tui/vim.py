"""The vim mode of the composer: the keys of normal mode as edits of a TextArea. Insert mode is the TextArea itself.

A small, exact part of vi: counts, motions, d c y with motions and doubled, x r s J p P u, i I a A o O. What is
typed is never sent by it; Enter does that in both modes.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from textual.widgets import TextArea

Place = tuple[int, int]
_WORD = re.compile(r"\w+|[^\w\s]+")
MOTIONS = frozenset("hjklwbe0$^G{}") | {"gg", "left", "right", "up", "down", "home", "end"}


@dataclass(slots=True)
class Vim:
    """The state between two keys."""

    mode: Literal["insert", "normal"] = "insert"
    _count: str = ""
    _operator: str = ""
    _waiting: str = ""
    """`g` or `r`, which take another key."""
    _register: str = field(default="")
    _linewise: bool = False

    def key(self, name: str, character: str | None, area: TextArea) -> bool:
        """Take a key; False when it is none of vim's business."""
        if self.mode == "insert":
            if name != "escape":
                return False
            self.mode = "normal"
            row, column = area.cursor_location
            area.move_cursor((row, max(column - 1, 0)))
            return True
        key = character if character is not None and character.isprintable() else name
        if key == "escape":
            busy = bool(self._count or self._operator or self._waiting)
            self._reset()
            return busy
        if name in ("enter", "tab") or (name.startswith(("ctrl+", "alt+", "f")) and len(key) > 1):
            return name == "ctrl+r" and self._redo(area)
        if self._waiting:
            self._second(key, area)
        elif key.isdigit() and (key != "0" or self._count):
            self._count += key
        else:
            self._first(key, area)
        return True

    def _redo(self, area: TextArea) -> bool:
        area.redo()
        return True

    def _reset(self) -> None:
        self._count = self._operator = self._waiting = ""

    def _second(self, key: str, area: TextArea) -> None:
        waiting, self._waiting = self._waiting, ""
        if waiting == "g" and key == "g":
            self._moved("gg", area)
        elif waiting == "r" and len(key) == 1:
            row, column = area.cursor_location
            if column < len(area.document.get_line(row)):
                area.replace(key, (row, column), (row, column + 1))
                area.move_cursor((row, column))
            self._reset()
        else:
            self._reset()

    def _first(self, key: str, area: TextArea) -> None:
        if key in ("g", "r") and not (key == "r" and self._operator):
            self._waiting = key
        elif key in ("d", "c", "y") and not self._operator:
            self._operator = key
        elif key == self._operator:
            self._lines(area)
        elif key in MOTIONS:
            self._moved(key, area)
        else:
            self._command(key, area)
            self._reset()

    def _command(self, key: str, area: TextArea) -> None:
        row, column = area.cursor_location
        line = area.document.get_line(row)
        count = int(self._count or 1)
        match key:
            case "i" | "a" | "I" | "A":
                self.mode = "insert"
                indent = len(line) - len(line.lstrip())
                to = {"i": column, "a": min(column + 1, len(line)), "I": indent, "A": len(line)}[key]
                area.move_cursor((row, to))
            case "o":
                self.mode = "insert"
                area.insert("\n", (row, len(line)))
                area.move_cursor((row + 1, 0))
            case "O":
                self.mode = "insert"
                area.insert("\n", (row, 0))
                area.move_cursor((row, 0))
            case "x" | "s":
                self._cut(area, (row, column), (row, min(column + count, len(line))))
                self.mode = "insert" if key == "s" else self.mode
            case "D" | "C":
                self._cut(area, (row, column), (row, len(line)))
                self.mode = "insert" if key == "C" else self.mode
            case "J":
                if row + 1 < area.document.line_count:
                    area.replace(" ", (row, len(line)), (row + 1, 0))
            case "p" | "P":
                self._put(area, after=key == "p")
            case "u":
                area.undo()

    def _put(self, area: TextArea, *, after: bool) -> None:
        row, column = area.cursor_location
        line = area.document.get_line(row)
        if not self._linewise:
            area.insert(self._register, (row, min(column + after, len(line))))
        elif after:
            area.insert("\n" + self._register, (row, len(line)))
            area.move_cursor((row + 1, 0))
        else:
            area.insert(self._register + "\n", (row, 0))
            area.move_cursor((row, 0))

    def _lines(self, area: TextArea) -> None:
        """dd, cc, yy with a count."""
        row = area.cursor_location[0]
        last = min(row + int(self._count or 1), area.document.line_count) - 1
        end = (last, len(area.document.get_line(last)))
        self._register, self._linewise = area.get_text_range((row, 0), end), True
        if self._operator == "c":
            area.delete((row, 0), end)
            self.mode = "insert"
        elif self._operator == "d":
            if last + 1 < area.document.line_count:
                area.delete((row, 0), (last + 1, 0))
            else:
                start = (row - 1, len(area.document.get_line(row - 1))) if row else (0, 0)
                area.delete(start, end)
            area.move_cursor((min(row, area.document.line_count - 1), 0))
        self._reset()

    def _moved(self, key: str, area: TextArea) -> None:
        start = area.cursor_location
        place = start
        for _ in range(min(int(self._count or 1), 10_000)):
            place = _motion(key, place, area, bool(self._count))
        operator = self._operator
        self._reset()
        if not operator:
            area.move_cursor(place)
            return
        if key in ("j", "k", "G", "gg", "up", "down"):
            first, last = sorted((start[0], place[0]))
            area.move_cursor((first, 0))
            self._operator, self._count = operator, str(last - first + 1)
            self._lines(area)
            return
        first_place, last_place = sorted((start, place))
        if key == "e":
            last_place = (last_place[0], last_place[1] + 1)
        self._register, self._linewise = area.get_text_range(first_place, last_place), False
        if operator != "y":
            area.delete(first_place, last_place)
        area.move_cursor(first_place)
        self.mode = "insert" if operator == "c" else self.mode

    def _cut(self, area: TextArea, start: Place, end: Place) -> None:
        self._register, self._linewise = area.get_text_range(start, end), False
        area.delete(start, end)


def _motion(key: str, place: Place, area: TextArea, counted: bool) -> Place:
    row, column = place
    lines = area.document.line_count
    line = area.document.get_line(row)
    match key:
        case "h" | "left":
            return row, max(column - 1, 0)
        case "l" | "right":
            return row, min(column + 1, len(line))
        case "j" | "down":
            return min(row + 1, lines - 1), min(column, len(area.document.get_line(min(row + 1, lines - 1))))
        case "k" | "up":
            return max(row - 1, 0), min(column, len(area.document.get_line(max(row - 1, 0))))
        case "0" | "home":
            return row, 0
        case "^":
            return row, len(line) - len(line.lstrip())
        case "$" | "end":
            return row, len(line)
        case "gg":
            return 0, 0
        case "G":
            return lines - 1, 0
        case "w":
            starts = [found.start() for found in _WORD.finditer(line) if found.start() > column]
            return (row, starts[0]) if starts else (row + 1, 0) if row + 1 < lines else (row, len(line))
        case "b":
            starts = [found.start() for found in _WORD.finditer(line) if found.start() < column]
            if starts:
                return row, starts[-1]
            return (row - 1, len(area.document.get_line(row - 1))) if row and not column else (row, 0)
        case "e":
            ends = [found.end() - 1 for found in _WORD.finditer(line) if found.end() - 1 > column]
            return (row, ends[0]) if ends else (min(row + 1, lines - 1), 0)
        case "}" | "{":
            step = 1 if key == "}" else -1
            row += step
            while 0 < row < lines - 1 and area.document.get_line(row).strip():
                row += step
            return max(0, min(row, lines - 1)), 0
    return place
