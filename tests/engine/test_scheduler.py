"""The scheduler against a memory that remembers what llama.cpp would."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.scheduler import EXPECTED_TOKENS, Scheduler, new_sequence
from localmind.engine.sequence import Sequence, State


def queued(number: int, length: int, *, max_tokens: int | None, n_ctx: int) -> Sequence:
    return new_sequence(number, "test", array("i", range(length)), max_tokens=max_tokens, n_ctx=n_ctx)


class Machine:
    """Evaluates steps into a model of the KV memory; the next token is a function of everything before it."""

    def __init__(self, n_cells: int, n_slots: int, n_batch: int) -> None:
        self.scheduler = Scheduler(n_cells=n_cells, n_slots=n_slots, n_batch=n_batch)
        self.cells: dict[int, list[int]] = {}
        self.finished: list[Sequence] = []

    def step(self) -> bool:
        scheduler = self.scheduler
        step = scheduler.step()
        for slot in step.clear:
            self.cells.pop(slot, None)
        assert step.n_tokens <= scheduler.n_batch
        assert scheduler.cells_used + step.n_tokens <= scheduler.n_cells
        kinds = [row.sequence.state for row in step.rows]
        assert kinds == sorted(kinds, key=[State.DECODE, State.PREFILL].index), "decode rows come first"
        decoding = [sequence for sequence in scheduler.active if sequence.state is State.DECODE]
        assert [row.sequence for row in step.rows[: len(decoding)]] == decoding, "no decoding sequence is left out"
        if scheduler.active:
            assert step.rows[0].sequence is scheduler.active[0] or kinds[0] is State.DECODE
            assert scheduler.active[0] in [row.sequence for row in step.rows], "the oldest always moves"
        slots = [sequence.slot for sequence in scheduler.active]
        assert len(set(slots)) == len(slots)
        for row in step.rows:
            stored = self.cells.setdefault(row.sequence.slot, [])
            assert len(stored) == row.start, "a slot holds its own sequence and nothing else"
            stored.extend(row.sequence.tokens[row.start : row.start + row.count])
        scheduler.evaluated(step.rows)
        assert scheduler.cells_used == sum(map(len, self.cells.values()))
        for row in step.rows:
            if row.samples:
                assert self.cells[row.sequence.slot] == list(row.sequence.tokens)
                if scheduler.append(row.sequence, next_token(row.sequence.tokens)):
                    scheduler.finish(row.sequence)
                    self.finished.append(row.sequence)
        return bool(step.rows)

    def run(self, limit: int = 100_000) -> None:
        while self.step():
            limit -= 1
            assert limit, "the scheduler does not come to an end"


def next_token(tokens: "array[int]") -> int:
    return hash(tuple(tokens[-8:])) % 1000


def alone(length: int, limit: int) -> list[int]:
    tokens = array("i", range(length))
    while len(tokens) < limit:
        tokens.append(next_token(tokens))
    return list(tokens)


requests = st.lists(st.tuples(st.integers(1, 90), st.one_of(st.none(), st.integers(1, 200))), min_size=1, max_size=12)


@settings(deadline=None, max_examples=150)
@given(requests, st.integers(1, 6), st.integers(8, 40), st.data())
def test_every_request_gets_its_whole_answer_whatever_the_others_do(wanted, n_slots, n_batch, data):
    machine = Machine(100, n_slots, n_batch)
    sequences = []
    for number, (length, max_tokens) in enumerate(wanted):
        sequences.append(queued(number, length, max_tokens=max_tokens, n_ctx=100))
        machine.scheduler.submit(sequences[-1])
        for _ in range(data.draw(st.integers(0, 5))):
            machine.step()
    machine.run()
    assert sorted(s.number for s in machine.finished) == list(range(len(wanted)))
    for sequence in sequences:
        assert list(sequence.tokens) == alone(sequence.prompt_length, sequence.limit)
    assert machine.scheduler.cells_used == 0
    assert machine.scheduler.idle or machine.scheduler.step().rows == ()


@settings(deadline=None, max_examples=150)
@given(requests, st.integers(1, 6), st.data())
def test_finishing_anybody_at_any_time_frees_its_cells_and_disturbs_nobody(wanted, n_slots, data):
    machine = Machine(100, n_slots, 16)
    sequences = []
    for number, (length, max_tokens) in enumerate(wanted):
        sequences.append(queued(number, length, max_tokens=max_tokens, n_ctx=100))
        machine.scheduler.submit(sequences[-1])
    cancelled = set()
    for _ in range(data.draw(st.integers(0, 8))):
        for _ in range(data.draw(st.integers(0, 6))):
            machine.step()
        victim = data.draw(st.sampled_from(sequences))
        machine.scheduler.finish(victim)
        machine.scheduler.finish(victim)  # twice does no harm
        if victim not in machine.finished:
            cancelled.add(victim.number)
    machine.run()
    assert {s.number for s in machine.finished} == {s.number for s in sequences} - cancelled
    assert machine.scheduler.cells_used == 0
    assert not machine.scheduler.active


def test_decode_rows_come_first_and_a_prompt_takes_what_the_batch_has_left():
    machine = Machine(1000, 4, 32)
    machine.scheduler.submit(queued(1, 10, max_tokens=50, n_ctx=1000))
    machine.step()
    machine.scheduler.submit(queued(2, 100, max_tokens=50, n_ctx=1000))
    step = machine.scheduler.step()
    assert [(row.sequence.number, row.count, row.samples) for row in step.rows] == [(1, 1, True), (2, 31, False)]


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


def test_when_cells_run_out_the_youngest_goes_back_to_the_queue_and_keeps_its_tokens():
    machine = Machine(1100, 2, 600)
    old, young = (queued(number, 500, max_tokens=None, n_ctx=1100) for number in (1, 2))
    machine.scheduler.submit(old)
    machine.scheduler.submit(young)
    young.limit = old.limit = 520  # what admission expected ...
    machine.step()
    machine.step()
    assert [s.state for s in (old, young)] == [State.DECODE, State.DECODE]
    young.limit = old.limit = 1100  # ... and what it turned out to be
    while young.state is not State.QUEUED:
        machine.step()
    assert old.state is State.DECODE
    assert young.generated > 0
    machine.run()
    assert list(young.tokens) == alone(500, 1100)


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
    step = scheduler.step()
    assert [row.count for row in step.rows] == [8]
    scheduler.evaluated(step.rows)
    scheduler.append(step.rows[0].sequence, 1)
    step = scheduler.step()
    assert [(row.sequence.number, row.count) for row in step.rows] == [(1, 1)]
    assert [sequence.number for sequence in scheduler.waiting] == [2]
    assert not scheduler.out_of_cells(step.rows)
