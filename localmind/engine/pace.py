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
"""Time that prefill should add to a step."""

MOST_STALL_S = 0.36
"""Time that it may add when that makes a whole tile."""

TILE = 64
"""Rows from which on llama.cpp's flash attention on a CPU works in tiles: above 1,000 cells in use a token in a
smaller batch costs twice as much (3,072 tokens: 63 s in pieces of 32, 29 s in pieces of 64, 26 s in 512s)."""

ALONE_S = 1.0
"""Time that a step may take while nobody is streaming: only who cancels or comes newly waits for it, and a lone prompt
is read twice as fast in 128s as in 32s (1,024 tokens without AMX: 109 and 54 tokens/s)."""

LEAST_FILLED = 24
"""Rows below which filling up to a tile costs more than it saves anywhere."""

DOUBLING = 1_700
"""Cells in use with which a token outside a tile is assumed to cost twice as much as in one, before one was measured
(seen without AMX: 1.4 times at 1,000 cells, 3.1 times at 2,400; with AMX more)."""

FILL_GAIN = 0.9
"""A step is filled up when that takes less than this part of its time."""

FIRST_RATE = 100.0
"""Prompt tokens a second assumed before the first measurement."""

FASTEST = 1e-7
"""Seconds a token that no machine is below; a clock that stood still is not believed."""

LINE_MEMORY = 0.8
LEAST_SPREAD = 64.0 * 64.0
"""Variance of cells below which measurements say nothing about a slope."""

LEAST_PREFILL = 16
"""Tokens: a smaller piece costs almost as much time."""

BUSY_SHARE = 0.82
"""When our threads got less of their cores than this, another program is probably in the way."""

TRIAL_STEPS = 4
BETTER = 0.95
"""A trial wins when its steps take less than this part of the time."""

RETRY_S = (1.0, 16.0)
"""Shortest and longest time between two trials that did not pay."""

LOOK_S = 0.25
"""Time after which an idle core is looked for: what took it is often over in a moment, as the start of a program."""

IDLE_CORES = 0.75
"""Cores nobody used lately from which on a thread that was given back is tried again at once."""


@dataclass(slots=True, frozen=True)
class Measured:
    """One step."""

    decode_rows: int
    prefill_tokens: int
    seconds: float
    cpu_seconds: float
    """Processor time of the whole process in that time."""
    cells: int = 0
    """In use before it."""


class Average:
    """An exponential moving average that begins with the first value."""

    def __init__(self, weight: float) -> None:
        self.value: float | None = None
        self._weight = weight

    def add(self, value: float) -> None:
        self.value = value if self.value is None else self.value + self._weight * (value - self.value)


class Line:
    """Seconds a token over cells in use: a straight line through recent measurements, the newest weighing most."""

    def __init__(self) -> None:
        self._count = self._x = self._y = self._xx = self._xy = 0.0

    def add(self, cells: int, seconds: float) -> None:
        sums = (self._count, self._x, self._y, self._xx, self._xy)
        news = (1.0, cells, seconds, cells * cells, cells * seconds)
        self._count, self._x, self._y, self._xx, self._xy = (
            LINE_MEMORY * old + new for old, new in zip(sums, news, strict=True)
        )

    def at(self, cells: int) -> float | None:
        """None before a measurement. Never less than a third of the average: a line is not to be trusted far out."""
        if not self._count:
            return None
        mean_x, mean_y = self._x / self._count, self._y / self._count
        spread = self._xx / self._count - mean_x * mean_x
        slope = max(0.0, (self._xy / self._count - mean_x * mean_y) / spread) if spread > LEAST_SPREAD else 0.0
        return max(mean_y + slope * (cells - mean_x), mean_y / 3, FASTEST)


