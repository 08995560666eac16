"""Speculation: guess the next tokens, let the model check several in one step, keep those it agrees with.

The loop talks to a `Speculator`, one a sequence. Before a decode step it asks `propose(tokens, room, others)`; what
comes back is put into the batch behind the sequence's last token, with logits for every row. It then samples row
after row, stops at the first token that differs from the draft, cuts the memory behind it, and reports with
`observe(proposed, accepted)`. So no sampler ever rolls back, and the text is the one that would have come anyway. Ask
only while at most MAX_RUNNING sequences decode, and never for a memory that cannot cut tails (memory_kind.py).

This file is pure and knows no model. `PromptLookup` finds drafts in the sequence's own tokens. `Policy` decides how
many are worth their price: wrong drafts are expensive on a CPU, where eight rows cost 4.5 times one row. It learns
from predictions that it does not act on, which is free, and it may never lose more than a hundredth of the time.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy

MAX_RUNNING = 2
"""Sequences that decode at once; beyond it the rows of others use the machine better than guesses."""

SIZES = (1, 2, 3, 5, 7, 11, 15)
"""Drafts that are considered: 2, 3, 4, 6, 8, 12 and 16 rows with the token before them."""
MAX_DRAFT = SIZES[-1]
FIRST = 3
"""The largest draft before one was accepted whole; then 7, then 15."""
SHORTEST, LONGEST = 2, 5
"""Tokens of the suffixes that are looked up."""

Cost = Callable[[int], float]
"""Seconds that a step of so many rows takes here, as pace.py has measured it."""


class Speculator(Protocol):
    """Used on the loop's thread only."""

    def propose(self, tokens: "array[int]", room: int, others: int = 0) -> "array[int]":
        """Tokens that may follow `tokens` (prompt and answer, the last sampled token included); mostly none.

        `tokens` only ever grows between two calls. At most `room` come back. `others` is the number of rows that the
        step has beside this sequence's own.
        """

    def observe(self, proposed: int, accepted: int) -> None:
        """How a proposal ended. Call it once after each step that carried one."""

    def close(self) -> None: ...


def interpolated(points: Mapping[int, float]) -> Cost:
    """A cost between measured ones; beyond the largest, its cost for each row. Needs at least one point."""
    rows = sorted(points)

    def cost(count: int) -> float:
        at = bisect_left(rows, count)
        if at == len(rows):
            return points[rows[-1]] * count / rows[-1]
        high = rows[at]
        if high == count or at == 0:
            return points[high]
        low = rows[at - 1]
        return points[low] + (points[high] - points[low]) * (count - low) / (high - low)

    return cost


class PromptLookup:
    """Where the end of a sequence has stood before in it. A few dictionary entries for each token."""

    def __init__(self, tokens: "array[int]") -> None:
        """Indexes a prompt, about a millisecond for 4,000 tokens; any thread may do that before the loop takes over."""
        # Key of a suffix -> position of the token after its latest occurrence. Keys are hashes: a hit is compared.
        self._after: tuple[dict[int, int], ...] = tuple({} for _ in range(SHORTEST, LONGEST + 1))
        self._indexed = 0
        self._index_many(tokens)

    def find(self, tokens: "array[int]") -> tuple[int, int]:
        """Position of a token that followed the longest known suffix, and how many tokens before it agree.

        Of several places the latest is taken; 0, 0 if there is none.
        """
        for end in range(self._indexed, len(tokens) - 1):
            self._index(tokens, end)
        self._indexed = max(self._indexed, len(tokens) - 1)
        for length in range(min(LONGEST, len(tokens)), SHORTEST - 1, -1):
            after = self._after[length - SHORTEST].get(_key(tokens, len(tokens) - length, len(tokens)))
            if after is not None:
                match = _agreement(tokens, after)
                if match >= length:
                    return after, match
        return 0, 0

    def _index(self, tokens: "array[int]", end: int) -> None:
        """Enter the suffixes whose last token is at `end`; only those that something follows."""
        for length in range(SHORTEST, min(LONGEST, end + 1) + 1):
            self._after[length - SHORTEST][_key(tokens, end + 1 - length, end + 1)] = end + 1

    def _index_many(self, tokens: "array[int]") -> None:
        count = len(tokens) - 1
        if count < SHORTEST:
            return
        ids = numpy.frombuffer(tokens, dtype=numpy.int32)[:count].astype(numpy.uint64)
        key = ids
        for length in range(2, LONGEST + 1):
            if length > count:
                break
            key = key[: count + 1 - length] * numpy.uint64(_FACTOR) + ids[length - 1 :]
            if length >= SHORTEST:
                # Later places overwrite earlier ones.
                self._after[length - SHORTEST].update(zip(key.tolist(), range(length, count + 1), strict=True))
        self._indexed = count


