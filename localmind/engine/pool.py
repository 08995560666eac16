"""What is in the KV memory and what could be: slots, cells, and the idle beginnings worth keeping.

The pool finds the longest known beginning of a prompt and brings it into a slot: by taking over an
idle sequence, by sharing the cells of a running one, or from a copy in main memory. It keeps itself
dense, because attention runs to the highest used cell (50 new tokens took 0.8 s instead of 0.1 under
8,000 idle cells, measured): idle sequences go to main memory while others run. It decides nothing
about who runs, and calls nothing native: what is to be done collects in `actions`.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from localmind.engine.cells import Cells
from localmind.engine.prefix_tree import PrefixTree
from localmind.engine.sequence import Action, Clear, Restore, Save, Sequence, Share, Source, State

Kind = Literal["any_prefix", "whole"]
"""Whether this memory can be cut at any token, or a state can only be used whole (recurrent and hybrid models)."""

LEAST_KEPT = 16
"""Tokens below which a finished sequence is not worth a slot."""

LEAST_GAIN = 32
"""Tokens that waiting for another's prefill must save."""

MOST_RESTORED = 16
"""A copy is brought back from main memory when at least one in so many of its tokens is used: copying costs about
a hundredth of evaluating."""

SAVING: object = ...
"""Stands in `Sequence.saved` until the step's Save has been done."""


@dataclass(slots=True, frozen=True)
class Reuse:
    """The best beginning for a prompt: what is there now, and what somebody is about to evaluate."""

    holder: Sequence | None = None
    tokens: int = 0
    waits_for: Sequence | None = None
    waits_until: int = 0

    @property
    def expected(self) -> int:
        return max(self.tokens, self.waits_until)


def reaches(count: int, first: int, window: int) -> bool:
    """Whether the next token after `count` finds all it looks back on in cells that begin at position `first`.

    `first` is above 0 only after a state was restored into a memory with a sliding window (`window` tokens, else 0),
    for a saved state has no more of those layers than the window.
    """
    return first <= max(0, count - window + 1)


