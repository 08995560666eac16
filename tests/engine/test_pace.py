"""Prefill budgets and threads against simulated steps and a clock of our own."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.pace import (
    LEAST_FILLED,
    LEAST_PREFILL,
    MOST_STALL_S,
    RETRY_S,
    STALL_S,
    TILE,
    TRIAL_STEPS,
    Measured,
    Prefill,
    Threads,
)


def step_seconds(prefill: int, rows: int, rate: float) -> float:
    return prefill / rate + 0.005 * rows


@pytest.mark.parametrize("rate", [20.0, 100.0, 900.0, 20_000.0])
@pytest.mark.parametrize("rows", [1, 6])
def test_the_budget_settles_where_a_step_takes_the_stall_time(rate, rows):
    prefill = Prefill()
    for _ in range(40):
        prefill.measured(Measured(rows, 0, step_seconds(0, rows, rate), 0.0))
        count = prefill.budget(rows)
        prefill.measured(Measured(rows, count, step_seconds(count, rows, rate), 0.0))
    assert prefill.budget(rows) == pytest.approx(max(LEAST_PREFILL, STALL_S * rate), rel=0.1)
    assert prefill.rate == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize(
    ("rate", "count"), [(10, LEAST_PREFILL), (20, 20), (40, TILE), (90, TILE), (100, 2 * TILE), (300, 2 * TILE)]
)
def test_a_prompt_that_holds_nobody_up_is_read_in_tiles(rate, count):
    prefill = Prefill()
    for _ in range(40):
        prefill.measured(Measured(0, prefill.budget(0), prefill.budget(0) / rate, 0.0))
    assert prefill.budget(0) == pytest.approx(count, abs=1)
    assert prefill.budget(1) < max(count, LEAST_PREFILL + 1), "and beside a stream in less"


def test_a_prompt_alone_on_a_fast_machine_still_takes_no_longer_a_step_than_the_stall_time():
    prefill = Prefill()
    for _ in range(40):
        prefill.measured(Measured(0, prefill.budget(0), prefill.budget(0) / 2000, 0.0))
    assert prefill.budget(0) == pytest.approx(STALL_S * 2000, rel=0.1)


def test_the_budget_follows_when_the_machine_becomes_eight_times_slower_or_faster():
    prefill = Prefill()
    for rate in (800.0, 100.0, 800.0):
        for _ in range(20):
            count = prefill.budget(1)
            prefill.measured(Measured(1, count, step_seconds(count, 1, rate), 0.0))
        assert prefill.budget(1) == pytest.approx(STALL_S * rate, rel=0.15)


measurements = st.lists(
    st.builds(
        Measured,
        st.integers(0, 16),
        st.integers(0, 512),
        st.floats(0, 100, allow_nan=False),
        st.floats(0, 100, allow_nan=False),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=300)
@given(measurements)
def test_no_measurement_makes_a_budget_that_stops_prompts_or_threads_that_do_not_exist(measured):
    prefill, now = Prefill(), iter(range(1000))
    threads = Threads(4, lambda: next(now))
    for step in measured:
        prefill.measured(step)
        threads.measured(step)
        assert prefill.budget(step.decode_rows) >= LEAST_PREFILL
        assert 1 <= threads.count <= 4


def tile_machine(tokens: int, cells: int) -> float:
    """Seconds of a step on a CPU whose attention is five times cheaper in tiles, as measured on one."""
    return tokens * (0.0014 + cells * (5e-6 if tokens < TILE else 1e-6))


def test_where_attention_works_in_tiles_a_step_is_a_whole_tile_as_long_as_that_is_short_enough():
    prefill, cells = Prefill(), 0
    sizes = []
    while cells < 4750:
        sizes.append((cells, prefill.budget(1, cells)))
        prefill.measured(Measured(0, sizes[-1][1], tile_machine(sizes[-1][1], cells), 0.0, cells))
        cells += sizes[-1][1]
    assert all(size >= TILE for at, size in sizes if 200 < at < 3000)
    assert all(size < TILE for at, size in sizes if at > 4300)
    assert all(tile_machine(size, at) <= MOST_STALL_S * 1.15 for at, size in sizes)


def test_a_step_is_filled_up_to_a_tile_where_that_is_cheaper_and_nowhere_else():
    prefill = Prefill()
    assert prefill.fill(50, 1000) == 0, "nothing is known yet"
    for cells in (0, 500, 1000, 1500):
        for tokens in (32, TILE):
            prefill.measured(Measured(0, tokens, tile_machine(tokens, cells), 0.0, cells))
    assert prefill.fill(50, 1000) == TILE - 50
    assert prefill.fill(50, 0) == 0, "with few cells in use there is nothing to save"
    assert prefill.fill(LEAST_FILLED - 1, 1500) == 0
    assert prefill.fill(TILE, 1500) == 0


def test_the_first_short_prompt_behind_a_long_one_is_filled_up_before_anything_short_was_measured():
    prefill = Prefill()
    for cells in (1000, 1500, 2000):
        prefill.measured(Measured(0, TILE, tile_machine(TILE, cells), 0.0, cells))
    assert prefill.fill(50, 2000) == TILE - 50
    assert prefill.fill(50, 100) == 0
    assert prefill.fill(LEAST_FILLED, 1000) == 0, "a third of a tile pays only where attention is nearly all"


def test_a_slow_step_of_decoding_says_nothing_about_prompts():
    prefill = Prefill()
    prefill.measured(Measured(4, 0, 3.0, 1.0))
    assert prefill.budget(4) == int(STALL_S * 100)
    assert prefill.decode_seconds(4) == 3.0
    assert prefill.decode_seconds(3) is None


class FakeMachine:
    """Two cores. A program on the second makes two threads three times slower than one, as measured."""

    def __init__(self, seed: int = 1, idle: Callable[[], float] = lambda: 0.0) -> None:
        self.now = 0.0
        self.busy = False
        self.threads = Threads(2, lambda: self.now, idle)
        self.history: list[tuple[float, int]] = []
        self._noise = random.Random(seed)

    def step(self, rows: int = 1, prefill: int = 0) -> None:
        count = self.threads.count
        alone = (0.010 if count == 2 else 0.018) * (1 + rows / 4) + prefill * 0.001
        seconds = alone * (3.0 if self.busy and count == 2 else 1.0) * self._noise.uniform(0.97, 1.03)
        cpu = seconds * (1.3 if self.busy and count == 2 else 0.97 * count)
        self.now += seconds
        self.threads.measured(Measured(rows, prefill, seconds, cpu))
        if self.threads.count != count:
            self.history.append((self.now, self.threads.count))

    def run(self, seconds: float, rows: int = 1) -> None:
        until = self.now + seconds
        while self.now < until:
            self.step(rows)

    def share_of_one(self, since: float) -> float:
        """Part of the time since then in which one thread was used."""
        at, count, one = since, 2, 0.0
        for when, new in [*self.history, (self.now, 0)]:
            if when > since:
                one += (when - at) * (count == 1)
                at = when
            count = new
        return one / (self.now - since)


@pytest.mark.parametrize("seed", range(5))
def test_threads_go_down_when_a_core_is_taken_and_come_back_when_it_is_free(seed):
    machine = FakeMachine(seed)
    machine.run(5.0)
    assert machine.history == [], "nothing is tried on a quiet machine"
    machine.busy = True
    machine.run(1.5)
    assert machine.threads.count == 1
    machine.run(60.0)
    assert machine.share_of_one(7.0) > 0.85
    machine.busy = False
    machine.run(RETRY_S[1] + 2.0)
    assert machine.threads.count == 2


def test_threads_come_back_within_seconds_where_the_system_says_that_a_core_is_idle():
    machine = FakeMachine(idle=lambda: 0.0 if machine.busy else 0.95)
    machine.busy = True
    machine.run(60.0)
    machine.busy = False
    machine.run(RETRY_S[0] + 0.5)
    assert machine.threads.count == 2
    assert machine.share_of_one(machine.now - 0.2) == 0


def test_a_moments_disturbance_costs_a_core_for_little_longer_than_it_lasts():
    machine = FakeMachine(idle=lambda: 0.0 if machine.busy else 0.95)
    machine.run(5.0)
    machine.busy = True
    machine.run(0.5)
    assert machine.threads.count == 1
    machine.busy = False
    machine.run(0.5)
    assert machine.threads.count == 2
    assert [count for _, count in machine.history] == [1, 2]


def test_an_idle_core_that_we_may_not_use_does_not_lead_to_trials_every_second():
    machine = FakeMachine(idle=lambda: 1.0)
    machine.busy = True
    machine.run(120.0)
    assert machine.share_of_one(60.0) > 0.9


def test_trials_that_do_not_pay_become_rarer_up_to_the_longest_time():
    machine = FakeMachine()
    machine.busy = True
    machine.run(120.0)
    tries = [when for when, count in machine.history if count == 2]
    gaps = [after - before for before, after in pairwise(tries)]
    assert gaps[0] >= RETRY_S[0]
    assert all(after > 0.9 * before for before, after in pairwise(gaps))
    assert RETRY_S[1] * 0.9 <= gaps[-1] <= RETRY_S[1] * 1.5


def test_steps_of_changing_shape_are_never_compared():
    machine = FakeMachine()
    machine.busy = True
    for number in range(2000):
        machine.step(rows=1 + number % 2)
    assert machine.history == []


def test_a_trial_that_a_new_shape_interrupts_is_not_begun_again_at_once():
    machine = FakeMachine()
    machine.busy = True
    for number in range(4000):
        machine.step(rows=1 + number // (TRIAL_STEPS + 2) % 2)
    begun = [when for when, count in machine.history if count == 1]
    assert begun, "it does try"
    gaps = [after - before for before, after in pairwise(begun)]
    assert min(gaps) >= RETRY_S[0]


def test_one_thread_is_left_alone():
    threads = Threads(1, lambda: 0.0)
    for _ in range(50):
        threads.measured(Measured(1, 0, 0.1, 0.01))
    assert threads.count == 1
    assert not threads.trying
