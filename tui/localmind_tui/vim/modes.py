"""The vim mode of the composer: keys of normal and visual mode. Insert mode is the TextArea itself.

A small, exact part of vi: counts; h j k l w W b B e E 0 ^ $ gg G { } f F t T ; , alone, behind d c y > < and in
visual mode, ge gE and % as well; iw aw iW aW ip ap and what stands in quotes or brackets; x X s S D C Y J ~ r p P u
Ctrl+R i I a A o O; v V gv; `.` with counts. What is typed is never sent by it;
Enter does that in every mode. Where keys go is in motions, what operators do with that in operating and edits.
"""

from dataclasses import dataclass, replace
from typing import Literal

from textual.widgets import TextArea

from localmind_tui.vim.again import Change, Extent
from localmind_tui.vim.edits import Span
from localmind_tui.vim.going import KEYS
from localmind_tui.vim.motions import FINDS, indent
from localmind_tui.vim.objects import PAIRS, QUOTES
from localmind_tui.vim.operating import Operating

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
OBJECTS = frozenset("wWp") | QUOTES | frozenset(PAIRS)


@dataclass(slots=True)
class Vim(Operating):
    """Takes the keys one by one."""

    _keys: tuple[str, ...] = ()
    """Of the command under way, without its counts."""

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
            self._typed(area)
            return True
        self._notice(area)
        key = character if character is not None and character.isprintable() else name
        if key == "escape":
            return self._escape(area)
        if key in ("up", "down") and self.mode == "normal" and not self._operator:
            return False  # to what was asked before, on the first line
        if name in ("enter", "tab", "shift+tab") or (name.startswith(("ctrl+", "alt+", "f")) and len(key) > 1):
            return name == "ctrl+r" and self.mode == "normal" and self._undo(area, again=True)
        if not self._waiting and key.isdecimal() and key.isascii() and (key != "0" or self._count):
            self._count += key
            return True
        under_way = bool(self._operator or self._waiting)
        self._keys = (*(self._keys if under_way else ()), key)
        change = Change(self._keys, self._counted if self._count or self._times else 0, self._extent())
        self._changed = False
        self._take(key, area)
        if self._changed:
            self._going.forget_column()
            self._last = self._last if self._keys == (".",) else change
        self._settle(area)
        return True

    def _take(self, key: str, area: TextArea) -> None:
        if self._waiting:
            self._second(key, area)
        else:
            self._first(NAMED.get(key, key), area)

    def _notice(self, area: TextArea) -> None:
        """The mouse may have marked or unmarked something since the last key."""
        if self.marking and not self._visual.is_shown(area):
            self.mode = "normal"
        if self.mode == "normal" and not area.selection.is_empty:
            self._visual.take_over(area)
            self.mode = "visual"

    def _escape(self, area: TextArea) -> bool:
        waited, busy = self._waiting, bool(self._count or self._operator or self._waiting)
        self._reset()
        if self.marking and not waited:
            self._leave_visual(area)
            return True
        return busy

    # -- keys

    def _second(self, key: str, area: TextArea) -> None:
        waiting, self._waiting = self._waiting, ""
        if waiting == "g" and key == "g":
            self._move("gg", area)
        elif waiting == "g" and key in ("e", "E"):
            self._move(f"g{key}", area)
        elif waiting == "g" and key == "v" and not self._operator:
            if self._visual.again(area):
                self._enter_visual("lines" if self._visual.lines else "visual", area)
            self._reset()
        elif waiting in FINDS and len(key) == 1:
            self._went(
                waiting, self._going.find(waiting, key, self._place(area), area.document.lines, self._counted), area
            )
        elif waiting in ("i", "a") and key in OBJECTS:
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
                area.move_cursor(
                    (row, {"i": column, "a": min(column + 1, end[1]), "I": indent(line), "A": end[1]}[key])
                )
                self._type(area, count)
            case "o" | "O":
                area.history.checkpoint()
                area.insert("\n", end if key == "o" else (row, 0))
                area.move_cursor((row + (key == "o"), 0))
                self._type(area, count, on_lines=True)
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
                self._changed = row + 1 < area.document.line_count
                self._edits.join(row, row + max(count - 1, 1), area)
            case "p" | "P":
                self._changed = self._edits.lines or bool(self._edits.text)
                self._edits.put(area, after=key == "p", count=count)
            case "u":
                self._undo(area)
            case "." if self._last is not None:
                self._repeat(self._last, area)

    def _repeat(self, change: Change, area: TextArea) -> None:
        """A count that was typed takes the place of the one that it had, also for the next time; what was marked is as
        much as it was."""
        count = self._counted if self._count and change.extent is None else change.count
        self._reset()
        self._last = self._repeating = replace(change, count=count)
        if change.extent is not None:
            self._mark(change.extent, area)
        self._count = str(count) if count else ""
        for key in change.keys:
            self._take(key, area)
        self._repeating = None

    def _mark(self, extent: Extent, area: TextArea) -> None:
        start = area.cursor_location
        self._visual.begin(start, extent.end(start, area.document.lines), lines=extent.whole_lines)
        self._enter_visual("lines" if extent.whole_lines else "visual", area)

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
                self._changed = True
                self._edits.join(first_row, max(last_row, first_row + 1), area)
            case "p" | "P":
                self._leave_visual(area)
                self._changed = True
                self._edits.put_over(span, area, keep=key == "P")
            case _:
                return False
        return True

    def _on_span(self, operator: str, span: Span, area: TextArea) -> None:
        count = self._counted
        self._leave_visual(area)
        area.move_cursor(span.first)
        self._do(operator, span, area, count)