_FACTOR = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_FURTHEST = 48
"""Tokens that are compared backwards: more does not make a match more trustworthy."""


def _key(tokens: "array[int]", start: int, end: int) -> int:
    key = 0
    for token in tokens[start:end]:
        key = (key * _FACTOR + token) & _MASK
    return key


def _agreement(tokens: "array[int]", after: int) -> int:
    """How many tokens before `after` are those at the end of `tokens`."""
    end = len(tokens)
    limit = min(after, _FURTHEST)
    count = 0
    while count < limit and tokens[after - 1 - count] == tokens[end - 1 - count]:
        count += 1
    return count


_CLASSES = (3, 4, 6, 12, 24)
"""Where one class of match lengths ends and the next begins: 2, 3, 4-5, 6-11, 12-23, 24 and more tokens."""
_PRIORS = (0.30, 0.40, 0.55, 0.75, 0.88, 0.93)
_PRIOR_WEIGHT = 6.0
_MEMORY = 0.97
"""What each new token leaves of the weight of those before it: about 30 tokens count."""
_MARGIN = 1.05
"""A gain that is expected must be at least this, for it is an estimate."""
_LOSS = 0.01
"""Part of the decode time that wrong drafts may cost in the long run."""
_CREDIT = 8.0
"""Plain steps' worth of gain that is remembered in favour of later drafts: old luck is no licence."""
_ADVANCE = 1.6
"""Plain steps' worth of loss that a long match may run up before anything was gained: one small draft here."""
_ADVANCE_MATCH = 6


