"""Where the keys of vim's modes go: from a place in lines of text to another one. No widget is known here.

A place is a row and a column; the column behind the last character is the line's end. `moves` are the keys by their
names, as vi has them; what an operator takes between two places is decided by LINEWISE and INCLUSIVE.
"""

from collections.abc import Callable, Sequence

Place = tuple[int, int]
Lines = Sequence[str]

FINDS = frozenset("fFtT")
LINEWISE = frozenset({"j", "k", "G", "gg", "up", "down", "percent"})
"""An operator takes whole lines."""
INCLUSIVE = frozenset({"e", "E", "ge", "gE", "%"})
"""An operator takes the character that it ends on as well."""


def class_of(character: str, big: bool) -> int:
    """0 for blanks; words, and what is neither, are of different kinds, but for the `big` words of W B E."""
    if character.isspace():
        return 0
    return 1 if big or character.isalnum() or character == "_" else 2


def word_ahead(lines: Lines, place: Place, big: bool = False) -> Place:
    """The beginning of the next word; an empty line is one. Behind the last: the end of the text."""
    row, column = place
    line = lines[row]
    if column < len(line):
        kind = class_of(line[column], big)
        while column < len(line) and class_of(line[column], big) == kind:
            column += 1
    while True:
        while column < len(line) and line[column].isspace():
            column += 1
        if column < len(line) or row + 1 == len(lines):
            return row, column
        row, column, line = row + 1, 0, lines[row + 1]
        if not line:
            return row, 0


def word_end(lines: Lines, place: Place, big: bool = False, *, here: bool = False) -> Place:
    """The last character of this word, or of the next one from there; `here`: it may be the one we are on."""
    row, column = place[0], place[1] + (not here)
    while True:
        line = lines[row]
        while column < len(line) and line[column].isspace():
            column += 1
        if column < len(line):
            break
        if row + 1 == len(lines):
            return row, max(len(line) - 1, 0)
        row, column = row + 1, 0
    kind = class_of(line[column], big)
    while column + 1 < len(line) and class_of(line[column + 1], big) == kind:
        column += 1
    return row, column


def word_back(lines: Lines, place: Place, big: bool = False) -> Place:
    """The beginning of this word, or of the one before from there; an empty line is one."""
    row, column = place
    while True:
        line = lines[row]
        column -= 1
        while column >= 0 and line[column].isspace():
            column -= 1
        if column >= 0:
            break
        if row == 0:
            return 0, 0
        row -= 1
        column = len(lines[row])
        if not column:
            return row, 0
    kind = class_of(line[column], big)
    while column and class_of(line[column - 1], big) == kind:
        column -= 1
    return row, column


def word_end_back(lines: Lines, place: Place, big: bool = False) -> Place | None:
    """The last character of the word before; an empty line is one. None at the beginning of the text."""
    kind = _class_at(lines, place, big)
    if (here := before(lines, place)) is None:
        return None
    while kind and _class_at(lines, here, big) == kind:
        if (further := before(lines, here)) is None:
            return here
        here = further
    while not _class_at(lines, here, big) and (here[1] or lines[here[0]]):
        if (further := before(lines, here)) is None:
            return here
        here = further
    return here


def _class_at(lines: Lines, place: Place, big: bool) -> int:
    """The end of a line is a blank."""
    row, column = place
    return class_of(lines[row][column], big) if column < len(lines[row]) else 0


def before(lines: Lines, place: Place) -> Place | None:
    """One character back, where the end of a line is one too."""
    row, column = place
    if column:
        return row, column - 1
    return (row - 1, len(lines[row - 1])) if row else None


def behind(lines: Lines, place: Place) -> Place | None:
    """One character on, where the end of a line is one too."""
    row, column = place
    if column < len(lines[row]):
        return row, column + 1
    return (row + 1, 0) if row + 1 < len(lines) else None


def paragraph(lines: Lines, row: int, step: int, times: int) -> Place | None:
    """The empty line behind the paragraph (`step` 1) or before it (-1), else the end or beginning of the text; None
    where there are fewer."""
    last = len(lines) - 1
    for left in reversed(range(times)):
        passed = bool(lines[row])
        while True:
            if not 0 <= row + step <= last:
                return None if left else (row, len(lines[row]) if step > 0 else 0)
            row += step
            if passed and not lines[row]:
                break
            passed = passed or bool(lines[row])
    return row, 0


def indent(line: str) -> int:
    """The column of the first character that is no blank."""
    return len(line) - len(line.lstrip())


def find(lines: Lines, place: Place, how: str, wanted: str, *, again: bool = False) -> Place | None:
    """f F t T of a character in the line; `again` as `;` does: t and T do not stay before what they are before."""
    row, column = place
    line = lines[row]
    if how in "ft":
        at = line.find(wanted, column + 1 + (how == "t" and again))
        return None if at < 0 else (row, at - (how == "t"))
    at = line.rfind(wanted, 0, max(column - (how == "T" and again), 0))
    return None if at < 0 else (row, at + (how == "T"))


moves: dict[str, Callable[[Lines, Place], Place]] = {
    "h": lambda lines, place: (place[0], max(place[1] - 1, 0)),
    "l": lambda lines, place: (place[0], min(place[1] + 1, len(lines[place[0]]))),
    "0": lambda lines, place: (place[0], 0),
    "^": lambda lines, place: (place[0], indent(lines[place[0]])),
    "$": lambda lines, place: (place[0], len(lines[place[0]])),
    "w": word_ahead,
    "W": lambda lines, place: word_ahead(lines, place, True),
    "b": word_back,
    "B": lambda lines, place: word_back(lines, place, True),
    "e": word_end,
    "E": lambda lines, place: word_end(lines, place, True),
}
