"""Scheduler and Memory over a fake backend, without a loop: one step at a time, with every promise checked at each.

The next token is a function of all that the cells say came before, so a sequence that was shared,
parked, restored or trimmed wrong ends with another text than alone.
"""

import random
import zlib
from array import array
from collections.abc import Sequence as Many

from engine_fakes import FakeBackend

from localmind.engine.memory import Memory
from localmind.engine.scheduler import Scheduler
from localmind.engine.sequence import Row, Sequence, State, Step, new_sequence

ALPHABET = 5


def next_token(history: Many[int]) -> int:
    return zlib.crc32(bytes(history[-6:])) % ALPHABET


def alone(prompt: Many[int], limit: int) -> list[int]:
    tokens = list(prompt)
    while len(tokens) < limit:
        tokens.append(next_token(tokens))
    return tokens


class Machine:
    def __init__(
        self,
        n_cells: int,
        *,
        n_slots: int = 8,
        n_batch: int = 32,
        n_outputs: int = 12,
        max_running: int = 6,
        kind: str = "any_prefix",
        window: int = 0,
        ram_cells: int = 0,
        idle_cells: int = 1 << 20,
        prefill: int = 1 << 30,
        expected_tokens: int = 512,
        turns: tuple[int, int] = (8, 64),
        seed: int = 0,
        trouble: float = 0.0,
        backend: type[FakeBackend] = FakeBackend,
    ) -> None:
        """`trouble`: how often the native side refuses to save or to restore."""
        self.chance = random.Random(seed)
        self.backend = backend(n_ctx=n_cells, n_batch=n_batch, n_slots=n_slots, n_outputs=n_outputs, kind=kind)
        self.backend.window = self.backend.memory.window = window
        self.backend.refuse_save = self.backend.refuse_restore = lambda: self.chance.random() < trouble
        self.scheduler = Scheduler(
            n_cells=n_cells,
            n_slots=n_slots,
            n_batch=n_batch,
            n_outputs=n_outputs,
            max_running=max_running,
            kind=kind,
            ram_cells=ram_cells,
            idle_cells=idle_cells,
            window=window,
            prefill_budget=lambda decoding: prefill,
            expected_tokens=expected_tokens,
            turns=turns,
        )
        self.memory = Memory(self.backend, self.scheduler, None, lambda call: call())
        self.live: list[Sequence] = []
        self.finished: list[Sequence] = []
        self.answers: dict[int, list[int]] = {}
        self.drafts = kind == "any_prefix"
        self.max_running = max_running
        self._ram_cells = ram_cells
        self._trouble = trouble
        self._number = 0

    def submit(self, prompt: Many[int], answer: int | None = None, **about: object) -> Sequence:
        self._number += 1
        n_ctx = self.backend.n_ctx
        sequence = new_sequence(
            self._number, about.pop("client", ""), array("i", prompt), max_tokens=answer, n_ctx=n_ctx, **about
        )
        self.scheduler.submit(sequence)
        self.live.append(sequence)
        return sequence

    def cancel(self, sequence: Sequence, *, keep: bool = True) -> None:
        if sequence in self.live:
            self.live.remove(sequence)
        self.scheduler.finish(sequence, keep=keep)

    def step(self) -> Step:
        scheduler = self.scheduler
        queued = [each for each in self.live if each.state is State.QUEUED]
        if self.drafts and all(sequence.state is State.DECODE for sequence in scheduler.running):
            for sequence in scheduler.running:
                sequence.draft = self._draft(sequence)
        step = scheduler.step()
        self._check_admission(queued)
        self._check_rows(step)
        rows = self.memory.apply(step)
        self._check_memory()
        if rows:
            self.backend.use_adapters(step.group)
            code, indices = self.backend.evaluate(rows, 0)
            assert code == 0, "the ledger promised room"
            scheduler.evaluated(rows)
            for row, index in zip(rows, indices, strict=True):
                if row.samples:
                    self._sample(row, index)
        return step

    def run(self, steps: int) -> None:
        """Until nothing is left to do, in at most so many steps."""
        for _ in range(steps):
            if self.scheduler.idle:
                return
            self.step()
        assert self.scheduler.idle, "the scheduler does not come to an end"

    def run_one(self, prompt: Many[int], answer: int = 2) -> Sequence:
        sequence = self.submit(prompt, answer)
        self.run(1000)
        return sequence

    def _draft(self, sequence: Sequence) -> "array[int]":
        """Right, wrong, or right at first."""
        right = alone(sequence.tokens, len(sequence.tokens) + self.chance.randrange(6))[len(sequence.tokens) :]
        draft = array("i", right)
        if draft and self.chance.random() < 0.5:
            place = self.chance.randrange(len(draft))
            draft[place] = (draft[place] + 1) % ALPHABET
        return draft

    def _sample(self, row: Row, index: int) -> None:
        sequence, agreed, full = row.sequence, 0, False
        for place in range(len(row.draft) + 1):
            full = self.scheduler.append(sequence, next_token(self.backend.outputs[index + place]))
            if full or place == len(row.draft) or sequence.tokens[-1] != row.draft[place]:
                break
            agreed += 1
        self.scheduler.accepted(sequence, agreed)
        if full:
            assert sequence in self.live, "a request ends once"
            self.answers[sequence.number] = list(sequence.tokens)
            self.live.remove(sequence)
            self.finished.append(sequence)
            self.scheduler.finish(sequence)

    # --- promises

    def _check_admission(self, queued: Many[Sequence]) -> None:
        """In order within a client and priority; nobody lost; background never in an interactive one's way."""
        states = (State.QUEUED, State.PREFILL, State.DECODE, State.PARKED)
        assert all(each.state in states for each in self.live)
        scheduler = self.scheduler
        assert {each.number for each in (*scheduler.active, *scheduler.waiting)} == {each.number for each in self.live}
        assert len(scheduler.running) <= self.max_running
        for sequence in queued:
            if sequence.state is State.QUEUED:
                continue
            before = [each for each in queued if each.number < sequence.number and each.state is State.QUEUED]
            line = (sequence.client, sequence.background)
            assert line not in [(each.client, each.background) for each in before], "a request passed another"
        if any(not each.background and each.state in (State.QUEUED, State.PARKED) for each in self.live):
            assert not any(each.background for each in scheduler.running), "background in an interactive one's way"
        for sequence in scheduler.running:
            seen = {sequence}
            while (sequence := sequence.waits_for) is not None:
                assert sequence not in seen, "sequences wait for each other"
                assert sequence in scheduler.running
                seen.add(sequence)

    def _check_rows(self, step: Step) -> None:
        states = [row.sequence.state for row in step.rows]
        assert states == sorted(states, key=[State.DECODE, State.PREFILL].index), "decode rows come first"
        assert {row.sequence.group for row in step.rows} <= {step.group}
        here = [each for each in self.scheduler.running if each.group == step.group]
        decoding = [each for each in here if each.state is State.DECODE]
        assert [row.sequence for row in step.rows[: len(decoding)]] == decoding, "no decoding sequence is left out"
        if self.scheduler.running:
            assert step.rows, "somebody moves"
            pool = self.scheduler.pool
            assert self.scheduler.cells_used + step.n_tokens <= pool.cells.capacity
            first = min(here, key=lambda each: (each.background, each.number))
            rows = [row.sequence for row in step.rows]
            outputs = sum(1 + len(row.draft) for row in step.rows if row.samples)
            room = len(decoding) < pool.cells.free and step.n_tokens < self.backend.n_batch
            room = room and outputs < self.backend.n_outputs
            assert first in rows or first.waits_for is not None or not room, "the oldest moves while there is room"

    def _check_memory(self) -> None:
        pool = self.scheduler.pool
        assert pool.ram_used <= self._ram_cells
        copies = [each for each in (*pool.idle, *self.scheduler.active) if each.slot < 0 and each.stored]
        assert all(each.saved is not None and each.saved is not ... for each in copies)
        assert all(each.slot >= 0 or each.saved is not None for each in pool.idle)
        if pool.actions:  # something was lost, and the native memory hears of it with the next step
            assert self._trouble
            return
        native = self.backend.memory
        assert pool.cells.used == native.used <= native.capacity
        slots = range(self.backend.n_slots)
        assert [pool.cells.length(slot) for slot in slots] == [native.length(slot) for slot in slots]
        held = [each.slot for each in (*pool.idle, *self.scheduler.running) if each.slot >= 0]
        assert len(set(held)) == len(held)
        assert set(native.slots) <= set(held)
        for sequence in (*pool.idle, *self.scheduler.running):
            if sequence.slot >= 0:
                expected = [(token, sequence.group) for token in sequence.tokens[: sequence.stored]]
                assert [cell[:2] for cell in native.content(sequence.slot)] == expected