class Policy:
    """How many of the tokens that a drafter could offer are worth their price. Times are in seconds."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._hits = [prior * _PRIOR_WEIGHT for prior in _PRIORS]
        self._tries = [_PRIOR_WEIGHT] * len(_PRIORS)
        self._largest = FIRST
        self._balance = 0.0  # plain steps gained, less those lost
        self._rows = 1

    def learn(self, match: int, hit: bool) -> None:
        """A token was predicted behind `match` agreeing ones, drafted or not."""
        which = _class(match)
        self._hits[which] = self._hits[which] * _MEMORY + hit
        self._tries[which] = self._tries[which] * _MEMORY + 1.0

    def earn(self, tokens: int) -> None:
        """So many tokens were generated: a hundredth of their time may be risked."""
        self._balance = min(_CREDIT, self._balance + _LOSS * tokens)

    def count(self, match: int, room: int, rows: int, drafting: Cost | None = None) -> int:
        """How many tokens to draft, 0 for none. `drafting` is what drafting so many costs, if it costs anything."""
        self._rows = rows
        base = self._cost(rows)
        best, best_rate = 0, _MARGIN * rows / base
        risk = self._balance + (_ADVANCE if match >= _ADVANCE_MATCH else 0.0)
        limit = min(room, self._largest)
        likely, expected, drafted = 1.0, 0.0, 0
        for size in SIZES:
            if size > limit:
                break
            while drafted < size:
                likely *= self.likelihood(match + drafted)
                expected += likely
                drafted += 1
            seconds = self._cost(rows + size) + (drafting(size) if drafting else 0.0)
            rate = (rows + expected) / seconds
            if rate > best_rate and seconds / base - 1.0 <= risk:
                best, best_rate = size, rate
        return best

    def observe(self, proposed: int, accepted: int, drafting: float = 0.0) -> None:
        if not proposed:
            return
        rows = self._rows
        base = self._cost(rows)
        spent = (self._cost(rows + proposed) + drafting) / base
        self._balance = min(_CREDIT, self._balance + (rows + accepted) / rows - spent)
        if accepted == proposed:
            self._largest = min(MAX_DRAFT, max(self._largest, 2 * proposed + 1))
        else:
            self._largest = max(FIRST, self._largest // 2, accepted)

    def spend(self, seconds: float) -> None:
        """Time that went into a draft which came to nothing."""
        self._balance -= seconds / self._cost(self._rows)

    def forget(self) -> None:
        """Believe half of what was learnt: a drafter that is no longer asked cannot show that it got better."""
        for which, prior in enumerate(_PRIORS):
            self._hits[which] = (self._hits[which] + prior * _PRIOR_WEIGHT) / 2
            self._tries[which] = (self._tries[which] + _PRIOR_WEIGHT) / 2

    def likelihood(self, match: int) -> float:
        which = _class(match)
        return self._hits[which] / self._tries[which]


def _class(match: int) -> int:
    for number, end in enumerate(_CLASSES):
        if match < end:
            return number
    return len(_CLASSES)


_NOTHING: "array[int]" = array("i")


class LookupSpeculator:
    """A Speculator whose drafts come from the sequence's own earlier tokens: edits, code, quotations, JSON."""

    def __init__(self, lookup: PromptLookup, cost: Cost) -> None:
        self._lookup = lookup
        self._policy = Policy(cost)
        self._length = 0  # of the tokens when last asked
        self._source = 0  # what comes next according to the place that the text follows; 0: it follows none
        self._match = 0

    def propose(self, tokens: "array[int]", room: int, others: int = 0) -> "array[int]":
        self._follow(tokens)
        if not self._source:
            return _NOTHING
        count = self._policy.count(self._match, min(room, MAX_DRAFT), 1 + others)
        if not count:
            return _NOTHING
        # A repetition shorter than the draft is continued as a repetition.
        known = len(tokens) - self._source
        if known >= count:
            return tokens[self._source : self._source + count]
        return array("i", [tokens[self._source + i % known] for i in range(count)])

    def observe(self, proposed: int, accepted: int) -> None:
        self._policy.observe(proposed, accepted)

    def close(self) -> None:
        """Nothing to free."""

    def _follow(self, tokens: "array[int]") -> None:
        """Compare what came with what the followed place predicted, and find a new place where they differ."""
        length = len(tokens)
        if self._length:
            self._policy.earn(length - self._length)
        if self._source:
            for token in tokens[self._length : length]:
                hit = tokens[self._source] == token
                self._policy.learn(self._match, hit)
                if not hit:
                    self._source = 0
                    break
                self._source += 1
                self._match = min(self._match + 1, _FURTHEST)
        self._length = length
        if not self._source or self._match < LONGEST:
            # A short match may have become a longer one somewhere else.
            self._source, self._match = self._lookup.find(tokens)


def prompt_lookup(prompt: "array[int]", cost: Cost) -> Speculator:
    """The Speculator of a sequence that starts with `prompt`."""
    return LookupSpeculator(PromptLookup(prompt), cost)


class Either:
    """The drafts of the first of two speculators, or else those of the second."""

    def __init__(self, first: Speculator, second: Speculator) -> None:
        self._first = first
        self._second = second
        self._asked = first

    def propose(self, tokens: "array[int]", room: int, others: int = 0) -> "array[int]":
        self._asked = self._first
        draft = self._first.propose(tokens, room, others)
        if not draft:
            self._asked = self._second
            draft = self._second.propose(tokens, room, others)
        return draft

    def observe(self, proposed: int, accepted: int) -> None:
        self._asked.observe(proposed, accepted)

    def close(self) -> None:
        self._first.close()
        self._second.close()
