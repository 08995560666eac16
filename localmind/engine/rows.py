"""What one step evaluates: all decode rows first, then as many prompt tokens as the time budget and the cells allow.

It decides nothing about who runs, and knows no clock: the budget is asked for. Sequences with different
adapters never share a step; each set has some steps, then the next one has its turn.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable

from localmind.engine.pool import Pool
from localmind.engine.sequence import Row, Sequence, State

GROUP_STEPS = 8
"""Steps that one adapter set keeps while another has work: switching rebuilds the compute graph."""

LEAST_CHECKPOINT = 32
"""Tokens of a prompt from which on a memory that cannot be cut is copied before the last of them."""


class Rows:
    def __init__(self, pool: Pool, *, n_batch: int, n_outputs: int, prefill_budget: Callable[[int], int]) -> None:
        """`prefill_budget` gets the number of decode rows and returns how many prompt tokens a step may add."""
        self.group: Hashable = ()
        """The adapter set of the last step."""
        self._pool = pool
        self._n_batch = n_batch
        self._n_outputs = n_outputs
        self._prefill_budget = prefill_budget
        self._group_steps = 0

    def of(self, running: Iterable[Sequence]) -> tuple[Row, ...]:
        """The next step's rows; none when nobody of these has anything to evaluate."""
        running = list(running)
        self._choose_group(running)
        here = [sequence for sequence in running if sequence.group == self.group]
        decoding = [sequence for sequence in here if sequence.state is State.DECODE]
        prefilling = [sequence for sequence in here if sequence.state is State.PREFILL and sequence.waits_for is None]
        self._pool.free_up(len(decoding))  # who came back since `_make_room` may have taken what that had freed
        free = self._pool.cells.free
        rows = self._decode_rows(decoding, min(free, self._n_batch))
        used = sum(row.n_tokens for row in rows)
        if not prefilling:
            return tuple(rows)
        budget = min(self._n_batch - used, max(1, self._prefill_budget(used)))
        wanted = min(budget, sum(sequence.pending for sequence in prefilling))
        self._pool.free_up(used + wanted)
        room = min(wanted, self._pool.cells.free - used)
        if not rows:
            room = max(room, 1)  # somebody must move, if only to learn that there really is no cell
        rows += self._prefill_rows(prefilling, room, self._n_outputs - used)
        return tuple(rows)

    def _decode_rows(self, decoding: list[Sequence], room: int) -> list[Row]:
        rows = []
        spare = min(room, self._n_outputs) - len(decoding)
        for sequence in decoding:
            draft = sequence.draft[: max(0, min(spare, sequence.limit - len(sequence.tokens) - 1))]
            spare -= len(draft)
            rows.append(Row(sequence, sequence.stored, 1, True, draft))
        return rows

    def _prefill_rows(self, prefilling: list[Sequence], room: int, outputs: int) -> list[Row]:
        """Half of the room is for the shortest rest, so that a short prompt passes a long one, which still moves: an
        only token is the long one's."""
        rows = []
        order = self._order(prefilling)
        shortest = min(order, key=lambda sequence: sequence.pending)
        shares = [(shortest, room // 2)] if shortest is not order[0] else []
        shares += [(sequence, room) for sequence in order]
        taken: dict[Sequence, int] = {}
        for sequence, share in shares:
            count = min(share, room, self._chunk(sequence) - taken.get(sequence, 0))
            if count > 0:
                taken[sequence] = taken.get(sequence, 0) + count
                room -= count
        for sequence, count in taken.items():
            samples = count == sequence.pending
            if samples and not outputs:
                continue
            outputs -= samples
            rows.append(Row(sequence, sequence.stored, count, samples))
        return rows

    def _order(self, prefilling: list[Sequence]) -> list[Sequence]:
        """Interactive before background; the first of each client before its second."""
        seen: Counter[tuple[bool, str]] = Counter()
        ranked = []
        for sequence in prefilling:
            line = sequence.background, sequence.client
            ranked.append((sequence.background, seen[line], sequence.number, sequence))
            seen[line] += 1
        return [entry[-1] for entry in sorted(ranked, key=lambda entry: entry[:3])]

    def _chunk(self, sequence: Sequence) -> int:
        """Tokens that may be evaluated at once: a memory that cannot be cut stops before the last for a checkpoint."""
        if self._pool.kind == "whole" and sequence.pending > 1 and sequence.prompt_length > LEAST_CHECKPOINT:
            return sequence.pending - 1
        return sequence.pending

    def _choose_group(self, running: list[Sequence]) -> None:
        """Stay with an adapter set for some steps, then let the next one have its turn."""
        groups = list(dict.fromkeys(each.group for each in running if each.waits_for is None))
        if not groups or groups == [self.group]:
            return
        self._group_steps += 1
        if self.group not in groups:
            self.group, self._group_steps = groups[0], 0
        elif self._group_steps >= GROUP_STEPS:
            self.group, self._group_steps = groups[(groups.index(self.group) + 1) % len(groups)], 0
