"""The regular part of regular expressions, as GBNF for the inside of a JSON string.

JSON Schema's `pattern` is an ECMAScript expression that may match anywhere. Literals, classes, groups,
alternatives, repetitions, and `^` and `$` at its two ends are expressed; what looks around, looks back or is
not regular is refused. A character that JSON must escape is written escaped.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from localmind.engine.grammar.gbnf import LAST_CODE_POINT, UNLIMITED, character_class, repeat
from localmind.errors import InvalidRequest

Intervals = tuple[tuple[int, int], ...]

MAX_LENGTH = 1000
MAX_DEPTH = 30
MAX_COUNT = 1000
MAX_EMPTY = 8
"""Repetitions of a part that may be empty: a grammar follows all the ways in which it can be."""

ESCAPED = {
    ord('"'): '"\\\\\\""',
    ord("\\"): '"\\\\\\\\"',
    8: '"\\\\b"',
    9: '"\\\\t"',
    10: '"\\\\n"',
    12: '"\\\\f"',
    13: '"\\\\r"',
}
"""GBNF of the characters with a short escape in JSON."""

PLAIN: Intervals = ((32, 33), (35, 91), (93, 126), (128, 0xD7FF), (0xE000, LAST_CODE_POINT))
"""What stands in a JSON string as itself; surrogates are no characters, and DEL is not worth printing."""

DIGIT: Intervals = ((48, 57),)
WORD: Intervals = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACE: Intervals = ((9, 10), (12, 13), (32, 32))
ASCII: Intervals = ((32, 126),)
"""Negated shorthands stay inside: whether \\W has é in it depends on who reads the pattern."""

CONTROLS = {"t": 9, "n": 10, "r": 13, "f": 12}
SYNTAX = frozenset("^$\\.*+?()[]{}|/-\"'#&%,:;<=>@`~! _")


@dataclass(slots=True, frozen=True)
class Node:
    """GBNF for a part of a pattern, and how many characters it can be."""

    text: str
    least: int
    most: int | None
    single: bool = False
    """One terminal or one name, which can be repeated without parentheses."""


def pattern(source: str, add: Callable[[str, str], str], wrong: Callable[[str], InvalidRequest]) -> Node:
    """The characters between the quotes. `add(hint, body)` adds a rule; `wrong(reason)` makes the error."""
    if len(source) > MAX_LENGTH:
        raise wrong(f"is longer than {MAX_LENGTH} characters")
    return _Pattern(source, add, wrong).whole()


def characters(intervals: Iterable[tuple[int, int]]) -> str | None:
    """GBNF alternatives for one character of a JSON string out of a set; None when none can be written."""
    found = union(intervals)
    options = [text for code, text in ESCAPED.items() if any(first <= code <= last for first, last in found)]
    plain = intersection(found, PLAIN)
    if plain:
        options.insert(0, character_class(plain))
    return " | ".join(options) or None


def union(intervals: Iterable[tuple[int, int]]) -> Intervals:
    """The same code points, sorted and without overlaps."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def intersection(one: Intervals, other: Intervals) -> Intervals:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return tuple((first, last) for first, last in pairs if first <= last)


def complement(intervals: Iterable[tuple[int, int]], within: Intervals = ((0, LAST_CODE_POINT),)) -> Intervals:
    gaps, start = [], 0
    for first, last in union(intervals):
        if start < first:
            gaps.append((start, first - 1))
        start = last + 1
    if start <= LAST_CODE_POINT:
        gaps.append((start, LAST_CODE_POINT))
    return intersection(tuple(gaps), within)


