"""The ledger of cells against lists of cell numbers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.cells import Cells

SLOTS = range(5)


class FakeLedger:
    """Every slot a list of cells, as the native memory has them."""

    def __init__(self) -> None:
        self.slots: dict[int, list[int]] = {slot: [] for slot in SLOTS}
        self._next = 0

    def grow(self, slot: int, count: int) -> None:
        self.slots[slot] += range(self._next, self._next + count)
        self._next += count

    def distinct(self, slots) -> set[int]:
        return {cell for slot in slots for cell in self.slots[slot]}

    def own(self, slot: int) -> int:
        return len(self.distinct([slot]) - self.distinct(other for other in SLOTS if other != slot))


slots = st.sampled_from(SLOTS)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), slots, st.integers(1, 9), st.none()),
        st.tuples(st.just("share"), slots, st.integers(0, 30), slots),
        st.tuples(st.just("trim"), slots, st.integers(0, 30), st.none()),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=600)
@given(changes, st.sets(slots))
def test_the_ledger_counts_what_a_list_of_every_cell_counts(changes, asked):
    cells, naive = Cells(100), FakeLedger()
    for what, slot, count, target in changes:
        match what:
            case "grow":
                cells.grow(slot, count)
                naive.grow(slot, count)
            case "share" if slot != target and not naive.slots[target]:
                end = min(count, len(naive.slots[slot]))
                cells.share(slot, target, end)
                naive.slots[target] = naive.slots[slot][:end]
            case "trim":
                cells.trim(slot, count)
                del naive.slots[slot][count:]
        assert cells.used == len(naive.distinct(SLOTS))
        assert cells.free == 100 - cells.used
        assert [cells.length(each) for each in SLOTS] == [len(naive.slots[each]) for each in SLOTS]
        assert [cells.own(each) for each in SLOTS] == [naive.own(each) for each in SLOTS]
        assert cells.held(asked) == len(naive.distinct(asked))


def test_a_shared_beginning_counts_once_and_is_free_when_the_last_holder_leaves():
    cells = Cells(50)
    cells.grow(0, 20)
    cells.share(0, 1, 12)
    cells.grow(1, 5)
    assert (cells.used, cells.own(0), cells.own(1)) == (25, 8, 5)
    cells.clear(0)
    assert (cells.used, cells.own(1)) == (17, 17)
    cells.clear(1)
    assert (cells.used, cells.free) == (0, 50)


def test_sharing_into_a_slot_that_is_not_empty_or_more_than_there_is_is_refused():
    cells = Cells(50)
    cells.grow(0, 10)
    cells.grow(1, 1)
    with pytest.raises(ValueError, match="not empty"):
        cells.share(0, 1, 5)
    with pytest.raises(ValueError, match="has 10 cells, not 11"):
        cells.share(0, 2, 11)
