"""Beginnings that are found again: how much, where they come from, and what is given up for them."""

from itertools import pairwise

import pytest
from fake_machine import ALPHABET, Machine, next_token
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.pool import LEAST_KEPT, MOST_RESTORED
from localmind.engine.sequence import State


def document(number: int, length: int) -> list[int]:
    return [next_token([number, place]) for place in range(length)]


def common(one: list[int], other: list[int]) -> int:
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


prompts = st.builds(
    lambda number, length, rest: document(number, length) + rest,
    st.integers(0, 3),
    st.integers(1, 80),
    st.lists(st.integers(0, ALPHABET - 1), max_size=3),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(prompts, min_size=2, max_size=8))
def test_where_there_is_room_every_common_beginning_is_found_again(prompts):
    machine = Machine(2000, n_slots=20)
    stored: list[list[int]] = []
    for prompt in prompts:
        sequence = machine.run_one(prompt, 5)
        expected = max((common(prompt, each) for each in stored), default=0)
        assert sequence.cached == min(expected, len(prompt) - 1)
        assert sequence.source == ("pool" if sequence.cached else "none")
        if len(prompt) + 4 >= LEAST_KEPT:
            stored.append(machine.answers[sequence.number][:-1])


@settings(deadline=None, max_examples=100)
@given(st.lists(prompts, min_size=1, max_size=4), st.integers(0, 1 << 16))
def test_a_memory_that_cannot_be_cut_uses_whole_states_and_only_those(prompts, seed):
    machine = Machine(2000, n_slots=20, kind="whole", ram_cells=4000, seed=seed)
    for prompt in prompts:
        sequence = machine.run_one(prompt, 5)
        again = machine.run_one(prompt, 5)
        more = machine.run_one(machine.answers[again.number] + [1, 2], 3)
        assert sequence.cached < len(prompt)
        # Prompts over the least checkpoint are found again whole; the answer's end is where a conversation goes on.
        if len(prompt) > 32:
            assert again.cached == len(prompt) - 1
        if len(prompt) + 4 >= LEAST_KEPT:
            assert more.cached >= len(prompt) + 4


def test_the_checkpoint_of_a_prompt_is_there_for_the_third_time_too():
    machine = Machine(500, kind="whole", ram_cells=1000)
    cached = [machine.run_one(document(0, 60), 9).cached for _ in range(4)]
    assert cached == [0, 59, 59, 59]


def test_what_main_memory_holds_comes_back_when_enough_of_it_is_used():
    machine = Machine(220, n_slots=8, ram_cells=1000)
    machine.run_one(document(0, 200))
    machine.run_one(document(1, 200))  # drives the first one out
    assert sorted(each.slot >= 0 for each in machine.scheduler.pool.idle) == [False, True]
    little = machine.run_one(document(0, 200 // MOST_RESTORED - 1) + [ALPHABET] * 20)
    assert (little.cached, little.matched) == (0, 200 // MOST_RESTORED - 1)
    much = machine.run_one(document(0, 150) + [ALPHABET] * 20)
    assert (much.cached, much.source) == (150, "ram")


def test_without_room_in_main_memory_the_least_recently_used_goes():
    machine = Machine(100, n_slots=8, ram_cells=130)
    for number in range(4):
        machine.run_one(document(number, 60))
    # The last is in the pool, the two before it are copies of 61 tokens each, the first is gone.
    assert machine.scheduler.pool.ram_used == 122
    assert machine.run_one(document(0, 60)).cached < 5, "documents agree by chance in a few tokens"
    assert machine.run_one(document(3, 60)).cached == 59


def test_a_beginning_that_is_about_to_come_back_is_not_dropped_to_make_room_for_it():
    machine = Machine(130, n_slots=2, ram_cells=100, max_running=1)
    machine.run_one(document(0, 90))
    machine.run_one(document(1, 80))
    (copy,) = (each for each in machine.scheduler.pool.idle if each.slot < 0)
    assert copy.tokens[0:90].tolist() == document(0, 90)
    again = machine.run_one(document(0, 90))
    assert (again.cached, again.source) == (89, "ram")
    assert machine.scheduler.pool.ram_used <= 100


def test_a_longer_conversation_replaces_its_own_beginning():
    machine = Machine(1000, n_slots=8)
    first = machine.run_one(document(0, 60), 5)
    second = machine.run_one(machine.answers[first.number] + [1, 1, 1], 5)
    third = machine.run_one(machine.answers[second.number] + [2], 5)
    assert machine.scheduler.pool.idle == [third]
    assert (second.cached, third.cached) == (64, 72)


def test_a_branch_shares_the_cells_of_a_conversation_that_goes_on():
    machine = Machine(1000, n_slots=8)
    machine.run_one(document(0, 100), 20)
    branch = machine.submit([*document(0, 100), ALPHABET], 3)
    machine.step()
    assert (branch.cached, branch.source) == (100, "pool")
    assert machine.scheduler.cells_used == 119 + 1
    machine.run(20)
    assert len(machine.scheduler.pool.idle) == 2


def test_what_is_too_short_to_keep_is_given_up():
    machine = Machine(1000)
    machine.run_one(document(0, LEAST_KEPT - 2), 2)
    assert machine.scheduler.pool.idle == []
    assert machine.scheduler.cells_used == 0


@pytest.mark.parametrize("keep", [True, False])
def test_a_cancelled_prompt_is_kept_as_far_as_it_came_unless_it_is_not_to_be_trusted(keep):
    machine = Machine(1000, n_batch=32)
    machine.drafts = False
    sequence = machine.submit(document(0, 100), 5)
    for _ in range(2):
        machine.step()
    machine.cancel(sequence, keep=keep)
    again = machine.run_one(document(0, 100))
    assert again.cached == (64 if keep else 0)
    assert sequence.state is State.FREE


def test_idle_cells_beside_running_ones_are_thinned_one_sequence_a_step():
    machine = Machine(2000, n_slots=12, ram_cells=5000, idle_cells=100)
    for number in range(4):
        machine.run_one(document(number, 90))
    running = machine.submit([ALPHABET] * 20, 60)
    counts = []
    while not machine.scheduler.idle:
        machine.step()
        counts.append(sum(each.slot >= 0 for each in machine.scheduler.pool.idle if each is not running))
    assert all(before - after <= 1 for before, after in pairwise(counts) if after)
    assert 1 in counts
    assert machine.run_one(document(2, 90)).cached == 89, "what was thinned out is in main memory"


def test_a_miss_says_where_the_nearest_prompt_differs():
    machine = Machine(1000)
    machine.run_one([*document(0, 50), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 2)
    sequence = machine.run_one([*document(0, 50), 0, 0])
    assert (sequence.matched, list(sequence.differs)) == (50, [1, 2, 3, 4, 5, 6, 7, 8])
