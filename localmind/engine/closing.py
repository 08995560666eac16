"""Brings a constrained answer to its end within its tokens: a call or a document that is cut in the middle is none.

Whatever the sampler chooses is taken while behind it the shortest completion of the grammar still fits into the tokens
that are left; else the next token of the shortest completion is taken instead, and the answer counts as hurried. That
always comes out if it does at the beginning. Where it does not, or where a grammar cannot be followed, nothing is
done, and the answer is cut as any other. It owns no grammar: shortest.py follows it.
"""

from collections import deque
from collections.abc import Callable

from localmind.engine.grammar.shortest import Grammar, Place

CATCH_UP = 3
"""Tokens that are followed for each new one, once following is due."""

CHARACTER = 4
"""Bytes of a character that may have been begun where one byte was counted on."""

Spell = Callable[[bytes], list[int] | None]
"""Tokens whose texts are these bytes; None if there are none."""


class Closing:
    def __init__(
        self,
        grammar: Grammar,
        text: Callable[[int], bytes],
        spell: Spell,
        end_tokens: frozenset[int],
        room: int,
    ) -> None:
        """`text` gives a token's bytes as the grammar reads them; `room` is how many tokens the answer may have."""
        self._grammar = grammar
        self._text = text
        self._spell = spell
        self._ends = end_tokens
        self._room = room
        self._place: Place | None = grammar.start
        self._begun = b""
        """Of a character that is not whole yet."""
        self._waiting: deque[bytes] = deque()
        """Texts that are not followed yet: as long as any completion fits, nobody needs to know the place."""
        self._plan: list[int] | None = None
        """Tokens of a completion that fits; None while that is certain by its bytes."""
        self._lost = self._place is None or not self._fits(self._place, b"", room)
        self.hurried = False

    def instead(self, token: int) -> int:
        """The token that is taken for the chosen one, most often the same."""
        self._room -= 1
        if self._lost or token in self._ends:
            return token
        self._waiting.append(self._text(token))
        if self._room - len(self._waiting) > self._grammar.most + CHARACTER:
            return token
        for _ in range(min(CATCH_UP, len(self._waiting) - 1)):
            self._follow(self._waiting.popleft())
        if len(self._waiting) > 1:
            return token  # there is time to catch up with the rest
        text = self._waiting.pop()
        if self._lost or self._place is None:
            return token
        plan = self._plan
        place, begun = followed_by(self._grammar, self._place, self._begun, text)
        if place is None:
            self._lost = True  # followed as something else than native code did
        elif plan and token == plan[0]:
            self._place, self._begun, self._plan = place, begun, plan[1:]
        elif self._fits(place, begun, self._room):
            self._place, self._begun = place, begun
        else:
            return self._hurry(token, self._place, plan)
        return token

    def give_up(self) -> None:
        """What was offered instead was not taken."""
        self._lost, self.hurried = True, False

    def _hurry(self, token: int, place: Place, plan: list[int] | None) -> int:
        if plan is None:
            plan = self._completion(place, self._begun)
        if plan is None or not (plan or self._ends):
            self._lost = True
            return token
        self.hurried = True
        if not plan:
            return min(self._ends)
        self._plan = plan[1:]
        self._place, self._begun = followed_by(self._grammar, place, self._begun, self._text(plan[0]))
        return plan[0]

    def _follow(self, text: bytes) -> None:
        if self._place is not None:
            self._place, self._begun = followed_by(self._grammar, self._place, self._begun, text)
        self._lost = self._place is None

    def _fits(self, place: Place, begun: bytes, room: int) -> bool:
        """Whether a completion does; it is kept unless any does."""
        if not begun and place.least <= room:
            self._plan = None
            return True
        plan = self._completion(place, begun)
        if plan is None or len(plan) > room:
            return False
        self._plan = plan
        return True

    def _completion(self, place: Place, begun: bytes) -> list[int] | None:
        text = b""
        if begun:
            character = self._grammar.completing(place, begun)
            after = self._grammar.after(place, character) if character else None
            if after is None:
                return None
            text, place = character.encode()[len(begun) :], after
        return self._spell(text + self._grammar.shortest(place).encode())


def followed_by(grammar: Grammar, place: Place, begun: bytes, text: bytes) -> tuple[Place | None, bytes]:
    """The place behind the whole characters of a text, and what it has of another; `begun` is what came of one."""
    whole, rest = _whole(begun + text)
    return (None, b"") if whole is None else (grammar.after(place, whole), rest)


def least_tokens(grammar: Grammar, spell: Spell) -> int | None:
    """Tokens of the shortest text; None if that is not known."""
    tokens = spell(grammar.shortest(grammar.start).encode()) if grammar.start is not None else None
    return None if tokens is None else len(tokens)


def _whole(text: bytes) -> tuple[str | None, bytes]:
    """Characters, and the bytes at the end that are the beginning of one; None for what is no UTF-8."""
    try:
        return text.decode(), b""
    except UnicodeDecodeError as problem:
        rest = text[problem.start :]
        if problem.end == len(text) and len(rest) < 4 and problem.reason == "unexpected end of data":
            return text[: problem.start].decode(), rest
        return None, b""
