"""Carries out on the native memory what the scheduler has decided, and brings states from and to disk.

It lives on the loop's thread. Whatever the native side refuses is told to the scheduler, which then
evaluates again from tokens: nothing that fails here can fail a request.
"""

import logging
from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

from localmind.engine.backend import Backend
from localmind.engine.pool import SAVING
from localmind.engine.prefix_tree import common_length
from localmind.engine.scheduler import Scheduler
from localmind.engine.sequence import Clear, Restore, Row, Save, Sequence, Share, State, Step
from localmind.engine.shelf import Shelf

LEAST_FETCHED = 64
"""Tokens that a state on disk must have beyond what is in memory."""

LEAST_WRITTEN = 256
"""Tokens below which a prefix is evaluated sooner than it is read."""

MOST_FRESH_STARTS = 8
"""Times in a worker's life that its memory is cleared since a step could not be carried out; then requests fail."""

MOST_WRITTEN_AT_END = 8
CLOSE_S = 1.5

log = logging.getLogger("localmind.engine")


class Memory:
    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        shelf: Shelf | None,
        call_soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._shelf = shelf
        self._call_soon = call_soon
        self._fresh_starts = 0
        self._fetching: dict[int, Sequence] = {}
        self._resident: dict[str, Sequence] = {}
        """States on disk that are in the pool or in main memory as well."""

    @property
    def fetching(self) -> int:
        """Requests that wait for a state from disk."""
        return len(self._fetching)

    # --- requests

    def admit(self, sequence: Sequence) -> None:
        """Queue a request, once what is on disk for it is in memory."""
        if self._shelf is not None and sequence.prompt_length >= LEAST_FETCHED:
            name, common = self._shelf.find(sequence.tokens, sequence.group)
            if name not in self._resident and self._gains(sequence, common):
                self._fetching[sequence.number] = sequence
                self._shelf.load(name, partial(self._loaded, name, sequence))
                return
        self._scheduler.submit(sequence)

    def _loaded(self, name: str, sequence: Sequence, tokens: "array[int]", state: Any) -> None:
        self._call_soon(lambda: self._adopt(name, sequence, tokens, state))

    def _adopt(self, name: str, sequence: Sequence, tokens: "array[int]", state: Any) -> None:
        # Somebody else may have brought back, or evaluated, as much in the meantime.
        if (
            state is not None
            and name not in self._resident
            and self._gains(sequence, common_length(tokens, sequence.tokens))
        ):
            kept = Sequence(0, "", tokens, len(tokens), 0, source="disk", used_at=self._scheduler.steps)
            kept.group = sequence.group
            kept.saved, kept.disk_key = state, name
            self._resident[name] = kept
            self._scheduler.pool.adopt(kept)
        if self._fetching.pop(sequence.number, None) is not None:
            self._scheduler.submit(sequence)

    def _gains(self, sequence: Sequence, common: int) -> bool:
        """A state on disk with so many common tokens is worth reading, after all that is in memory."""
        known = self._scheduler.pool.find(sequence).expected
        return min(common, sequence.prompt_length - 1) >= known + LEAST_FETCHED

    def finish(self, sequence: Sequence, *, keep: bool) -> None:
        if self._fetching.pop(sequence.number, None) is None:
            self._scheduler.finish(sequence, keep=keep)
        else:
            sequence.state = State.FREE

    def forget(self, then: Callable[[], None]) -> None:
        """Drop every kept beginning, here and on disk, then call `then`. What is being answered goes on and is not
        written to disk later."""
        for sequence in self._scheduler.pool.idle:
            self._scheduler.pool.forget(sequence)
        for sequence in (*self._fetching.values(), *self._scheduler.active):
            sequence.disk_key = ""
        self._resident.clear()
        if self._shelf is not None:
            self._shelf.clear(then)
        else:
            then()

    # --- steps

    def apply(self, step: Step) -> tuple[Row, ...]:
        """Do what the step wants done. Returns the rows that may be evaluated: those whose memory is as expected.

        Raises only with the memory empty and the ledger knowing it.
        """
        try:
            restored = self._carry_out(step)
        except Exception:
            # Of what the ledger has booked, some is done and some is not, and nobody can say of what cells.
            log.exception("the memory did not become what the step wants: all of it is cleared and evaluated again")
            self._start_over()
            self._fresh_starts += 1
            if self._fresh_starts > MOST_FRESH_STARTS:
                raise
            return ()
        finally:
            for gone in self._scheduler.pool.dropped:
                if gone.disk_key is not None:
                    self._resident.pop(gone.disk_key, None)
            self._scheduler.pool.dropped.clear()
        if not restored:
            return step.rows
        lost = self.resync()
        return tuple(row for row in step.rows if row.sequence not in lost)

    def _carry_out(self, step: Step) -> bool:
        """Whether states were restored."""
        restored = False
        for action in step.actions:
            match action:
                case Clear(slot, start):
                    self._backend.clear(slot, start)
                case Share(source, target, end):
                    self._backend.share(source, target, end)
                case Save(sequence, slot):
                    try:
                        sequence.saved = self._backend.save(slot)
                    except MemoryError:
                        log.warning("no memory for a copy of %d cells", sequence.stored)
                        self._scheduler.pool.unsaved(sequence)
                case Restore(source, slot, drop):
                    restored = True
                    # It may have been saved in this very step, in vain.
                    if source.saved is None or not self._backend.restore(slot, source.saved):
                        log.warning("llama.cpp took no copy of %d cells back", source.stored)
                    if drop:
                        source.saved = None
        return restored

    def _start_over(self) -> None:
        """Empty the native memory and the ledger of it; requests go on from their tokens, copies in RAM are kept."""
        pool = self._scheduler.pool
        for sequence in pool.idle:
            if sequence.slot >= 0 or sequence.saved is SAVING:
                pool.forget(sequence)
        for sequence in self._scheduler.running:
            sequence.saved = None  # one that was to be restored in this step
            self._scheduler.lost(sequence)
        for sequence in self._scheduler.active:
            if sequence.saved is SAVING:
                pool.unsaved(sequence)
        pool.actions.clear()  # slots are emptied here, all of them
        for slot in range(self._backend.n_slots):
            self._backend.clear(slot, 0)

    def resync(self) -> set[Sequence]:
        """Compare every running sequence with the native memory; those that differ are evaluated again."""
        lost = {
            sequence for sequence in self._scheduler.running if sequence.stored != self._backend.length(sequence.slot)
        }
        for sequence in lost:
            self._scheduler.lost(sequence)
        return lost

    # --- disk

    @property
    def unwritten(self) -> bool:
        """Something idle is worth writing to disk."""
        return self._shelf is not None and self._candidate() is not None

    def write_one(self) -> None:
        """Hand the most recently used idle state that is not on disk to the shelf."""
        sequence = self._candidate()
        if sequence is None or self._shelf is None:
            return
        try:
            state = sequence.saved if sequence.slot < 0 else self._backend.save(sequence.slot)
        except MemoryError:
            state = None
        sequence.disk_key = ""
        if state is not None:
            self._shelf.store(sequence.tokens, state, partial(self._written, sequence), sequence.group)

    def _written(self, sequence: Sequence, name: str) -> None:
        def note() -> None:
            sequence.disk_key = name
            if sequence.state is State.CACHED and name:
                self._resident[name] = sequence

        self._call_soon(note)

    def _candidate(self) -> Sequence | None:
        return next(
            (
                sequence
                for sequence in reversed(self._scheduler.pool.idle)
                if sequence.disk_key is None and sequence.stored >= LEAST_WRITTEN
            ),
            None,
        )

    def close(self) -> None:
        """Write what is worth keeping, within a second or two."""
        if self._shelf is None:
            return
        for _ in range(MOST_WRITTEN_AT_END):
            self.write_one()
        self._shelf.close(CLOSE_S)