class Pool:
    def __init__(
        self, *, n_cells: int, n_slots: int, kind: Kind, ram_cells: int, idle_cells: int, window: int = 0
    ) -> None:
        """`ram_cells`: how many cells may be kept in main memory; `idle_cells`: how many beside running ones;
        `window`: tokens that layers with a sliding window look back on, 0 without such layers."""
        self.cells = Cells(n_cells)
        self.kind = kind
        self.actions: list[Action] = []
        self.dropped: list[Sequence] = []
        """Idle sequences that are gone from the pool and from main memory; for who keeps book of disk copies."""
        self.evictions = 0
        self._ram_cells = ram_cells
        self._idle_cells = idle_cells
        self._window = window
        self._free_slots = list(range(n_slots))
        self._tree: PrefixTree[Sequence] = PrefixTree()
        self._idle: dict[Sequence, None] = {}
        self._parked: set[Sequence] = set()
        """Running requests whose cells are in main memory; they come before anything idle."""

    @property
    def cuts_anywhere(self) -> bool:
        """Whether what lies before a cut is whole. Cells of a sliding window may have been used for what came after."""
        return self.kind == "any_prefix" and not self._window

    @property
    def idle(self) -> list[Sequence]:
        """Kept for later, the least recently used first."""
        return sorted(self._idle, key=lambda sequence: sequence.used_at)

    @property
    def ram_used(self) -> int:
        """Cells whose copies are in main memory."""
        return sum(each.stored for each in (*self._idle, *self._parked) if each.saved is not None)

    # --- finding and attaching a beginning

    def find(self, sequence: Sequence) -> Reuse:
        """The longest usable beginning; the last token is always left to evaluate, or there were no logits."""
        limit = len(sequence.tokens) - 1
        found = self._tree.match(sequence.tokens, sequence.group)
        found.pop(sequence, None)
        if sequence.cached is None and found:
            nearest = max(found, key=lambda holder: found[holder])
            sequence.matched = found[nearest]
            sequence.differs = nearest.tokens[sequence.matched : sequence.matched + 8]
        best: Sequence | None = None
        most = 0
        waits: Sequence | None = None
        until = 0
        for holder, common in found.items():
            common = min(common, limit)
            usable = self._usable(holder, common)
            if usable > most or (usable == most and best is not None and best.slot < 0 <= holder.slot):
                best, most = holder, usable
            coming = min(common, holder.prompt_length)
            if holder.state is State.PREFILL and holder.admitted < sequence.admitted and coming > until:
                waits, until = holder, coming
        if self.kind == "whole" or waits is None or until < most + LEAST_GAIN:
            waits, until = None, 0
        return Reuse(best, most, waits, until)

    def _usable(self, holder: Sequence, common: int) -> int:
        """How much of a common beginning can be had from this holder."""
        if holder.state is State.CACHED:
            if self.kind == "whole":
                return holder.stored if common >= holder.stored else 0
            if holder.slot < 0 and common * MOST_RESTORED < holder.stored:
                return 0
            return self._complete(holder, min(common, holder.stored))
        if self.kind == "any_prefix" and holder.slot >= 0:
            return self._complete(holder, min(common, holder.stored))
        return 0

    def _complete(self, holder: Sequence, count: int) -> int:
        """`count`, if all that the next token looks back on is in the first `count` cells of the holder, else 0."""
        first = holder.first if holder.slot >= 0 else self._first_of_copy(holder)
        return count if reaches(count, first, self._window) else 0

    def _first_of_copy(self, holder: Sequence) -> int:
        return max(holder.first, holder.stored - self._window) if self._window else 0

    def attach(self, sequence: Sequence, reuse: Reuse, running: Iterable[Sequence]) -> bool:
        """Give a sequence a slot with its beginning in it. False when no slot is left."""
        holder, tokens = reuse.holder, reuse.tokens
        source: Source = "none"
        first = holder.first if holder is not None else 0
        if holder is not None and holder.slot < 0:
            protected = {holder}
            if self.free_up(holder.stored, protected) and (slot := self._take_slot(protected)) >= 0:
                source = "disk" if holder.source == "disk" else "ram"
                first = self._first_of_copy(holder)
                self._restore(holder, slot, tokens)
            else:
                holder, tokens = None, 0
        elif holder is not None and holder.state is State.CACHED and tokens == holder.stored:
            source = "pool"
            slot = holder.slot
            holder.slot = -1
            self._forget(holder)
        elif holder is not None:
            source = "pool" if holder.state is State.CACHED else "running"
            if (slot := self._take_slot({holder})) >= 0:
                self.actions.append(Share(holder.slot, slot, tokens))
                self.cells.share(holder.slot, slot, tokens)
                holder.used_at = max(holder.used_at, sequence.used_at)
        if holder is None:
            tokens, first = 0, 0
            slot = self._take_slot(set())
        if slot < 0:
            return False
        if tokens and self.kind == "any_prefix":
            self.actions.append(Clear(slot, tokens))  # whatever is there beyond: it must not meet our tokens
        sequence.slot, sequence.stored, sequence.first = slot, tokens, first
        if sequence.cached is None:
            sequence.cached, sequence.source = tokens, source
        if sequence not in self._tree:
            self._tree.insert(sequence, sequence.tokens, sequence.group)
        return True

    def improve(self, sequence: Sequence) -> None:
        """Share what others have evaluated since, when it is more than the sequence has itself."""
        reuse = self.find(sequence)
        holder = reuse.holder
        if holder is None or holder.slot < 0 or reuse.tokens <= sequence.stored:
            return
        if self.kind == "whole":
            return
        gained = reuse.tokens - sequence.stored
        if sequence.stored:
            self.actions.append(Clear(sequence.slot))
            self.cells.clear(sequence.slot)
        self.actions.append(Share(holder.slot, sequence.slot, reuse.tokens))
        self.cells.share(holder.slot, sequence.slot, reuse.tokens)
        sequence.stored, sequence.first = reuse.tokens, holder.first
        if not sequence.generated:
            sequence.cached = (sequence.cached or 0) + gained
            sequence.source = "running"

    def _restore(self, holder: Sequence, slot: int, tokens: int) -> None:
        # A state that can only be used whole is no longer there once its sequence has gone on, so its copy stays.
        last = tokens == holder.stored and self.kind == "any_prefix"
        self.actions.append(Restore(holder, slot, drop=last))
        self.cells.grow(slot, holder.stored)
        if last:
            self._forget(holder)
        else:
            self.cells.trim(slot, tokens)
            holder.used_at += 1

    # --- letting go

    def keep(self, sequence: Sequence) -> None:
        """A request has ended: its sequence stays as idle, and replaces idle ones that are its beginnings."""
        if sequence.stored < LEAST_KEPT or sequence.slot < 0:
            self.release(sequence)
            return
        if self.cells.length(sequence.slot) > sequence.stored:
            self.trim(sequence)  # drafts that nobody judged, because sampling failed
        self._tree.remove(sequence)
        del sequence.tokens[sequence.stored :]
        sequence.draft = sequence.tokens[:0]
        if self.kind == "any_prefix":
            for other, common in self._tree.match(sequence.tokens, sequence.group).items():
                if other.state is State.CACHED and common >= other.stored:
                    self.forget(other)
        sequence.state = State.CACHED
        sequence.waits_for = None
        self._idle[sequence] = None
        self._tree.insert(sequence, sequence.tokens, sequence.group)

    def adopt(self, sequence: Sequence) -> None:
        """Take in an idle sequence that comes with its state in `saved`."""
        sequence.state, sequence.slot, sequence.stored = State.CACHED, -1, len(sequence.tokens)
        self._idle[sequence] = None
        self._tree.insert(sequence, sequence.tokens, sequence.group)
        self._fit_ram(sequence)

    def checkpoint(self, sequence: Sequence) -> None:
        """Keep a copy of what a running sequence has stored, for memories that cannot be cut."""
        copy = Sequence(sequence.number, sequence.client, sequence.tokens[: sequence.stored], sequence.stored, 0)
        known = self._tree.match(copy.tokens, sequence.group)
        if any(each.stored == copy.prompt_length == same for each, same in known.items() if each in self._idle):
            return
        copy.group, copy.used_at, copy.first = sequence.group, sequence.used_at, sequence.first
        copy.saved = SAVING
        self.actions.append(Save(copy, sequence.slot))
        self.adopt(copy)

    def release(self, sequence: Sequence) -> None:
        """Give up a sequence's slot, cells, copy and place in the tree."""
        self._tree.remove(sequence)
        self._parked.discard(sequence)
        sequence.saved = None
        sequence.waits_for = None
        self._clear_slot(sequence)

    def forget(self, sequence: Sequence) -> None:
        """Drop an idle sequence."""
        self._clear_slot(sequence)
        self._forget(sequence)
        self.evictions += 1

    def _forget(self, sequence: Sequence) -> None:
        """An idle sequence is no more; a copy is left to a Restore that was planned before."""
        del self._idle[sequence]
        self._tree.remove(sequence)
        sequence.state = State.FREE
        self.dropped.append(sequence)

    def park(self, sequence: Sequence) -> None:
        """Take a running sequence's cells away; what does not fit in main memory is evaluated again later."""
        if sequence.stored and self.fits_ram(sequence.stored):
            self.actions.append(Save(sequence, sequence.slot))
            sequence.saved = SAVING
            self._parked.add(sequence)
            self._fit_ram(sequence)
        else:
            sequence.stored = sequence.first = 0
        sequence.waits_for = None
        sequence.waits_until = 0
        self._clear_slot(sequence)

    def unpark(self, sequence: Sequence) -> bool:
        """Bring a parked sequence back into a slot. False when no slot is left."""
        slot = self._take_slot(set())
        if slot < 0:
            return False
        sequence.slot = slot
        if sequence.saved is not None:
            self._parked.discard(sequence)
            sequence.first = self._first_of_copy(sequence)
            self.actions.append(Restore(sequence, slot, drop=True))
            self.cells.grow(slot, sequence.stored)
        return True

    def trim(self, sequence: Sequence) -> None:
        """Give up the cells of a running sequence beyond what is stored."""
        self.actions.append(Clear(sequence.slot, sequence.stored))
        self.cells.trim(sequence.slot, sequence.stored)

    def lost(self, sequence: Sequence) -> None:
        """The cells of a sequence are not what we thought: forget them, evaluate again what is needed."""
        if sequence.slot >= 0:
            self.actions.append(Clear(sequence.slot))
            self.cells.clear(sequence.slot)
        sequence.stored = sequence.first = 0

    def unsaved(self, sequence: Sequence) -> None:
        """There was no memory for a copy."""
        sequence.saved = None
        if sequence in self._idle:
            self._forget(sequence)
        elif sequence.slot < 0:  # else it came back in the same step: its Restore finds nothing, and it is lost then
            self._parked.discard(sequence)
            sequence.stored = sequence.first = 0

    # --- room

    def free_up(self, count: int, protected: "set[Sequence] | frozenset[Sequence]" = frozenset()) -> bool:
        """Evict idle sequences, least recently used first, until so many cells are free."""
        for each in self._idle_in_pool(protected):
            if self.cells.free >= count:
                break
            self._evict(each, protected)
        return self.cells.free >= count

    def thin(self, running: Iterable[Sequence]) -> None:
        """Take the least recently used idle sequence out of the way of the running ones, one a step."""
        beside = self.cells.used - self.cells.held(sequence.slot for sequence in running)
        if beside > self._idle_cells and (least := next(self._idle_in_pool(frozenset()), None)) is not None:
            self._evict(least, frozenset())

    def _idle_in_pool(self, protected: "set[Sequence] | frozenset[Sequence]") -> Iterator[Sequence]:
        return (each for each in self.idle if each.slot >= 0 and each not in protected)

    def _evict(self, sequence: Sequence, protected: "set[Sequence] | frozenset[Sequence]") -> None:
        """From the pool to main memory, or away when it is too large or all its cells are others' as well."""
        if self.cells.own(sequence.slot) and sequence.stored <= self._ram_cells:
            self.actions.append(Save(sequence, sequence.slot))
            sequence.saved = SAVING
            self._clear_slot(sequence)
            self._fit_ram(sequence, protected)
        else:
            self.forget(sequence)

    def fits_ram(self, cells: int) -> bool:
        """Whether so many cells of a running sequence may be copied to main memory."""
        return cells + sum(each.stored for each in self._parked) <= self._ram_cells

    def _fit_ram(self, newcomer: Sequence, protected: "set[Sequence] | frozenset[Sequence]" = frozenset()) -> None:
        """Drop the least recently used copies until the budget holds, but not one that is about to be restored."""
        over = self.ram_used - self._ram_cells
        for each in self.idle:
            if over <= 0:
                return
            if each.saved is not None and each.slot < 0 and each is not newcomer and each not in protected:
                over -= each.stored
                self.forget(each)
        if over > 0 and newcomer in self._idle:
            self.forget(newcomer)

    def _take_slot(self, protected: "set[Sequence]") -> int:
        if not self._free_slots:
            least = next(self._idle_in_pool(protected), None)
            if least is None:
                return -1
            self._evict(least, protected)
        return heapq.heappop(self._free_slots)

    def _clear_slot(self, sequence: Sequence) -> None:
        if sequence.slot >= 0:
            self.actions.append(Clear(sequence.slot))
            self.cells.clear(sequence.slot)
            heapq.heappush(self._free_slots, sequence.slot)
            sequence.slot = -1
