"""What `.` does once more: the keys of the last change without their count, and the text that was typed after them.

What was typed is what came to stand where typing began, so that pastes and completions count as well. A change of
what was marked is done again to as much text from the cursor on.
"""

from dataclasses import dataclass

from textual.widgets import TextArea

from localmind_tui.vim.motions import Lines, Place


@dataclass(slots=True, frozen=True)
class Extent:
    """How much was marked."""

    whole_lines: bool
    rows: int
    columns: int | None
    """Of its only row, or up to where in its last one; None: to its end, which is part of it."""

    @classmethod
    def of(cls, anchor: Place, at: Place, *, whole_lines: bool, to_end: bool) -> "Extent":
        first, last = sorted((anchor, at))
        rows = last[0] - first[0] + 1
        columns = last[1] - first[1] + 1 if rows == 1 else last[1] + 1
        return cls(whole_lines, rows, None if to_end else columns)

    def end(self, start: Place, lines: Lines) -> Place:
        """Its last character when it begins there."""
        row = min(start[0] + self.rows - 1, len(lines) - 1)
        if self.columns is None:
            return row, len(lines[row])
        column = start[1] + self.columns - 1 if self.rows == 1 else self.columns - 1
        return row, max(min(column, len(lines[row]) - 1), 0)


@dataclass(slots=True)
class Change:
    """One that can be done again."""

    keys: tuple[str, ...]
    count: int
    """0 when none was typed."""
    extent: Extent | None = None
    text: str = ""


@dataclass(slots=True, frozen=True)
class Typing:
    """Text is being typed between these two."""

    before: str
    behind: str
    times: int
    """How often it shall stand there."""
    on_lines: bool
    """Each on a line of its own."""

    @classmethod
    def at_cursor(cls, area: TextArea, times: int, *, on_lines: bool) -> "Typing":
        row, column = area.cursor_location
        lines = area.document.lines
        before = "\n".join([*lines[:row], lines[row][:column]])
        return cls(before, "\n".join([lines[row][column:], *lines[row + 1 :]]), times, on_lines)

    def text(self, area: TextArea) -> str:
        """What was typed; nothing when something else was changed too."""
        now = "\n".join(area.document.lines)
        length = len(now) - len(self.before) - len(self.behind)
        if length <= 0 or not (now.startswith(self.before) and now.endswith(self.behind)):
            return ""
        return now[len(self.before) : len(self.before) + length]

    def more(self, text: str) -> str:
        """What is missing of it, at the end of what was typed."""
        return (f"\n{text}" if self.on_lines else text) * (self.times - 1) if text else ""