class Prefill:
    """Tokens of prompt that fit the stall budget."""

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._small = Line()
        self._tiled = Line()
        self._was_small = False
        self._decode: dict[int, Average] = {}
        self._rate = FIRST_RATE

    @property
    def rate(self) -> float:
        """Prompt tokens a second, as last measured."""
        return self._rate

    def budget(self, decode_rows: int, cells: int = 0) -> int:
        """Prompt tokens for a step beside so many decode rows, with so many cells in use."""
        small, tiled = self._small.at(cells), self._tiled.at(cells)
        each = tiled or small or 1 / FIRST_RATE
        if not decode_rows:
            return max(int(self._stall_s / each), self._alone(each))
        if TILE * each <= MOST_STALL_S * self._stall_s / STALL_S:
            return max(TILE, int(self._stall_s / each))
        if small is not None and not self._was_small:
            return LEAST_PREFILL  # what a small piece costs here is not known yet
        return max(LEAST_PREFILL, min(int(self._stall_s / (small or each)), TILE - 1))

    def _alone(self, each: float) -> int:
        """One or two whole tiles, or less where half a tile takes too long."""
        count = int(ALONE_S / each)
        if count < TILE // 2:
            return max(count, LEAST_PREFILL)
        return TILE if count < 3 * TILE // 2 else 2 * TILE

    def fill(self, rows: int, cells: int) -> int:
        """Rows that are computed for nothing so that the others are computed in a tile; 0 where that does not pay."""
        if not LEAST_FILLED <= rows < TILE:
            return 0
        small, tiled = self._small.at(cells), self._tiled.at(cells)
        if tiled is None:
            return 0
        if small is None:
            small = tiled * (1 + cells / DOUBLING)
        if TILE * tiled >= FILL_GAIN * rows * small:
            return 0
        return TILE - rows

    def decode_seconds(self, rows: int) -> float | None:
        """How long a step of so many decode rows and nothing else takes; None before one was seen."""
        known = self._decode.get(rows)
        return known.value if known is not None else None

    def measured(self, step: Measured) -> None:
        if not step.prefill_tokens:
            self._decode.setdefault(step.decode_rows, Average(0.2)).add(step.seconds)
            return
        if step.prefill_tokens < LEAST_PREFILL:
            return
        beside = self.decode_seconds(step.decode_rows) or 0.0
        each = max(step.seconds - beside, 0.2 * step.seconds) / step.prefill_tokens
        self._was_small = step.decode_rows + step.prefill_tokens < TILE
        line, other = (self._small, self._tiled) if self._was_small else (self._tiled, self._small)
        line.add(step.cells, each)
        # A token in a tile never costs more than one outside: where the other line says so, it is out of date.
        known = other.at(step.cells)
        if known is not None and (each < known if self._was_small else each > known):
            other.add(step.cells, each)
        self._rate = 1 / max(each, FASTEST)


class Threads:
    """Moves the number of threads down while others need the cores, and up again.

    Suspicion starts a trial: `TRIAL_STEPS` steps with one thread less, compared with as many of the
    same shape before. Going up again is tried from time to time, and soon after a core became idle.
    Trials that do not pay become rarer.
    """

    def __init__(self, most: int, clock: Callable[[], float], idle: Callable[[], float] = lambda: 0.0) -> None:
        """`idle`: how many cores nobody used since it was last asked."""
        self.count = most
        self._idle = idle
        self._most = most
        self._clock = clock
        self._share = Average(0.25)
        self._shape: tuple[int, bool] | None = None
        self._before: list[float] = []
        self._trial: list[float] | None = None
        self._trial_from = most
        self._wait = {-1: RETRY_S[0], 1: RETRY_S[0]}
        self._next = {-1: 0.0, 1: 0.0}
        self._look_wait = LOOK_S
        self._next_look = 0.0

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
        elif self.count < self._most and (self._core_is_idle(now) or now >= self._next[1]):
            self._begin(1)

    def _core_is_idle(self, now: float) -> bool:
        """Looked at often, and less often where threads did not pay though a core was idle, as under a quota."""
        if now < self._next_look:
            return False
        if self._idle() < IDLE_CORES:
            self._next_look = now + LOOK_S
            return False
        self._next_look = now + self._look_wait
        self._look_wait = min(2 * self._look_wait, RETRY_S[1])
        return True

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
            self._look_wait = LOOK_S
            if direction < 0:
                self._idle()  # from here on
                self._next_look = now + LOOK_S
            self._share = Average(0.25)
        else:
            self.count = self._trial_from
            self._next[direction] = now + self._wait[direction]
            self._wait[direction] = min(2 * self._wait[direction], RETRY_S[1])
        self._trial = None
        self._before = []


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
