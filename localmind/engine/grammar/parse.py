"""GBNF text to rules, in the dialect that llama.cpp's parser reads.

Needed twice: a client's grammar is judged (judge.py) before native code sees it, and tests walk through
grammars. Groups become rules of their own, as in native code. References to tokens, `<[12]>` and
`!<think>`, are refused: native code checks such a token and then aborts on accepting it when characters
come before it, and control tokens match as their text anyway.
"""

from dataclasses import dataclass, field

from localmind.errors import InvalidRequest

MAX_SIZE = 1 << 20
MAX_NESTING = 100
"""Parentheses: native code recurses on its stack."""

NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
HEX = {"x": 2, "u": 4, "U": 8}


@dataclass(slots=True, frozen=True)
class Characters:
    """One character out of inclusive intervals of code points, or out of all others."""

    intervals: tuple[tuple[int, int], ...]
    negated: bool = False

    def hold(self, code: int) -> bool:
        return any(first <= code <= last for first, last in self.intervals) != self.negated


@dataclass(slots=True, frozen=True)
class Reference:
    rule: str


@dataclass(slots=True, frozen=True)
class Item:
    """Symbols in a row, repeated `least` to `most` times; None is without end."""

    symbols: tuple[Characters | Reference, ...]
    least: int = 1
    most: int | None = 1


Rules = dict[str, list[list[Item]]]
"""Alternatives by rule name, each a list of items."""

ANY = Characters((), negated=True)


def parse(text: str) -> Rules:
    """The rules of a grammar. Raises InvalidRequest with line and column."""
    if len(text) > MAX_SIZE:
        raise InvalidRequest(f"grammar: {len(text):,} characters are more than {MAX_SIZE:,}")
    if "\0" in text:
        raise InvalidRequest("grammar: a NUL character ends it early; write it as \\x00")
    return _Parser(text + "\0").grammar()


@dataclass(slots=True)
class _Parser:
    text: str
    """Ends with a NUL, so that looking one character ahead never leaves it."""
    at: int = 0
    depth: int = 0
    rules: Rules = field(default_factory=dict)

    def grammar(self) -> Rules:
        self._space(newlines=True)
        while self._next != "\0":
            name = self._name()
            self._space()
            if not self.text.startswith("::=", self.at):
                raise self._wrong("expected ::=")
            self.at += 3
            self._space(newlines=True)
            self.rules[name] = self._alternatives(name, nested=False)
            if self._next not in "\r\n\0":
                raise self._wrong("expected the end of the rule")
            self._space(newlines=True)
        return self.rules

    @property
    def _next(self) -> str:
        return self.text[self.at]

    def _wrong(self, what: str) -> InvalidRequest:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - self.text.rfind("\n", 0, self.at)
        return InvalidRequest(f"grammar: line {line}, column {column}: {what}")

    def _space(self, *, newlines: bool = False) -> None:
        while self._next in " \t#" or (newlines and self._next in "\r\n"):
            if self._next == "#":
                while self._next not in "\r\n\0":
                    self.at += 1
            else:
                self.at += 1

    def _name(self) -> str:
        start = self.at
        while self._next in NAME:
            self.at += 1
        if self.at == start:
            raise self._wrong("expected a name of letters, digits and dashes")
        return self.text[start : self.at]

    def _alternatives(self, rule: str, *, nested: bool) -> list[list[Item]]:
        found = [self._sequence(rule, nested=nested)]
        while self._next == "|":
            self.at += 1
            self._space(newlines=True)
            found.append(self._sequence(rule, nested=nested))
        return found

    def _sequence(self, rule: str, *, nested: bool) -> list[Item]:
        items: list[Item] = []
        while True:
            character = self._next
            if character == '"':
                items.append(Item(self._literal()))
            elif character == "[":
                items.append(Item((self._class(),)))
            elif character in NAME and character != "\0":
                items.append(Item((Reference(self._name()),)))
            elif character == "(":
                items.append(Item((self._group(rule),)))
            elif character == ".":
                self.at += 1
                items.append(Item((ANY,)))
            elif character in "*+?{":
                if not items or not items[-1].symbols:
                    raise self._wrong("nothing to repeat")
                least, most = self._times(nested)
                items[-1] = self._repeated(items[-1], least, most, rule)
            elif character in "<!":
                raise self._wrong("tokens cannot be referred to; write the token's text as a literal")
            else:
                return items
            self._space(newlines=nested)

    def _repeated(self, item: Item, least: int, most: int | None, rule: str) -> Item:
        if (item.least, item.most) == (1, 1):
            return Item(item.symbols, least, most)
        return Item((self._synthesized(rule, [[item]]),), least, most)

    def _group(self, rule: str) -> Reference:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self._wrong(f"parentheses are nested more than {MAX_NESTING} deep")
        self.at += 1
        self._space(newlines=True)
        inside = self._alternatives(rule, nested=True)
        if self._next != ")":
            raise self._wrong("expected )")
        self.at += 1
        self.depth -= 1
        return self._synthesized(rule, inside)

    def _synthesized(self, rule: str, alternatives: list[list[Item]]) -> Reference:
        name = f"{rule}_{len(self.rules)}_{self.at}"  # `_` cannot stand in a written name
        self.rules[name] = alternatives
        return Reference(name)

    def _literal(self) -> tuple[Characters, ...]:
        self.at += 1
        codes = []
        while self._next != '"':
            codes.append(self._character())
        self.at += 1
        return tuple(Characters(((code, code),)) for code in codes)

    def _class(self) -> Characters:
        self.at += 1
        negated = self._next == "^"
        self.at += negated
        intervals = []
        while self._next != "]":
            first = last = self._character()
            if self._next == "-" and self.text[self.at + 1] != "]":
                self.at += 1
                last = self._character()
            intervals.append((first, last))
        self.at += 1
        if not intervals:
            raise self._wrong("an empty character class")
        return Characters(tuple(intervals), negated)

    def _character(self) -> int:
        character = self._next
        if character == "\0":
            raise self._wrong("unexpected end")
        self.at += 1
        if character != "\\":
            return ord(character)
        kind = self._next
        self.at += 1
        if kind in HEX:
            digits = self.text[self.at : self.at + HEX[kind]]
            if len(digits) < HEX[kind] or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
                raise self._wrong(f"expected {HEX[kind]} hexadecimal digits")
            self.at += HEX[kind]
            return int(digits, 16)
        if kind not in ESCAPES:
            raise self._wrong("unknown escape")
        return ord(ESCAPES[kind])

    def _times(self, nested: bool) -> tuple[int, int | None]:
        character = self._next
        self.at += 1
        if character != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
        self._space(newlines=nested)
        least = self._number()
        most: int | None = least
        if self._next == ",":
            self.at += 1
            self._space(newlines=nested)
            most = self._number() if self._next in "0123456789" else None
        if self._next != "}":
            raise self._wrong("expected }")
        self.at += 1
        if most is not None and most < least:
            raise self._wrong(f"at least {least} and at most {most} times")
        return least, most

    def _number(self) -> int:
        start = self.at
        while self._next in "0123456789":
            self.at += 1
        if not 1 <= self.at - start <= 6:
            raise self._wrong("expected a number of at most 6 digits")
        number = int(self.text[start : self.at])
        self._space()
        return number
