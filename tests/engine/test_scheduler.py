"""Random schedules against every promise of the scheduler, and its rules one by one."""

from array import array
from itertools import pairwise

import pytest
from fake_machine import ALPHABET, Machine, alone, next_token
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.rows import GROUP_STEPS
from localmind.engine.scheduler import EXPECTED_TOKENS, Scheduler
from localmind.engine.sequence import Sequence, State, new_sequence

DOCUMENTS = [[next_token([number, place]) for place in range(90)] for number in range(3)]
"""What prompts begin with, so that they share long and short beginnings."""

LONGEST = 150

prompts = st.builds(
    lambda one, start, other, end, rest: DOCUMENTS[one][:start] + DOCUMENTS[other][:end] + rest,
    st.integers(0, 2),
    st.sampled_from([1, 20, 45, 70, 90]),
    st.integers(0, 2),
    st.sampled_from([0, 0, 1, 40]),
    st.lists(st.integers(0, ALPHABET - 1), max_size=4),
)
submits = st.tuples(
    st.just("submit"),
    prompts,
    st.sampled_from([1, 2, 5, 12, 25, None]),
    st.fixed_dictionaries(
        {
            "client": st.sampled_from("abc"),
            "background": st.sampled_from([False, False, True]),
            "group": st.sampled_from([(), (), (), "lora"]),
        }
    ),
)
events = st.lists(
    st.one_of(
        submits,
        submits,
        st.tuples(st.just("run"), st.integers(1, 12)),
        st.tuples(st.just("cancel"), st.integers(0, 20), st.booleans()),
    ),
    min_size=2,
    max_size=16,
)
machines = st.fixed_dictionaries(
    {
        "n_cells": st.sampled_from([160, 200, 320, 600]),
        "n_slots": st.integers(2, 9),
        "n_batch": st.sampled_from([8, 30, 70, 200]),
        "n_outputs": st.sampled_from([6, 8, 16]),
        "max_running": st.sampled_from([1, 2, 4, 6]),
        "ram_cells": st.sampled_from([0, 0, 60, 150, 400, 10_000]),
        "idle_cells": st.sampled_from([0, 60, 1 << 20]),
        "prefill": st.sampled_from([1, 16, 64, 1 << 30]),
        "expected_tokens": st.sampled_from([0, 3, 512]),
        "turns": st.sampled_from([(1, 1), (2, 6), (8, 64)]),
        "seed": st.integers(0, 1 << 16),
    }
)


def play(machine: Machine, events) -> None:
    """All that happens, then everything to its end: each request whole, whoever its neighbours were."""
    asked: list[tuple[Sequence, list[int]]] = []
    cancelled: set[int] = set()
    for event in events:
        match event:
            case "submit", prompt, answer, about:
                answer = LONGEST - len(prompt) + 10 if answer is None else answer
                asked.append((machine.submit(prompt, answer, **about), prompt))
            case "run", count:
                for _ in range(count):
                    machine.step()
            case "cancel", which, keep if asked:
                sequence, _ = asked[which % len(asked)]
                cancelled |= {sequence.number} if sequence in machine.live else set()
                machine.cancel(sequence, keep=keep)
                machine.cancel(sequence, keep=keep)  # twice does no harm
    # The oldest moves at every step, or at GROUP_STEPS of every 2 × GROUP_STEPS: nobody waits without end.
    machine.run(50 + 3 * sum(len(prompt) + 60 for _, prompt in asked))
    assert [each.number for each in machine.live] == []
    assert sorted([each.number for each in machine.finished] + list(cancelled)) == [each.number for each, _ in asked]
    for sequence, prompt in asked:
        if sequence.number not in cancelled:
            assert machine.answers[sequence.number] == alone(prompt, sequence.limit)
            assert 0 <= sequence.cached < len(prompt)
            assert (sequence.source == "none") == (sequence.cached == 0)


@settings(deadline=None, max_examples=500)
@given(machines, events)
def test_every_request_gets_its_whole_answer_whatever_the_others_do(about, events):
    play(Machine(**about), events)


