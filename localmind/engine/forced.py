"""What a grammar leaves no choice about, spelt as the model itself would write it.

Where a grammar allows one text and no other, asking the model token by token costs a step for each, and what it says
are the likeliest of the pieces that fit, which it may never have written so. Here such a text is spelt as a whole: its
tokens are known in advance, so that one step evaluates all of them. The last token stays the model's, since it may
reach into the text behind. It owns no grammar: shortest.py follows it.
"""

from array import array
from collections.abc import Callable

from localmind.engine.closing import Spell, followed_by
from localmind.engine.grammar.shortest import Grammar, Place


class Forced:
    def __init__(self, grammar: Grammar, text: Callable[[int], bytes], spell: Spell) -> None:
        """`text` gives a token's bytes as the grammar reads them."""
        self._grammar = grammar
        self._text = text
        self._spell = spell
        self._place: Place | None = grammar.start
        self._begun = b""
        """Of a character that is not whole yet."""
        self.ahead = array("i")
        """Tokens that come next, whatever the model says; mostly none."""
        self._look()

    def took(self, token: int) -> None:
        """Go on behind a token: the next of those ahead, or another that the grammar allows."""
        if self._place is None:
            return
        self._place, self._begun = followed_by(self._grammar, self._place, self._begun, self._text(token))
        if self.ahead and self.ahead[0] == token:
            self.ahead = self.ahead[1:]
        else:
            self.ahead = array("i")
        if not self.ahead:
            self._look()

    def _look(self) -> None:
        if self._place is None or self._begun:
            return
        text, behind = self._grammar.forced(self._place)
        if not text:
            return
        tokens = self._spell(text.encode()) or []
        self.ahead = array("i", tokens if not behind.positions else tokens[:-1])
