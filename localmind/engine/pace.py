"""Keeps time: how much prompt a step may take, and how many threads pay off just now.

Both come from measured steps, never from what a processor is called. A step's prefill is sized so
that running streams see no gap above the stall budget. And threads are given back while another
program uses their core: two threads on one and a half cores decode three times slower than one
(measured: 18 against 50 tokens/s), because each waits for the other at every layer. It knows no
clock and no context: the loop tells it what each step took and asks what to do.
"""

from collections.abc import Callable
from dataclasses import dataclass

STALL_S = 0.25
"""Longest time that prefill may add to a step."""

FIRST_RATE = 100.0
"""Prompt tokens a second assumed before the first measurement."""

FASTEST = 1e-7
"""Seconds a token that no machine is below; a clock that stood still is not believed."""

LEAST_PREFILL = 16
"""Tokens: a smaller piece costs almost as much time."""

BUSY_SHARE = 0.82
"""When our threads got less of their cores than this, another program is probably in the way."""

TRIAL_STEPS = 4
BETTER = 0.95
"""A trial wins when its steps take less than this part of the time."""

RETRY_S = (1.0, 16.0)
"""Shortest and longest time between two trials that did not pay."""


@dataclass(slots=True, frozen=True)
class Measured:
    """One step."""

    decode_rows: int
    prefill_tokens: int
    seconds: float
    cpu_seconds: float
    """Processor time of the whole process in that time."""


class Average:
    """An exponential moving average that begins with the first value."""

    def __init__(self, weight: float) -> None:
        self.value: float | None = None
        self._weight = weight

    def add(self, value: float) -> None:
        self.value = value if self.value is None else self.value + self._weight * (value - self.value)


class Prefill:
    """Tokens of prompt that fit the stall budget."""

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._seconds_per_token = Average(0.3)
        self._decode: dict[int, Average] = {}

    @property
    def rate(self) -> float:
        """Prompt tokens a second, as last measured."""
        each = self._seconds_per_token.value
        return FIRST_RATE if each is None else 1 / max(each, FASTEST)

    def budget(self, decode_rows: int) -> int:
        return max(LEAST_PREFILL, int(self._stall_s * self.rate))

    def decode_seconds(self, rows: int) -> float | None:
        """How long a step of so many decode rows and nothing else takes; None before one was seen."""
        known = self._decode.get(rows)
        return known.value if known is not None else None

    def measured(self, step: Measured) -> None:
        if not step.prefill_tokens:
            self._decode.setdefault(step.decode_rows, Average(0.2)).add(step.seconds)
            return
        beside = self.decode_seconds(step.decode_rows) or 0.0
        if step.prefill_tokens >= LEAST_PREFILL:
            self._seconds_per_token.add(max(step.seconds - beside, 0.2 * step.seconds) / step.prefill_tokens)


class Threads:
    """Moves the number of threads down while others need the cores, and up again.

    Suspicion starts a trial: `TRIAL_STEPS` steps with one thread less, compared with as many of the
    same shape before. Going up again is tried from time to time. Trials that do not pay become rarer.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self.count = most
        self._most = most
        self._clock = clock
        self._share = Average(0.25)
        self._shape: tuple[int, bool] | None = None
        self._before: list[float] = []
        self._trial: list[float] | None = None
        self._trial_from = most
        self._wait = {-1: RETRY_S[0], 1: RETRY_S[0]}
        self._next = {-1: 0.0, 1: 0.0}

    @property
    def trying(self) -> bool:
        return self._trial is not None

    def measured(self, step: Measured) -> None:
        """Take a step into account; `count` is then what the next step should use."""
        if self._most < 2 or step.seconds <= 0:
            return
        cost = step.seconds / step.prefill_tokens if step.prefill_tokens else step.seconds
        shape = (step.decode_rows, bool(step.prefill_tokens))
        if shape != self._shape:
            self._change_of_shape(shape)
        if self._trial is not None:
            self._trial.append(cost)
            if len(self._trial) > TRIAL_STEPS:  # the first one pays for the change
                self._judge()
            return
        self._before = [*self._before[1 - TRIAL_STEPS :], cost]
        self._share.add(step.cpu_seconds / (step.seconds * self.count))
        if len(self._before) < TRIAL_STEPS:
            return
        now = self._clock()
        crowded = (self._share.value or 1.0) < BUSY_SHARE
        if crowded and self.count > 1 and now >= self._next[-1]:
            self._begin(-1)
        elif self.count < self._most and now >= self._next[1]:
            self._begin(1)

    def _change_of_shape(self, shape: tuple[int, bool]) -> None:
        """Steps of different shape are not comparable: a trial under way is given up, and not repeated at once."""
        if self._trial is not None:
            direction = self.count - self._trial_from
            self._next[direction] = self._clock() + self._wait[direction]
            self.count = self._trial_from
            self._trial = None
        self._shape = shape
        self._before = []

    def _begin(self, direction: int) -> None:
        self._trial_from = self.count
        self.count += direction
        self._trial = []

    def _judge(self) -> None:
        assert self._trial is not None
        direction = self.count - self._trial_from
        before, after = _middle(self._before), _middle(self._trial[1:])
        now = self._clock()
        if after < BETTER * before:
            self._wait[direction] = RETRY_S[0]
            self._next[-direction] = now + self._wait[-direction]
            self._share = Average(0.25)
        else:
            self.count = self._trial_from
            self._next[direction] = now + self._wait[direction]
            self._wait[direction] = min(2 * self._wait[direction], RETRY_S[1])
        self._trial = None
        self._before = []


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