@settings(deadline=None, max_examples=300)
@given(machines, events, st.sampled_from([4, 30, 100]))
def test_every_request_gets_its_whole_answer_from_a_memory_with_a_window(about, events, window):
    play(Machine(**about, window=window), events)


@settings(deadline=None, max_examples=300)
@given(machines, events)
def test_every_request_gets_its_whole_answer_from_a_memory_that_cannot_be_cut(about, events):
    play(Machine(**about, kind="whole"), events)


@settings(deadline=None, max_examples=300)
@given(machines, events, st.sampled_from(["any_prefix", "whole"]))
def test_copies_that_fail_cost_time_and_no_request(about, events, kind):
    play(Machine(**about, kind=kind, trouble=0.3), events)


@pytest.mark.parametrize("seed", range(24))
def test_a_copy_that_fails_in_the_step_that_wants_it_back_leaves_the_ledger_right(seed):
    """With turns of one token somebody is parked and comes back in the same step."""
    machine = Machine(
        160,
        n_slots=2,
        n_batch=8,
        n_outputs=6,
        max_running=2,
        ram_cells=60,
        idle_cells=0,
        prefill=1,
        expected_tokens=0,
        turns=(1, 1),
        seed=seed,
        trouble=0.3,
    )
    asked = [([0], 1), ([0], 12), ([1, 0], 5), ([2, 0], 5)]
    play(machine, [("submit", prompt, answer, {"background": answer > 1}) for prompt, answer in asked])


def queued(number: int, length: int, *, max_tokens: int | None, n_ctx: int, **about) -> Sequence:
    """Prompts of different numbers have nothing in common."""
    tokens = array("i", range(1000 * number, 1000 * number + length))
    return new_sequence(number, about.pop("client", "test"), tokens, max_tokens=max_tokens, n_ctx=n_ctx, **about)


def plain(step) -> list[tuple[int, int, bool]]:
    return [(row.sequence.number, row.count, row.samples) for row in step.rows]


def go(scheduler: Scheduler):
    """A step in which everybody gets the token 7."""
    step = scheduler.step()
    scheduler.evaluated(step.rows)
    for row in step.rows:
        if row.samples:
            scheduler.append(row.sequence, 7)
    return step


def test_decode_rows_come_first_and_a_prompt_takes_what_the_batch_has_left():
    scheduler = Scheduler(n_cells=1000, n_slots=4, n_batch=32)
    scheduler.submit(queued(1, 10, max_tokens=50, n_ctx=1000))
    go(scheduler)
    scheduler.submit(queued(2, 100, max_tokens=50, n_ctx=1000))
    assert plain(scheduler.step()) == [(1, 1, True), (2, 31, False)]


def test_a_prompt_takes_no_more_of_a_step_than_its_time_allows():
    asked = []

    def budget(decoding: int) -> int:
        asked.append(decoding)
        return 16

    scheduler = Scheduler(n_cells=1000, n_slots=4, n_batch=512, prefill_budget=budget)
    scheduler.submit(queued(1, 10, max_tokens=50, n_ctx=1000))
    go(scheduler)
    scheduler.submit(queued(2, 100, max_tokens=50, n_ctx=1000))
    assert plain(scheduler.step()) == [(1, 1, True), (2, 16, False)]
    assert asked == [0, 1]


def test_a_short_prompt_passes_a_long_one_which_still_moves():
    scheduler = Scheduler(n_cells=1000, n_slots=4, n_batch=32)
    scheduler.submit(queued(1, 400, max_tokens=5, n_ctx=1000))
    scheduler.submit(queued(2, 20, max_tokens=5, n_ctx=1000))
    assert sorted(plain(go(scheduler))) == [(1, 16, False), (2, 16, False)]
    assert sorted(plain(go(scheduler))) == [(1, 28, False), (2, 4, True)]


