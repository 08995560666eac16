"""One request's choice of tokens: adjust the logits, choose, check the choice against the grammar.

Native samplers copy a vocabulary to look at it, and a grammar over all of one takes 8 to 17 ms. So few
candidates are handed over: those that top_k keeps all lie a few units below the best logit, which numpy
finds in 20 µs, and a grammar is asked about the chosen token first (7 µs) and about ever more candidates
only when it refuses. It decides nothing about stages: sampling.py does.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy
from numpy.typing import NDArray

from localmind.engine.adjust import Adjustments
from localmind.engine.closing import Closing
from localmind.engine.forced import Forced
from localmind.errors import InvalidRequest
from localmind.events import Logprob, TokenLogprob

Ids = NDArray[numpy.int32]
Logits = NDArray[numpy.float32]

NOTHING = array("i")

REACH = 8.0
"""Units below the best logit in which candidates are looked for first: e^-8, a 3,000th of the best's probability."""

REACHES = (REACH / 2, REACH, 2 * REACH)
"""Under a grammar, before the whole vocabulary is looked at. A grammar's look takes 0.3 µs a candidate."""


class ChosenBy(Protocol):
    """Chooses among candidates; llama.SamplerChain is one, Greedy another."""

    def choose(self, ids: Ids, logits: Logits) -> int: ...
    def close(self) -> None: ...


class Grammar(Protocol):
    """llama.chain.Grammar is one, lazy.Lazy another."""

    def allowed(self, ids: Ids) -> NDArray[numpy.bool_]: ...
    def allows(self, token: int) -> bool: ...
    def accept(self, token: int) -> None: ...
    @property
    def may_end(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    def close(self) -> None: ...


class Greedy:
    """The likeliest, and the first of several that are alike, as llama.cpp does."""

    def choose(self, ids: Ids, logits: Logits) -> int:
        return int(ids[logits.argmax()])

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True, frozen=True)
class Vocabulary:
    every: Ids
    """All token ids in order."""
    end_tokens: frozenset[int]
    text: Callable[[int], bytes]


class TokenSampler:
    """Implements backend.Sampler."""

    def __init__(
        self,
        row: Callable[[int], Logits],
        chosen_by: ChosenBy,
        adjustments: Adjustments,
        grammar: Grammar | None,
        vocabulary: Vocabulary,
        *,
        wanted: int,
        margin: float,
        top: int | None,
        closing: Closing | None = None,
        forced: Forced | None = None,
    ) -> None:
        """`row` gives the logits of an output; `wanted` candidates are what `chosen_by` looks at, 1 for the best;
        what lies `margin` units below the best is never chosen. `closing` ends what the grammar wants in time, `forced`
        knows what it leaves no choice about."""
        self._row = row
        self._chosen_by = chosen_by
        self._adjustments = adjustments
        self._grammar = grammar
        self._vocabulary = vocabulary
        self._wanted = wanted
        self._margin = margin
        self._top = top
        self._closing = closing
        self._forced = forced
        self._ended = False

    @property
    def finished(self) -> bool:
        """Whether the grammar has reached its end and allows nothing but end-of-generation."""
        return self._ended

    @property
    def ahead(self) -> "array[int]":
        """Tokens that come next because the grammar allows no other text."""
        return self._forced.ahead if self._forced is not None else NOTHING

    @property
    def hurried(self) -> bool:
        """Whether the answer would have gone on if it had had more tokens."""
        return self._closing is not None and self._closing.hurried

    def sample(self, index: int) -> int:
        logits = self._adjustments.apply(self._row(index))
        ahead = self.ahead
        token = ahead[0] if ahead and logits[ahead[0]] > -numpy.inf else self._choose(logits)
        if self._grammar is not None:
            if not self._grammar.allows(token):
                token = self._choose_allowed(logits, self._grammar)
            if self._closing is not None:
                token = self._in_time(token, self._grammar, self._closing)
            self._grammar.accept(token)
            if self._forced is not None:
                self._forced.took(token)
            self._ended = token in self._vocabulary.end_tokens or self._grammar.ended
        self._adjustments.accept(token)
        return token

    def logprobs(self, index: int, token: int) -> TokenLogprob | None:
        """From the model's own distribution, whatever sampling did to it."""
        if self._top is None:
            return None
        row = self._row(index)
        best = row.max()
        total = float(best) + float(numpy.log(numpy.exp(row - best).sum()))
        top: list[int] = []
        if self._top:
            near = numpy.argpartition(row, -self._top)[-self._top :]
            top = near[numpy.lexsort((near, -row[near]))].tolist()
        return TokenLogprob(
            self._logprob(token, float(row[token]) - total),
            tuple(self._logprob(one, float(row[one]) - total) for one in top),
        )

    def close(self) -> None:
        self._chosen_by.close()
        self._adjustments.close()
        if self._grammar is not None:
            self._grammar.close()

    def _choose(self, logits: Logits) -> int:
        if self._wanted == 1:
            return int(logits.argmax())
        best = logits.max()
        ids = _near(logits, best - REACH)
        if len(ids) < self._wanted:
            ids = _near(logits, best - 2 * REACH)
            if len(ids) < self._wanted:
                return self._chosen_by.choose(self._vocabulary.every, logits)
        return self._chosen_by.choose(ids, logits[ids])

    def _choose_allowed(self, logits: Logits, grammar: Grammar) -> int:
        """Choose again, among what the grammar allows."""
        best = logits.max()
        for reach in REACHES:
            ids = _near(logits, best - reach)
            ids = ids[grammar.allowed(ids)]
            if not len(ids):
                continue
            found = logits[ids]
            # Nothing further out would be kept: top_k is full (for greedy, by one), or the rest is too unlikely.
            if len(ids) >= self._wanted or found.max() - self._margin >= best - reach:
                return self._chosen_by.choose(ids, found)
        every = self._vocabulary.every
        ids = every[grammar.allowed(every) & (logits > -numpy.inf)]
        if len(ids):
            return self._chosen_by.choose(ids, logits[ids])
        if grammar.may_end:
            return min(self._vocabulary.end_tokens)  # banned, but there is nothing else to say
        raise InvalidRequest("grammar: no token of this model can continue the text")

    @staticmethod
    def _in_time(token: int, grammar: Grammar, closing: Closing) -> int:
        instead = closing.instead(token)
        if instead != token and not grammar.allows(instead):
            closing.give_up()
            return token
        return instead

    def _logprob(self, token: int, value: float) -> Logprob:
        text = self._vocabulary.text(token)
        return Logprob(text.decode("utf-8", "replace"), text, value, token)


def _near(logits: Logits, limit: float) -> Ids:
    return numpy.flatnonzero(logits > limit).astype(numpy.int32)
