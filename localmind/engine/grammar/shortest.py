"""Following a grammar character by character, and the shortest text that completes it from where it stands.

Native code follows grammars as well, but tells nobody where it is. Here a place is a set of positions, each with the
positions to return to behind it. Places are found once and kept, as a lexer's table is: inside of a string every
character leads from one place to the same one. Lengths are bytes of UTF-8, which no spelling in tokens exceeds. It
knows no tokens: closing.py does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from localmind.engine.grammar.parse import Characters, Item, Reference, Rules, parse

MOST_POSITIONS = 400
"""Positions of a place; a grammar more ambiguous than that is not followed."""

MOST_KEPT = 40_000
"""Positions that are remembered, some 10 MB; then all are forgotten."""

PASSES = 6
"""Over the rules, to find the longest completion. One is enough without rules that use themselves."""

MOST_FORCED = 400
"""Characters that are looked ahead at once."""

ENDLESS = 1 << 20
"""Bytes that no answer has."""

LIKED = ("a", "0", " ", '"')
"""Characters that are taken first where any will do."""

FIRST_OF_LENGTH = {2: 0x80, 3: 0x800, 4: 0x10000}
SURROGATES = range(0xD800, 0xE000)


@dataclass(slots=True, frozen=True, eq=False)
class Line:
    """One alternative of a rule, with the bytes of its shortest text from anywhere on."""

    items: tuple[Item, ...]
    from_item: tuple[int, ...]
    """From each item on; 0 for the end."""
    from_symbol: tuple[tuple[int, ...], ...]
    """Of each item once, from each symbol on; 0 for its end."""


@dataclass(slots=True, eq=False)
class Position:
    """In front of symbol `at` of an item that was repeated `done` times."""

    line: Line
    item: int
    done: int
    at: int
    behind: "Position | None"
    """Where the text goes on when the items are over; None: nowhere."""
    least: int
    """Bytes to the end of everything."""


@dataclass(slots=True, eq=False)
class Place:
    positions: tuple[Position, ...]
    """All in front of characters."""
    may_end: bool
    least: int
    """Bytes of the shortest completion."""
    moves: "dict[str, Place | None]" = field(default_factory=dict)
    forced: "tuple[str, Place] | None" = None
    """Once it was asked for."""


class Grammar:
    """Rules that judge.py has found sound."""

    def __init__(self, rules: Rules, root: str = "root") -> None:
        lengths, self._best = _shortest_alternatives(rules)
        self._lines = {name: [_line(items, lengths) for items in options] for name, options in rules.items()}
        self._positions: dict[tuple[int, int, int, int, int], Position] = {}
        self._places: dict[frozenset[int], Place] = {}
        start = [self._position(line, 0, 0, 0, None) for line in self._lines[root]]
        self.start = self._place(start)
        """None for a grammar that is too ambiguous."""
        self.most = _most(self._lines, lengths, root)
        """Bytes that no completion exceeds, wherever the text stands; ENDLESS where rules hold themselves."""

    def after(self, place: Place | None, text: str) -> Place | None:
        """Where that text leads; None where the grammar does not allow it, or cannot be followed."""
        for character in text:
            if place is None:
                return None
            place = place.moves[character] if character in place.moves else self._moved(place, character)
        return place

    def shortest(self, place: Place) -> str:
        """The text of `place.least` bytes that ends the grammar."""
        if place.may_end:
            return ""
        position: Position | None = min(place.positions, key=lambda one: one.least)
        parts: list[str] = []
        while position is not None:
            if position.item == len(position.line.items):
                position = position.behind
                continue
            item = position.line.items[position.item]
            rest = item.symbols[position.at :] if position.at else ()
            again = max(0, item.least - position.done - bool(position.at))
            for symbol in (*rest, *(item.symbols * again)):
                parts += self._texts(symbol)
            position = self._position(position.line, position.item + 1, 0, 0, position.behind)
        return "".join(parts)

    def forced(self, place: Place) -> tuple[str, Place]:
        """The text that must come next, as far as there is no choice, and the place behind it."""
        if place.forced is None:
            text, here = "", place
            while len(text) < MOST_FORCED and (character := _only(here)) and (after := self.after(here, character)):
                text, here = text + character, after
            place.forced = text, here
        return place.forced

    def completing(self, place: Place, begun: bytes) -> str:
        """The character whose UTF-8 begins with these bytes and after which the least is left; "" if there is none."""
        best, least = "", ENDLESS
        low, high = _range(begun)
        for position in place.positions:
            for code in _codes(_characters(position), low, high):
                after = self.after(place, chr(code))
                if after is not None and after.least < least:
                    best, least = chr(code), after.least
        return best

    def _moved(self, place: Place, character: str) -> Place | None:
        if len(self._positions) > MOST_KEPT:
            for known in self._places.values():
                known.moves.clear()
            self._places.clear()
            self._positions.clear()
        code = ord(character)
        found = place.moves[character] = self._place(
            [
                self._position(one.line, one.item, one.done, one.at + 1, one.behind)
                for one in place.positions
                if _characters(one).hold(code)
            ]
        )
        return found

    def _place(self, waiting: list[Position]) -> Place | None:
        """Where those positions lead without reading anything."""
        seen: set[int] = set()
        leaves: dict[int, Position] = {}
        may_end = False
        while waiting:
            position = waiting.pop()
            if id(position) in seen:
                continue
            seen.add(id(position))
            if len(seen) > 8 * MOST_POSITIONS or len(leaves) > MOST_POSITIONS:
                return None
            line, number, done, at, behind = position.line, position.item, position.done, position.at, position.behind
            if number == len(line.items):
                if behind is None:
                    may_end = True
                else:
                    waiting.append(behind)
                continue
            item = line.items[number]
            if at == len(item.symbols):
                if item.symbols:
                    # Beyond `least`, how often an endless item was repeated makes no difference.
                    times = min(done + 1, item.least) if item.most is None else done + 1
                    waiting.append(self._position(line, number, times, 0, behind))
                else:
                    waiting.append(self._position(line, number + 1, 0, 0, behind))
                continue
            if at == 0:
                if done >= item.least:
                    waiting.append(self._position(line, number + 1, 0, 0, behind))
                if item.most is not None and done >= item.most:
                    continue
            symbol = item.symbols[at]
            if isinstance(symbol, Characters):
                leaves[id(position)] = position
            else:
                back = self._return(line, number, done, at + 1, behind)
                waiting += [self._position(inner, 0, 0, 0, back) for inner in self._lines[symbol.rule]]
        if not leaves and not may_end:
            return None
        key = frozenset((*leaves, 0) if may_end else leaves)
        place = self._places.get(key)
        if place is None:
            least = 0 if may_end else min(one.least for one in leaves.values())
            place = self._places[key] = Place(tuple(leaves.values()), may_end, least)
        return place

    def _return(self, line: Line, item: int, done: int, at: int, behind: Position | None) -> Position | None:
        """Where to go on after a reference; what ends with one needs no way back, however deep it goes."""
        last = line.items[item]
        if item + 1 == len(line.items) and at == len(last.symbols) and last.most is not None and done + 1 >= last.most:
            return behind
        return self._position(line, item, done, at, behind)

    def _position(self, line: Line, item: int, done: int, at: int, behind: Position | None) -> Position:
        key = (id(line), item, done, at, id(behind))
        found = self._positions.get(key)
        if found is None:
            least = behind.least if behind is not None else 0
            if item < len(line.items):
                lengths = line.from_symbol[item]
                again = line.items[item].least - done - (at > 0)
                least += (
                    line.from_item[item + 1] + (lengths[at] if at else 0) + (again * lengths[0] if again > 0 else 0)
                )
            found = self._positions[key] = Position(line, item, done, at, behind, min(least, ENDLESS))
        return found

    def _texts(self, symbol: Characters | Reference) -> Iterator[str]:
        waiting = [symbol]
        while waiting:
            one = waiting.pop()
            if isinstance(one, Characters):
                yield _cheapest(one)
            else:
                for item in reversed(self._best[one.rule]):
                    waiting += list(reversed(item.symbols)) * item.least


@lru_cache(maxsize=32)
def followed(gbnf: str) -> Grammar:
    """A grammar to follow, made once for all requests that come with it."""
    return Grammar(parse(gbnf))


def _characters(position: Position) -> Characters:
    symbol = position.line.items[position.item].symbols[position.at]
    assert isinstance(symbol, Characters)
    return symbol


def _only(place: Place) -> str:
    """The one character that is allowed there; "" if the text may end or there are more."""
    allowed = {interval for position in place.positions for interval in _characters(position).intervals}
    if place.may_end or len(allowed) != 1 or any(_characters(position).negated for position in place.positions):
        return ""
    first, last = allowed.pop()
    return chr(first) if first == last else ""


def _line(items: list[Item], lengths: dict[str, int]) -> Line:
    from_item, from_symbol = [0], []
    for item in reversed(items):
        tails = [0]
        for symbol in reversed(item.symbols):
            tails.append(tails[-1] + _length(symbol, lengths))
        from_symbol.append(tuple(reversed(tails)))
        from_item.append(from_item[-1] + item.least * tails[-1])
    return Line(tuple(items), tuple(reversed(from_item)), tuple(reversed(from_symbol)))


def _length(symbol: Characters | Reference, lengths: dict[str, int]) -> int:
    return lengths[symbol.rule] if isinstance(symbol, Reference) else len(_cheapest(symbol).encode())


@lru_cache(maxsize=4096)
def _cheapest(symbol: Characters) -> str:
    """A character that takes the fewest bytes, one that is usual if there is one."""
    for character in LIKED:
        if symbol.hold(ord(character)):
            return character
    for low, high in ((0x21, 0x7E), (0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF)):
        code = next(_codes(symbol, low, high), None)
        if code is not None:
            return chr(code)
    return "\0" * ENDLESS  # a class without characters: nothing passes here


def _codes(symbol: Characters, low: int, high: int) -> Iterator[int]:
    """The first code point of each interval between the two that the class holds."""
    starts = [last + 1 for _, last in symbol.intervals] if symbol.negated else [first for first, _ in symbol.intervals]
    for code in sorted({low, SURROGATES.stop, *starts}):
        if low <= code <= high and code not in SURROGATES and symbol.hold(code):
            yield code


def _range(begun: bytes) -> tuple[int, int]:
    """The code points whose UTF-8 begins with these bytes, which are less than a character."""
    head = begun[0]
    length = 2 if head < 0xE0 else 3 if head < 0xF0 else 4
    code = head & (0xFF >> (length + 1))
    for byte in begun[1:]:
        code = code << 6 | byte & 0x3F
    shift = 6 * (length - len(begun))
    return max(code << shift, FIRST_OF_LENGTH[length]), min(((code + 1) << shift) - 1, 0x10FFFF)


def _shortest_alternatives(rules: Rules) -> tuple[dict[str, int], dict[str, list[Item]]]:
    """Of each rule the bytes of its shortest text, and the alternative that gives it. A rule is only looked at again
    when one that it uses has become shorter, so no choice is ever made in a circle."""
    users: dict[str, set[str]] = {}
    for name, alternatives in rules.items():
        for items in alternatives:
            for item in items:
                for symbol in item.symbols:
                    if isinstance(symbol, Reference):
                        users.setdefault(symbol.rule, set()).add(name)
    lengths = dict.fromkeys(rules, ENDLESS)
    best: dict[str, list[Item]] = {name: alternatives[0] for name, alternatives in rules.items()}
    waiting = dict.fromkeys(rules)
    while waiting:
        name, _ = waiting.popitem()
        for items in rules[name]:
            length = sum(item.least * sum(_length(symbol, lengths) for symbol in item.symbols) for item in items)
            if length < lengths[name]:
                lengths[name], best[name] = length, items
                waiting.update(dict.fromkeys(users.get(name, ())))
    return lengths, best


def _most(lines: dict[str, list[Line]], lengths: dict[str, int], root: str) -> int:
    """The longest completion from anywhere: what is inside of a symbol, and what the line still needs behind it. It
    has no end where a rule stands inside of itself with something behind it."""
    inside = dict(lengths)
    order = _inner_first(lines, root)
    for _ in range(PASSES):
        changed = False
        for name in order:
            found = max((_longest(line, inside) for line in lines[name]), default=0)
            if found > inside[name]:
                inside[name], changed = found, True
        if not changed:
            return min(inside[root], ENDLESS)
    return ENDLESS


def _longest(line: Line, inside: dict[str, int]) -> int:
    found = 0
    for number, item in enumerate(line.items):
        behind = line.from_item[number + 1] + max(0, item.least - 1) * line.from_symbol[number][0]
        for at, symbol in enumerate(item.symbols):
            found = max(found, _length(symbol, inside) + line.from_symbol[number][at + 1] + behind)
    return found


def _inner_first(lines: dict[str, list[Line]], root: str) -> list[str]:
    """Rules that can be reached, each behind those that it uses where they do not use it as well."""
    order: list[str] = []
    seen = {root}
    trail = [(root, iter(_uses(lines[root])))]
    while trail:
        name, rest = trail[-1]
        used = next(rest, None)
        if used is None:
            trail.pop()
            order.append(name)
        elif used not in seen:
            seen.add(used)
            trail.append((used, iter(_uses(lines[used]))))
    return order


def _uses(options: list[Line]) -> Iterator[str]:
    for line in options:
        for item in line.items:
            for symbol in item.symbols:
                if isinstance(symbol, Reference):
                    yield symbol.rule
