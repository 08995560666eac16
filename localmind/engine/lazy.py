"""A grammar that begins where a trigger is generated; until then text is free.

Native lazy grammars feed the text behind a trigger to the grammar without checking it, and C++ then ends the
process; their regular expressions recurse on the stack for every character. So the trigger is looked for
here, and an ordinary grammar is started in front of the token in which the match begins, with what that
token has before the match as a literal. A token that completes a trigger but cannot go on in the
grammar counts as refused, and another one is chosen.
"""

import re
from collections.abc import Callable

import numpy
from numpy.typing import NDArray

from localmind.engine.constraint import Constraint
from localmind.engine.grammar import literal
from localmind.engine.sampler import Grammar

WINDOW = 2048
"""Bytes of generated text in which a trigger is looked for."""

START = "begun-in-a-token"
"""Rule that is put in front of the grammar's own root."""


class Lazy:
    """Implements sampler.Grammar."""

    def __init__(
        self,
        constraint: Constraint,
        start: Callable[[str, str], Grammar],
        text: Callable[[int], bytes],
        end_tokens: frozenset[int],
    ) -> None:
        """`start(gbnf, root)` makes a grammar, `text` gives a token's bytes. The triggers must be sound expressions."""
        self._gbnf = constraint.gbnf
        self._triggers = [re.compile(trigger.encode()) for trigger in constraint.triggers]
        self._start = start
        self._text = text
        self._end_tokens = end_tokens
        self._grammar: Grammar | None = None
        self._tokens: list[tuple[int, bytes]] = []
        self._offered: tuple[int, Grammar | None] | None = None

    def allowed(self, ids: NDArray[numpy.int32]) -> NDArray[numpy.bool_]:
        if self._grammar is not None:
            return self._grammar.allowed(ids)
        return numpy.array([self.allows(int(token)) for token in ids], dtype=numpy.bool_)

    def allows(self, token: int) -> bool:
        if self._grammar is not None:
            return self._grammar.allows(token)
        self._forget()
        if token in self._end_tokens:
            self._offered = (token, None)
            return True
        piece = self._text(token)
        found = self._match(piece)
        started: Grammar | None = None
        if found is not None:
            started = self._started([*self._tokens, (token, piece)], found)
            if started is None:
                return False
        self._offered = (token, started)
        return True

    def accept(self, token: int) -> None:
        if self._grammar is not None:
            self._grammar.accept(token)
            return
        if self._offered is None or self._offered[0] != token:
            self.allows(token)
        if self._offered is not None:
            self._grammar = self._offered[1]
            self._offered = None
        self._tokens.append((token, self._text(token)))
        while sum(len(piece) for _, piece in self._tokens) > WINDOW:
            del self._tokens[: max(1, len(self._tokens) // 4)]

    @property
    def may_end(self) -> bool:
        return self._grammar is None or self._grammar.may_end

    @property
    def ended(self) -> bool:
        return self._grammar is not None and self._grammar.ended

    def close(self) -> None:
        self._forget()
        if self._grammar is not None:
            self._grammar.close()

    def _forget(self) -> None:
        if self._offered is not None and self._offered[1] is not None:
            self._offered[1].close()
        self._offered = None

    def _match(self, piece: bytes) -> int | None:
        """Where the grammar begins, in the window's text with this piece behind it."""
        text = b"".join(known for _, known in self._tokens)
        seen = len(text)
        text += piece
        for trigger in self._triggers:
            for match in trigger.finditer(text):
                if match.end() > seen:  # earlier ones were looked at when they came
                    groups = [match.start(number) for number in range(1, trigger.groups + 1) if match[number]]
                    return groups[0] if groups else match.start()
        return None

    def _started(self, tokens: list[tuple[int, bytes]], position: int) -> Grammar | None:
        """The grammar behind all text from `position` on, None where that text does not match it."""
        first, before = 0, 0
        while before + len(tokens[first][1]) <= position and first < len(tokens) - 1:
            before += len(tokens[first][1])
            first += 1
        while True:
            text = b"".join(piece for _, piece in tokens[first:])[: position - before]
            try:
                head = text.decode()
                break
            except UnicodeDecodeError:
                if first == 0:
                    return None
                first -= 1  # the token began inside of a character
                before -= len(tokens[first][1])
        grammar = self._start(f"{START} ::= {literal(head)} root\n{self._gbnf}", START)
        for token, _ in tokens[first:]:
            if not grammar.allows(token):
                grammar.close()
                return None
            grammar.accept(token)
        return grammar
