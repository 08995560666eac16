"""Decides who is evaluated next: admission by cells, and one step at a time.

Pure Python over counts, so that it is tested without a model. All decode rows come first, then the
oldest prompts up to the size of a batch. Admission counts what a request is *expected* to need, not
the worst it could; when that was too optimistic the youngest sequence gives its cells back and is
evaluated again later, so llama_decode never runs out of cells, no request is cut short because of
another, and the oldest always moves. It knows no clock and touches no native memory: what must be
cleared is part of the step.
"""

import heapq
from array import array
from bisect import insort
from collections import deque
from collections.abc import Iterable

from localmind.engine.sequence import Row, Sequence, State, Step

EXPECTED_TOKENS = 512
"""Answer length that admission sets cells aside for when the request allows more. Most answers end before."""


class Scheduler:
    def __init__(self, *, n_cells: int, n_slots: int, n_batch: int) -> None:
        if n_batch <= n_slots:
            raise ValueError(f"a batch of {n_batch} leaves no room for a prompt beside {n_slots} decode rows")
        self.n_cells = n_cells
        self.n_batch = n_batch
        self._free_slots = list(range(n_slots))
        self._queue: deque[Sequence] = deque()
        self._active: list[Sequence] = []  # by number, oldest first
        self._clear: list[int] = []

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def active(self) -> tuple[Sequence, ...]:
        return tuple(self._active)

    @property
    def waiting(self) -> tuple[Sequence, ...]:
        return tuple(self._queue)

    @property
    def cells_used(self) -> int:
        return sum(sequence.stored for sequence in self._active)

    @property
    def idle(self) -> bool:
        """Nothing to evaluate and nothing to clear."""
        return not (self._queue or self._active or self._clear)

    def submit(self, sequence: Sequence) -> None:
        """Queue a new sequence. Its prompt and one token more must fit the context: the caller has checked."""
        if not 0 < sequence.prompt_length == len(sequence.tokens) < sequence.limit <= self.n_cells:
            raise ValueError(f"prompt {len(sequence.tokens)}, limit {sequence.limit}, cells {self.n_cells}")
        self._queue.append(sequence)

    def finish(self, sequence: Sequence) -> None:
        """End a sequence in any state; its cells are cleared by the next step."""
        if sequence.state is State.QUEUED:
            self._queue.remove(sequence)
        elif sequence.state is not State.FREE:
            self._release(sequence)
        sequence.state = State.FREE

    def step(self) -> Step:
        """The next step; without rows when nobody has anything to evaluate."""
        while len(self._active) > 1 and self.n_cells - self.cells_used < self._least_cells():
            self._preempt_youngest()
        self._admit()
        rows = [Row(sequence, sequence.stored, 1, True) for sequence in self._active if sequence.state is State.DECODE]
        room = min(self.n_batch, self.n_cells - self.cells_used) - len(rows)
        if not rows:
            room = max(room, 1)  # somebody must move, if only to learn that there really is no cell
        for sequence in self._active:
            if room <= 0:
                break
            if sequence.state is State.PREFILL:
                count = min(room, sequence.pending)
                rows.append(Row(sequence, sequence.stored, count, count == sequence.pending))
                room -= count
        clear, self._clear = tuple(self._clear), []
        return Step(clear, tuple(rows))

    def evaluated(self, rows: Iterable[Row]) -> None:
        """The native call went well: the rows' tokens are in memory now."""
        for row in rows:
            row.sequence.stored = row.start + row.count

    def append(self, sequence: Sequence, token: int) -> bool:
        """Take a sampled token. True when the sequence has reached its limit and must be finished."""
        sequence.tokens.append(token)
        sequence.state = State.DECODE
        return len(sequence.tokens) >= sequence.limit

    def out_of_cells(self, rows: Iterable[Row]) -> bool:
        """The native memory had less room than our ledger: believe it, and let fewer in from now on.

        False when a single token of the only active sequence found no cell, so that nothing is left to give up.
        """
        tokens = sum(row.count for row in rows)
        if tokens == 1 and len(self._active) == 1:
            return False
        self.n_cells = self.cells_used + tokens // 2
        return True

    def _preempt_youngest(self) -> None:
        """Send the youngest active sequence back to the head of the queue; it keeps its tokens, not its cells."""
        sequence = self._active[-1]
        self._release(sequence)
        sequence.stored = 0
        sequence.state = State.QUEUED
        self._queue.appendleft(sequence)

    def _least_cells(self) -> int:
        """Cells without which this step would leave out a decode row, or move nobody."""
        return sum(1 for sequence in self._active if sequence.state is State.DECODE) or 1

    def _admit(self) -> None:
        while self._queue and self._free_slots:
            head = self._queue[0]
            claim = min(head.limit, len(head.tokens) + EXPECTED_TOKENS)
            if self._active and sum(sequence.reserved for sequence in self._active) + claim > self.n_cells:
                return
            self._queue.popleft()
            head.claim = claim
            head.slot = heapq.heappop(self._free_slots)
            head.state = State.PREFILL
            insort(self._active, head, key=lambda sequence: sequence.number)

    def _release(self, sequence: Sequence) -> None:
        self._active.remove(sequence)
        heapq.heappush(self._free_slots, sequence.slot)
        self._clear.append(sequence.slot)
        sequence.slot = -1


def new_sequence(number: int, client: str, prompt: "array[int]", *, max_tokens: int | None, n_ctx: int) -> Sequence:
    """A queued sequence whose limit is what was asked for, or the end of the context."""
    length = len(prompt)
    limit = n_ctx if max_tokens is None else min(n_ctx, length + max_tokens)
    return Sequence(number=number, client=client, tokens=prompt, prompt_length=length, limit=limit)
