"""The vim mode of the composer: the keys of normal mode as edits of a TextArea. Insert mode is the TextArea itself.

A small, exact part of vi: counts, motions, f F t T and ; for them, d c y with motions, doubled and on iw and aw,
x X r s S D C Y J ~ p P u, i I a A o O. What is typed is never sent by it; Enter does that in both modes.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from textual.widgets import TextArea

Place = tuple[int, int]
_WORD = re.compile(r"\w+|[^\w\s]+")
FINDS = frozenset("fFtT")
MOTIONS = frozenset("hjklwbe0$^G{};") | {"gg", "left", "right", "up", "down", "home", "end"}


@dataclass(slots=True)
class Vim:
    """The state between two keys."""

    mode: Literal["insert", "normal"] = "insert"
    _count: str = ""
    _operator: str = ""
    _waiting: str = ""
    """`g`, `r`, one of FINDS, or `i` and `a` behind an operator, which take another key."""
    _found: str = ""
    """The last of FINDS and its character."""
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
        row, column = area.cursor_location
        if self.mode == "normal" and column > (last := max(len(area.document.get_line(row)) - 1, 0)):
            area.move_cursor((row, last))  # it stands on a character, never behind the last
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
        elif waiting in FINDS and len(key) == 1:
            self._found = waiting + key
            self._moved(";", area)
        elif waiting in ("i", "a") and key == "w":
            self._on_word(area, around=waiting == "a")
        elif waiting == "r" and len(key) == 1:
            row, column = area.cursor_location
            if column < len(area.document.get_line(row)):
                area.replace(key, (row, column), (row, column + 1))
                area.move_cursor((row, column))
            self._reset()
        else:
            self._reset()

    def _first(self, key: str, area: TextArea) -> None:
        if key == "g" or key in FINDS or (key == "r" and not self._operator) or (key in "ia" and self._operator):
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
            case "X":
                self._cut(area, (row, max(column - count, 0)), (row, column))
            case "S" | "Y":
                self._operator = "c" if key == "S" else "y"
                self._lines(area)
            case "~":
                end = min(column + count, len(line))
                area.replace(line[column:end].swapcase(), (row, column), (row, end))
                area.move_cursor((row, end))
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

    def _on_word(self, area: TextArea, *, around: bool) -> None:
        """d, c or y of the word under the cursor, with the blanks behind it."""
        row, column = area.cursor_location
        line = area.document.get_line(row)
        for found in re.finditer(r"\w+|[^\w\s]+|\s+", line):
            if found.start() <= column < found.end():
                end = found.end()
                if around and not found[0].isspace():
                    end += len(line[end:]) - len(line[end:].lstrip())
                self._change(area, (row, found.start()), (row, end))
                break
        self._reset()

    def _moved(self, key: str, area: TextArea) -> None:
        start = area.cursor_location
        if key == "w" and self._operator == "c":
            key = _as_vi_changes(area)
        place = start
        for _ in range(min(int(self._count or 1), 10_000)):
            place = _motion(key, place, area, bool(self._count)) if key != ";" else self._find(place, area)
        if key == "w" and self._operator and place[0] > start[0]:
            place = start[0], len(area.document.get_line(start[0]))  # the line's end is not deleted with its last word
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
        if key == "e" or (key == ";" and self._found[:1] in ("f", "t") and place != start):
            last_place = (last_place[0], last_place[1] + 1)
        self._operator = operator
        self._change(area, first_place, last_place)
        self._reset()

    def _change(self, area: TextArea, first: Place, last: Place) -> None:
        """d, c or y of a range."""
        self._register, self._linewise = area.get_text_range(first, last), False
        if self._operator != "y":
            area.delete(first, last)
        area.move_cursor(first)
        self.mode = "insert" if self._operator == "c" else self.mode

    def _find(self, place: Place, area: TextArea) -> Place:
        """Where the character that is looked for stands in the line, or before it; where we are when it does not."""
        row, column = place
        line, (how, wanted) = area.document.get_line(row), (self._found[:1], self._found[1:])
        if not wanted:
            return place
        if how in "ft":
            at = line.find(wanted, column + 1 + (how == "t"))
            return place if at < 0 else (row, at - (how == "t"))
        at = line.rfind(wanted, 0, max(column - (how == "T"), 0))
        return place if at < 0 else (row, at + (how == "T"))

    def _cut(self, area: TextArea, start: Place, end: Place) -> None:
        self._register, self._linewise = area.get_text_range(start, end), False
        area.delete(start, end)


def _as_vi_changes(area: TextArea) -> str:
    """`cw` on a word ends with the word, as `ce` does; in blanks it goes to the next word."""
    row, column = area.cursor_location
    line = area.document.get_line(row)
    if column >= len(line) or line[column].isspace():
        return "w"
    alone = not any(found.start() <= column < found.end() - 1 for found in _WORD.finditer(line))
    return "right" if alone else "e"  # from the last letter of a word `e` would go to the end of the next


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
