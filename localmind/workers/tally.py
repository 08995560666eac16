"""What one model's engine has done since the daemon started, as numbers for /metrics, status and Retry-After.

It counts events as they pass on the daemon's side, so that it also knows how long a client really
waited for a first token, and it outlives the worker. Counting costs a few additions an event.
"""

import bisect
import collections
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from localmind.errors import QueueFull
from localmind.events import Done

FIRST_TOKEN_BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
GAP_BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds; upper bounds, inclusive, as Prometheus has them."""

RECENT = 32
"""Ends that the rate behind Retry-After is taken from."""

LONGEST_WAIT_S = 120
ENOUGH_TOKENS = 16
"""Fewer say nothing about speed."""


class Histogram:
    """Counts below bounds, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value


@dataclass(slots=True)
class Tally:
    """Totals of one model. Times in seconds."""

    clock: Callable[[], float] = time.monotonic
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    """By finish reason, or by the code of the error that ended it."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    queue_s: float = 0.0
    parked_s: float = 0.0
    first_token: Histogram = field(default_factory=lambda: Histogram(FIRST_TOKEN_BOUNDS))
    gaps: Histogram = field(default_factory=lambda: Histogram(GAP_BOUNDS))
    prefill_tok_s: float | None = None
    decode_tok_s: float | None = None
    """Of the latest request that was long enough to tell."""
    launches: int = 0
    """Worker processes that were started for it, those of the canary's ladder included."""
    deaths: int = 0
    ends: collections.deque[float] = field(default_factory=lambda: collections.deque(maxlen=RECENT))

    def retry_after(self) -> int:
        """Seconds until a place in a full queue is likely to be free, from how often requests ended lately."""
        if len(self.ends) < 2:
            return 2
        lasted = self.clock() - self.ends[0]
        return max(1, min(LONGEST_WAIT_S, -int(-lasted // len(self.ends))))

    def refused(self, problem: QueueFull) -> None:
        """Tell an asker who found the queue full when to come back."""
        problem.retry_after_s = self.retry_after()


class Watch:
    """One request on its way. Exactly one of `done` and `failed` counts; neither means the client went away."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._last = tally.clock()
        self._began = False
        self._outcome = "cancelled"

    def piece(self) -> None:
        """A piece of the answer passed."""
        now = self._tally.clock()
        (self._tally.gaps if self._began else self._tally.first_token).add(now - self._last)
        self._began, self._last = True, now

    def failed(self, code: str) -> None:
        self._outcome = code

    def done(self, done: Done) -> None:
        tally, usage, timings = self._tally, done.usage, done.timings
        self._outcome = done.finish_reason
        tally.prompt_tokens += usage.prompt_tokens
        tally.cached_tokens += usage.cached_tokens
        tally.generated_tokens += usage.completion_tokens
        tally.drafted_tokens += timings.drafted_tokens
        tally.accepted_tokens += timings.accepted_tokens
        tally.queue_s += timings.queue_ms / 1e3
        tally.parked_s += timings.parked_ms / 1e3
        evaluated = usage.prompt_tokens - usage.cached_tokens
        if evaluated >= ENOUGH_TOKENS and timings.prefill_ms > 0:
            tally.prefill_tok_s = round(1e3 * evaluated / timings.prefill_ms, 1)
        if usage.completion_tokens >= ENOUGH_TOKENS and timings.decode_ms > 0:
            # The first token belongs to the prefill.
            tally.decode_tok_s = round(1e3 * (usage.completion_tokens - 1) / timings.decode_ms, 1)

    def end(self) -> None:
        self._tally.outcomes[self._outcome] += 1
        self._tally.ends.append(self._tally.clock())
