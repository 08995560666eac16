"""What vim's text objects are: words, paragraphs, what stands in quotes or brackets; and the partner of a bracket.

No widget is known here. An object is its first place and the one behind its last; what an operator makes of line ends
in it is decided where motions are.
"""

from collections.abc import Iterator

from localmind_tui.vim.motions import Lines, Place, behind, class_of, indent, word_end

PAIRS = {each: pair for pair, keys in {"()": "()b", "{}": "{}B", "[]": "[]", "<>": "<>"}.items() for each in keys}
"""Keys of objects in brackets."""
QUOTES = frozenset("\"'`")
MATCHED = {each: pair for pair in ("()", "{}", "[]") for each in pair}
"""What `%` goes from and to."""


def word_object(lines: Lines, place: Place, *, around: bool, big: bool) -> tuple[Place, Place]:
    """iw and aw: first place and the one behind the last. `aw` takes the blanks behind the word, else those before."""
    row, column = place
    line = lines[row]
    if column >= len(line):
        return place, place
    first, last = column, column + 1
    kind = class_of(line[column], big)
    while first and class_of(line[first - 1], big) == kind:
        first -= 1
    while last < len(line) and class_of(line[last], big) == kind:
        last += 1
    if around and kind:
        behind = last + indent(line[last:])
        if behind == last:
            first = len(line[:first].rstrip()) or first
        last = behind
    elif around and last < len(line):
        last = word_end(lines, (row, last), big, here=True)[1] + 1
    return (row, first), (row, last)


def paragraph_object(lines: Lines, row: int, *, around: bool) -> tuple[int, int] | None:
    """ip and ap: the first row and the last; `ap` takes the blank lines behind it, else those before. None where there
    is no paragraph behind the blank lines that we are on."""
    blank = not lines[row].strip()
    first = last = row
    while first and (not lines[first - 1].strip()) == blank:
        first -= 1
    while last + 1 < len(lines) and (not lines[last + 1].strip()) == blank:
        last += 1
    if around and last + 1 < len(lines):
        while last + 1 < len(lines) and (not lines[last + 1].strip()) != blank:
            last += 1
    elif around and blank:
        return None
    elif around:
        while first and (not lines[first - 1].strip()) != blank:
            first -= 1
    return first, last


def partner(lines: Lines, place: Place) -> Place | None:
    """`%`: the other one of the bracket that we are on, or of the next one in the line."""
    row, column = place
    line = lines[row]
    at = next((at for at in range(column, len(line)) if line[at] in MATCHED), None)
    if at is None:
        return None
    pair = MATCHED[line[at]]
    return _closing(lines, (row, at), pair) if line[at] == pair[0] else _opening(lines, (row, at), pair)


def _closing(lines: Lines, place: Place, pair: str) -> Place | None:
    """Of what is open behind the place."""
    return _unmatched(_onwards(lines, place), pair[1], pair[0])


def _opening(lines: Lines, place: Place, pair: str) -> Place | None:
    """Of what is open before the place."""
    return _unmatched(_backwards(lines, place), pair[0], pair[1])


def _unmatched(characters: Iterator[tuple[Place, str]], wanted: str, other: str) -> Place | None:
    depth = 0
    for place, character in characters:
        if character == other:
            depth += 1
        elif character == wanted and depth:
            depth -= 1
        elif character == wanted:
            return place
    return None


def _onwards(lines: Lines, place: Place) -> Iterator[tuple[Place, str]]:
    first, column = place
    for row in range(first, len(lines)):
        for at in range(column + 1 if row == first else 0, len(lines[row])):
            yield (row, at), lines[row][at]


def _backwards(lines: Lines, place: Place) -> Iterator[tuple[Place, str]]:
    first, column = place
    for row in range(first, -1, -1):
        for at in range((column if row == first else len(lines[row])) - 1, -1, -1):
            yield (row, at), lines[row][at]


def bracket_object(
    lines: Lines, marked: tuple[Place, Place], pair: str, *, around: bool, times: int
) -> tuple[Place, Place] | None:
    """i( and a(, of the brackets around what is `marked` from one character to another, else of the next ones. What is
    inside of brackets on lines of their own are whole lines. None where there are none."""
    first, last = marked
    at = _open_at(lines, first, pair) if first == last else None
    if at is not None:
        times -= 1
    look = _opening
    while times > 0:
        found = look(lines, first if at is None else at, pair)
        if found is None and at is None and look is _opening:
            look = _next_open
            continue
        if found is None:
            return None
        at, times = found, times - 1
    while at is not None and (end := _closing(lines, at, pair)) is not None:
        if around:
            return at, (end[0], end[1] + 1)
        inner = _step(lines, at, 1), _inner_end(lines, end)
        if first == last or inner[0] >= inner[1] or inner[0] < first or inner[1] > (last[0], last[1] + 1):
            return inner
        at = _opening(lines, at, pair)  # all of it is marked already
    return None


def _open_at(lines: Lines, place: Place, pair: str) -> Place | None:
    """The bracket that we are on, or in the blanks before it where a line begins with a curly one."""
    row, column = place
    line = lines[row]
    if pair == "{}" and column < indent(line):
        column = indent(line)
    return (row, column) if line[column : column + 1] == pair[0] else None


def _next_open(lines: Lines, place: Place, pair: str) -> Place | None:
    return _unmatched(_onwards(lines, place), pair[0], pair[1])


def _inner_end(lines: Lines, end: Place) -> Place:
    """Behind what is inside of a closing bracket: the blanks before one that begins its line are not."""
    if lines[end[0]][: end[1]].strip() or not end[0]:
        return end
    row = end[0] - 1
    while row and lines[row] and not lines[row].strip():
        row -= 1
    return row + 1, 0


def _step(lines: Lines, place: Place, by: int) -> Place:
    """To the next character; behind the last of a line comes the next line."""
    there = behind(lines, place) or place
    if there[1] and there[1] == len(lines[there[0]]):
        there = behind(lines, there) or there
    return there


def quote_object(lines: Lines, place: Place, quote: str, *, around: bool, times: int) -> tuple[Place, Place] | None:
    """i" and a" in the line, with the blanks behind for `a`, else those before; two of `i` have the quotes and no
    blanks. None where there are none. What a backslash stands before is no quote, where one is not on it."""
    row, column = place
    line = lines[row]
    if line[column : column + 1] == quote:
        first = line.find(quote)
        while (last := _next_quote(line, first + 1, quote)) is not None and last < column:
            first = line.find(quote, last + 1)
            if first < 0 or first > column:
                return None
    else:
        first = _quote_before(line, column, quote)
        if first < 0:
            first = line.find(quote, column)
        last = _next_quote(line, first + 1, quote) if first >= 0 else None
    if last is None:
        return None
    if around:
        end = last + 1 + indent(line[last + 1 :])
        if end == last + 1:
            first = len(line[:first].rstrip())
        return (row, first), (row, end)
    return ((row, first), (row, last + 1)) if times > 1 else ((row, first + 1), (row, last))


def _next_quote(line: str, column: int, quote: str) -> int | None:
    while column < len(line):
        if line[column] == "\\":
            column += 1
        elif line[column] == quote:
            return column
        column += 1
    return None


def _quote_before(line: str, column: int, quote: str) -> int:
    """-1 where there is none."""
    while column > 0:
        column -= 1
        escapes = len(line[:column]) - len(line[:column].rstrip("\\"))
        if escapes % 2:
            column -= escapes
        elif line[column : column + 1] == quote:
            return column
    return -1