@dataclass(slots=True)
class _Pattern:
    source: str
    add: Callable[[str, str], str]
    wrong: Callable[[str], InvalidRequest]
    at: int = 0
    depth: int = field(default=0)

    def whole(self) -> Node:
        started = self.source.startswith("^")
        self.at = int(started)
        inside = self._alternatives()
        if self.at < len(self.source) and not (self.source[self.at] == "$" and self.at == len(self.source) - 1):
            raise self.wrong(f"has an unexpected {self.source[self.at]!r}")
        ended = self.at < len(self.source)
        if (started or ended) and self._splits():
            raise self.wrong("has ^ or $ beside a | without parentheses; write ^(a|b)$")
        if started and ended:
            return inside
        anything = self.add("any", characters(complement(())) or "") + "*"
        parts = [inside.text if inside.single else f"({inside.text})"]
        if not started:
            parts.insert(0, anything)
        if not ended:
            parts.append(anything)
        return Node(" ".join(parts), inside.least, None)

    def _splits(self) -> bool:
        """Whether a | stands outside of all parentheses and classes."""
        depth, skip, inside = 0, False, False
        for character in self.source:
            if skip:
                skip = False
            elif character == "\\":
                skip = True
            elif inside:
                inside = character != "]"
            elif character == "[":
                inside = True
            elif character in "()":
                depth += 1 if character == "(" else -1
            elif character == "|" and depth == 0:
                return True
        return False

    @property
    def _next(self) -> str:
        return self.source[self.at] if self.at < len(self.source) else ""

    def _alternatives(self) -> Node:
        found = [self._sequence()]
        while self._next == "|":
            self.at += 1
            found.append(self._sequence())
        if len(found) == 1:
            return found[0]
        longest = [node.most for node in found if node.most is not None]
        most = max(longest) if len(longest) == len(found) else None
        return Node(" | ".join(node.text for node in found), min(node.least for node in found), most)

    def _sequence(self) -> Node:
        nodes = []
        while self._next and self._next not in "|)":
            if self._next == "$" and self.at == len(self.source) - 1:
                break
            nodes.append(self._repeated(self._atom()))
        if len(nodes) == 1:
            return nodes[0]
        tops = [node.most for node in nodes if node.most is not None]
        most = sum(tops) if len(tops) == len(nodes) else None
        text = " ".join(node.text if node.single else f"({node.text})" for node in nodes)
        return Node(text or '""', sum(node.least for node in nodes), most)

    def _atom(self) -> Node:
        character = self._next
        self.at += 1
        if character == "(":
            return self._group()
        if character == "[":
            return self._one(self._class())
        if character == ".":
            return self._one(complement(((10, 10), (13, 13), (0x2028, 0x2029))))
        if character == "\\":
            return self._one(self._escape())
        if character in "^$":
            raise self.wrong(f"has {character} inside; it is expressed at the two ends only")
        if character in "*+?":
            raise self.wrong("has nothing to repeat")
        return self._one(((ord(character), ord(character)),))

    def _group(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.wrong(f"is nested more than {MAX_DEPTH} deep")
        if self._next == "?":
            if not self.source.startswith("?:", self.at):
                raise self.wrong("looks around or names a group, which no grammar can")
            self.at += 2
        inside = self._alternatives()
        if self._next != ")":
            raise self.wrong("has a ( that is not closed")
        self.at += 1
        self.depth -= 1
        return inside if inside.single else Node(self.add("group", inside.text), inside.least, inside.most, single=True)

    def _one(self, intervals: Intervals) -> Node:
        text = characters(intervals)
        if text is None:
            raise self.wrong("asks for a character that no JSON string can have")
        if " | " in text:
            return Node(self.add("char", text), 1, 1, single=True)
        return Node(text, 1, 1, single=True)

    def _repeated(self, node: Node) -> Node:
        while True:
            character = self._next
            if character and character in "*+?":
                self.at += 1
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
            elif character == "{" and self._counts() is not None:
                least, most = self._counts() or (0, 0)
                self.at = self.source.index("}", self.at) + 1
            else:
                return node
            if self._next == "?":
                self.at += 1  # lazy or greedy, the same strings match
            node = self._times(node, least, most)

    def _counts(self) -> tuple[int, int | None] | None:
        """What stands in braces, None when they are no repetition."""
        inside = self.source[self.at + 1 : self.source.find("}", self.at)] if "}" in self.source[self.at :] else ""
        low, comma, high = inside.partition(",")
        if not low.isascii() or not low.isdigit() or not ((high.isascii() and high.isdigit()) or not high):
            return None
        least, most = int(low[:9]), int(high[:9]) if high else None if comma else int(low[:9])
        if least > MAX_COUNT or (most or 0) > UNLIMITED or (most is not None and most < least):
            raise self.wrong(f"repeats {{{inside}}} times")
        return least, most

    def _times(self, node: Node, least: int, most: int | None) -> Node:
        item = node.text if node.single else self.add("part", node.text)
        if node.least == 0:
            if most is None or most > MAX_EMPTY:
                raise self.wrong("repeats what may be empty")
            least = 0  # once is as much as none
        text = self.add("times", repeat(item, least, most, self.add))
        longest = None if most is None or node.most is None else node.most * most
        return Node(text, node.least * least, longest, single=True)

    def _escape(self) -> Intervals:
        kind = self._next
        self.at += 1
        shorthand = {"d": DIGIT, "w": WORD, "s": SPACE}
        if kind.lower() in shorthand and kind:
            found = shorthand[kind.lower()]
            return found if kind.islower() else complement(found, ASCII)
        code: int | None = CONTROLS.get(kind)
        if kind in ("x", "u") and kind:
            length = 2 if kind == "x" else 4
            digits = self.source[self.at : self.at + length]
            if len(digits) == length and all(digit in "0123456789abcdefABCDEF" for digit in digits):
                self.at += length
                code = int(digits, 16)
        elif kind and kind in SYNTAX:
            code = ord(kind)
        if code is None:
            raise self.wrong(f"has \\{kind}, which is not expressed")
        return ((code, code),)

    def _class(self) -> Intervals:
        negated = self._next == "^"
        self.at += negated
        found: list[tuple[int, int]] = []
        within: Intervals = ((0, LAST_CODE_POINT),)
        while self._next != "]":
            if not self._next:
                raise self.wrong("has a [ that is not closed")
            first = self._member()
            if len(first) > 1 or first[0][0] != first[0][1]:
                within = ASCII
            elif self._next == "-" and self.source[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                last = self._member()
                if len(last) > 1 or last[0][0] < first[0][0]:
                    raise self.wrong("has a range that is none")
                first = ((first[0][0], last[0][1]),)
            found += first
        self.at += 1
        if not found and not negated:
            raise self.wrong("has an empty class")
        return complement(found, within) if negated else union(found)

    def _member(self) -> Intervals:
        character = self._next
        self.at += 1
        if character != "\\":
            return ((ord(character), ord(character)),)
        if self._next == "b":
            self.at += 1
            return ((8, 8),)
        return self._escape()
