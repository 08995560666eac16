"""The ledger of KV cells: who holds which, with shared prefixes counted once.

llama.cpp lets sequences share cells but does not say how many are left, so we count along. A slot
holds a chain of spans; a span shared by several slots is one object, and its cells are free when
nobody holds it. It decides nothing and touches no native memory: it mirrors what we tell llama.cpp.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Span:
    """A run of cells that the same slots hold."""

    length: int
    holders: set[int] = field(default_factory=set)


class Cells:
    """Counts the cells of one pool. Positions of a slot are 0 to `length(slot)` without gaps."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._chains: dict[int, list[Span]] = {}

    @property
    def free(self) -> int:
        """Never more than there are; below zero after the capacity was found to be smaller than thought."""
        return self.capacity - self.used

    def length(self, slot: int) -> int:
        return sum(span.length for span in self._chains.get(slot, ()))

    def held(self, slots: Iterable[int]) -> int:
        """Distinct cells that at least one of these slots holds."""
        spans = {id(span): span.length for slot in slots for span in self._chains.get(slot, ())}
        return sum(spans.values())

    def own(self, slot: int) -> int:
        """Cells that would become free if this slot gave up everything."""
        return sum(span.length for span in self._chains.get(slot, ()) if len(span.holders) == 1)

    def grow(self, slot: int, count: int) -> None:
        """A slot was given `count` new cells at its end."""
        chain = self._chains.setdefault(slot, [])
        if chain and len(chain[-1].holders) == 1:
            chain[-1].length += count
        else:
            chain.append(Span(count, {slot}))
        self.used += count

    def share(self, source: int, target: int, end: int) -> None:
        """The empty slot `target` now holds the first `end` cells of `source` too."""
        if self._chains.get(target):
            raise ValueError(f"slot {target} is not empty")
        self._cut(source, end)
        chain = self._chains[target] = []
        left = end
        for span in self._chains.get(source, ()):
            if not left:
                break
            span.holders.add(target)
            chain.append(span)
            left -= span.length
        if left:
            raise ValueError(f"slot {source} has {end - left} cells, not {end}")

    def trim(self, slot: int, start: int) -> None:
        """A slot gives up its cells from position `start` on."""
        self._cut(slot, start)
        chain = self._chains.get(slot, [])
        kept = 0
        while kept < len(chain) and start > 0:
            start -= chain[kept].length
            kept += 1
        for span in chain[kept:]:
            span.holders.discard(slot)
            if not span.holders:
                self.used -= span.length
        del chain[kept:]
        if not chain:
            self._chains.pop(slot, None)

    def clear(self, slot: int) -> None:
        self.trim(slot, 0)

    def _cut(self, slot: int, position: int) -> None:
        """Split the span that reaches over `position`, for all its holders, so that a border is there."""
        at = 0
        for span in self._chains.get(slot, ()):
            if at < position < at + span.length:
                tail = Span(at + span.length - position, set(span.holders))
                span.length = position - at
                for holder in span.holders:
                    chain = self._chains[holder]
                    chain.insert(chain.index(span) + 1, tail)
                return
            at += span.length