def test_where_there_is_room_for_one_token_the_oldest_prompt_gets_it():
    scheduler = Scheduler(n_cells=1000, n_slots=4, n_batch=32, prefill_budget=lambda decoding: 1)
    scheduler.submit(queued(1, 40, max_tokens=5, n_ctx=1000))
    scheduler.submit(queued(2, 20, max_tokens=5, n_ctx=1000))
    assert plain(scheduler.step()) == [(1, 1, False)]


def test_admission_leaves_room_for_the_answer_that_is_expected_not_for_the_worst_case():
    scheduler = Scheduler(n_cells=4096, n_slots=16, n_batch=512)
    for number in range(20):
        scheduler.submit(queued(number, 100, max_tokens=None, n_ctx=4096))
    scheduler.step()
    assert len(scheduler.active) == 4096 // (100 + EXPECTED_TOKENS)


def test_a_short_answer_claims_only_what_it_may_use():
    scheduler = Scheduler(n_cells=1024, n_slots=16, n_batch=512)
    for number in range(12):
        scheduler.submit(queued(number, 100, max_tokens=10, n_ctx=1024))
    scheduler.step()
    assert len(scheduler.active) == 9


def test_a_shared_beginning_is_claimed_once():
    machine = Machine(400, n_slots=12, n_batch=200, max_running=12, n_outputs=16, prefill=512)
    document = DOCUMENTS[0] + DOCUMENTS[1]
    sequences = [machine.submit([*document, number % ALPHABET, number // ALPHABET], 10) for number in range(8)]
    machine.step()
    assert {each.state for each in sequences} == {State.PREFILL} | {State.DECODE}
    machine.run(100)
    assert machine.scheduler.parkings == 0
    assert all(each.cached >= 180 for each in sequences[1:])


def test_eight_at_once_behind_one_beginning_evaluate_it_once():
    machine = Machine(2000, n_slots=12, n_batch=64, max_running=8)
    machine.drafts = False
    document = DOCUMENTS[0] + DOCUMENTS[1]
    for number in range(8):
        machine.submit([*document, number % ALPHABET, 1, 2], 3)
    evaluated = 0
    while not machine.scheduler.idle:
        evaluated += sum(row.count for row in machine.step().rows)
    assert evaluated <= len(document) + 8 * (3 + 3)


def test_when_cells_run_out_the_youngest_is_parked_and_goes_on_where_it_was():
    machine = Machine(200, n_slots=4, n_batch=200, ram_cells=1000, expected_tokens=4)
    machine.drafts = False
    prompts = [DOCUMENTS[0][:80], DOCUMENTS[1][:80]]
    old, young = (machine.submit(prompt, 100) for prompt in prompts)
    while young.state is not State.PARKED:
        machine.step()
    assert old.state is State.DECODE
    assert young.generated > 0
    assert young.stored == len(young.tokens) - 1
    stored, steps = young.stored, 0
    while young.state is State.PARKED:
        steps += 1
        machine.step()
    assert (young.state, young.stored) == (State.DECODE, stored + 1)
    machine.run(500)
    assert [machine.answers[number] for number in (1, 2)] == [alone(prompt, 180) for prompt in prompts]


def test_without_main_memory_the_parked_one_is_evaluated_again_and_loses_nothing():
    machine = Machine(200, n_slots=4, n_batch=200, ram_cells=0, expected_tokens=4)
    prompts = [DOCUMENTS[0][:80], DOCUMENTS[1][:80]]
    for prompt in prompts:
        machine.submit(prompt, 100)
    machine.run(500)
    assert machine.scheduler.parkings >= 1
    assert [machine.answers[number] for number in (1, 2)] == [alone(prompt, 180) for prompt in prompts]


def test_an_interactive_request_is_admitted_at_once_though_background_fills_every_place():
    machine = Machine(1000, n_slots=8, max_running=3, ram_cells=1000)
    for number in range(5):
        machine.submit(DOCUMENTS[number % 3][:30], 60, background=True, client="indexer")
    machine.step()
    person = machine.submit(DOCUMENTS[0][:40], 5, client="person")
    machine.step()
    assert person.state is not State.QUEUED
    machine.run(1000)
    assert machine.finished[0] is person
    assert len(machine.finished) == 6


def test_adapter_sets_take_turns_of_some_steps():
    machine = Machine(1000, n_slots=8, n_batch=64)
    machine.drafts = False
    machine.submit(DOCUMENTS[0][:20], 40)
    machine.submit(DOCUMENTS[0][:20], 40, group="lora")
    groups = [machine.step().group for _ in range(6 * GROUP_STEPS)]
    changes = [place for place in range(1, len(groups)) if groups[place] != groups[place - 1]]
    assert len(changes) >= 3
    assert min(after - before for before, after in pairwise(changes)) >= GROUP_STEPS
    machine.run(500)
    assert [each.cached for each in machine.finished] == [0, 0], "cells of other adapters are never shared"


def test_drafts_never_take_the_rows_or_cells_of_others():
    scheduler = Scheduler(n_cells=64, n_slots=4, n_batch=12, n_outputs=6, max_running=4)
    for number in (1, 2, 3):
        scheduler.submit(queued(number, 3, max_tokens=18, n_ctx=64))
    go(scheduler)
    for sequence in scheduler.running:
        sequence.draft = array("i", [1] * 9)
    step = scheduler.step()
    assert [(row.count, len(row.draft)) for row in step.rows] == [(1, 3), (1, 0), (1, 0)]


def test_a_draft_never_leads_beyond_the_limit():
    scheduler = Scheduler(n_cells=64, n_slots=4, n_batch=32)
    scheduler.submit(queued(1, 3, max_tokens=4, n_ctx=64))
    go(scheduler)
    scheduler.running[0].draft = array("i", [1] * 9)
    assert [len(row.draft) for row in scheduler.step().rows] == [2]


def test_a_sequence_that_cannot_fit_is_refused_before_anything_is_queued():
    scheduler = Scheduler(n_cells=64, n_slots=2, n_batch=32)
    with pytest.raises(ValueError):
        scheduler.submit(queued(1, 64, max_tokens=None, n_ctx=64))
    with pytest.raises(ValueError):
        scheduler.submit(queued(1, 0, max_tokens=None, n_ctx=64))
    assert scheduler.queued == 0


def test_a_batch_that_only_holds_decode_rows_is_refused():
    with pytest.raises(ValueError):
        Scheduler(n_cells=64, n_slots=16, n_batch=16)


def test_a_memory_smaller_than_the_ledger_is_believed_and_only_a_lone_token_gives_up():
    scheduler = Scheduler(n_cells=100, n_slots=3, n_batch=32)
    for number in (1, 2):
        scheduler.submit(queued(number, 8, max_tokens=20, n_ctx=100))
    step = scheduler.step()
    assert scheduler.out_of_cells(step.rows)
    assert scheduler.n_cells == 8
    assert plain(go(scheduler)) == [(1, 8, True)]
    step = scheduler.step()
    assert plain(step) == [(1, 1, True)]
    assert [sequence.number for sequence in scheduler.running] == [1]
    assert not scheduler.out_of_cells(step.rows)


def test_a_lone_token_gives_up_though_copies_lie_in_main_memory():
    machine = Machine(100, ram_cells=1000, idle_cells=0)
    machine.run_one(DOCUMENTS[0][:40])
    machine.submit(DOCUMENTS[1][:20], 9)
    machine.step()
    machine.drafts = False
    step = machine.scheduler.step()
    assert step.n_tokens == 1
    assert [each.slot for each in machine.scheduler.pool.idle] == [-1]
    assert not machine.scheduler.out_of_cells(step.rows)


def test_after_the_memory_was_found_smaller_a_request_for_all_of_it_is_still_taken():
    scheduler = Scheduler(n_cells=100, n_slots=3, n_batch=32)
    scheduler.submit(queued(1, 20, max_tokens=1, n_ctx=100))
    assert scheduler.out_of_cells(scheduler.step().rows)
    assert scheduler.n_cells < 100
    scheduler.submit(queued(2, 50, max_tokens=None, n_ctx=100))
    assert scheduler.queued == 1
