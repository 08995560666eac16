"""A key of vim as a destination: motions with their counts, and what they remember from one to the next.

`;` remembers the last f F t T, and j k the column that they came from, since lines between may be shorter.
"""

from collections.abc import Callable
from dataclasses import dataclass

from localmind_tui.vim.motions import (
    INCLUSIVE,
    Lines,
    Place,
    find,
    indent,
    moves,
    paragraph,
    word_end,
    word_end_back,
)
from localmind_tui.vim.objects import partner

VERTICAL = {"j": 1, "k": -1}
PARAGRAPHS = {"}": 1, "{": -1}
KEYS = frozenset(moves) | frozenset(VERTICAL) | frozenset(PARAGRAPHS) | {";", ",", "G", "%"}
"""Those of one letter that are whole in themselves."""


@dataclass(slots=True, frozen=True)
class Goal:
    """Where a key goes; an operator takes the character there too if it is `inclusive`."""

    place: Place
    inclusive: bool = False


@dataclass(slots=True)
class Going:
    """What is remembered."""

    found: str = ""
    """The last of f F t T and its character."""
    _column: float | None = None

    def to(
        self, key: str, start: Place, lines: Lines, count: int | None, *, operator: str = "", marking: bool = False
    ) -> Goal | None:
        """None when the key leads nowhere, and an operator does nothing. `count`: None when none was typed."""
        wanted, self._column = self._column, None
        times = count or 1
        row, column = start
        if key in VERTICAL:
            row = max(0, min(row + VERTICAL[key] * times, len(lines) - 1))
            if operator and row == start[0]:
                return None
            self._column = wanted if wanted is not None else column
            at_end = marking and self._column == float("inf")
            return Goal((row, len(lines[row]) if at_end else int(min(self._column, _last(lines[row])))))
        if key in ("gg", "G"):
            row = min(count or (1 if key == "gg" else len(lines)), len(lines)) - 1
            return Goal((row, indent(lines[row])))
        if key in (";", ","):
            return self._find(key, start, lines, times)
        if key in PARAGRAPHS:
            place = paragraph(lines, row, PARAGRAPHS[key], times)
            return self._marked(place, lines, marking) if place else None
        if key == "%":
            place = partner(lines, start)
            return self._marked(place, lines, marking, True) if place else None
        if key == "percent":
            row = (times * len(lines) + 99) // 100 - 1
            return Goal((row, indent(lines[row]))) if times <= 100 else None
        if key in ("ge", "gE"):
            here: Place = start
            for _ in range(times):
                back = word_end_back(lines, here, key == "gE")
                if back is None and operator:
                    return None
                here = here if back is None else back
            return self._marked(here, lines, marking, True)
        if key == "$":
            if times > 1 and row + 1 == len(lines):
                return None
            self._column = float("inf")
            row = min(row + times, len(lines)) - 1
            return Goal((row, len(lines[row])))
        if key in ("w", "W") and operator == "c" and not lines[row][column : column + 1].isspace() and lines[row]:
            place = word_end(lines, start, key == "W", here=True)  # cw ends with the word, as ce does
            return Goal(_repeated(lambda at: word_end(lines, at, key == "W"), place, times - 1), True)
        place = _repeated(lambda at: moves[key](lines, at), start, times)
        return self._marked(place, lines, marking, key in INCLUSIVE)

    @staticmethod
    def _marked(place: Place, lines: Lines, marking: bool, inclusive: bool = False) -> Goal:
        """In visual mode the cursor stands on a character."""
        return Goal((place[0], min(place[1], _last(lines[place[0]]))) if marking else place, inclusive)

    @property
    def to_end(self) -> bool:
        """Whether `$` was the last motion."""
        return self._column == float("inf")

    def forget_column(self) -> None:
        """After an edit j and k begin where the cursor is."""
        self._column = None

    def find(self, how: str, character: str, start: Place, lines: Lines, times: int) -> Goal | None:
        """One of f F t T with its character."""
        self.found, self._column = how + character, None
        return self._find("", start, lines, times)

    def _find(self, key: str, start: Place, lines: Lines, times: int) -> Goal | None:
        if not self.found:
            return None
        how, character = self.found[0], self.found[1]
        how = how.swapcase() if key == "," else how
        place: Place | None = start
        for turn in range(times):
            place = find(lines, place, how, character, again=bool(key) or turn > 0) if place is not None else None
        return Goal(place, how in "ft") if place is not None else None


def _last(line: str) -> int:
    return max(len(line) - 1, 0)


def _repeated(step: Callable[[Place], Place], place: Place, times: int) -> Place:
    for _ in range(times):
        if (after := step(place)) == place:
            break
        place = after
    return place
