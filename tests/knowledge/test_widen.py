"""A passage shows a paragraph or two around the chunk that was found, and never what another passage shows."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.knowledge.index import Index
from localmind.knowledge.scan import Entry
from localmind.knowledge.search import Candidate
from localmind.knowledge.widen import CHARACTERS, MOST, widened

LENGTH, COUNT = 200, 20


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    place = tmp_path_factory.mktemp("widen")
    with contextlib.closing(Index(place / "knowledge.db")) as index:
        root = index.add_root(place, 1)
        # Ten chunks on page 1, ten on page 2.
        chunks = [
            [f"{number:0200}", number * LENGTH, (number + 1) * LENGTH, number, number, 1 + number // 10, None, ""]
            for number in range(COUNT)
        ]
        entry = Entry("a.pdf", "pdf", 1, 1, 1, 1)
        result = {"skip": None, "mtime_ns": 1, "fresh": False, "size": 1, "content_hash": b"", "chunks": chunks}
        index.replace(root.id, entry, "recipe", result, "")
        yield index


def candidate(ordinal: int) -> Candidate:
    return Candidate(ordinal + 1, 1, ordinal, 1 + ordinal // 10, 0.5, 0.0, 1.0)


def ordinals(run: list[Candidate]) -> list[int]:
    return sorted(one.ordinal for one in run)


def test_it_grows_towards_the_question_and_without_similarities_onwards(index: Index) -> None:
    [run] = widened(index, [[candidate(5)]], {5: 0.4, 4: 0.3, 3: 0.2})
    assert ordinals(run) == [2, 3, 4, 5, 6]
    [run] = widened(index, [[candidate(3)]], {})
    assert ordinals(run) == [3, 4, 5, 6, 7]
    assert run[0].ordinal == 3


def test_it_ends_with_its_page(index: Index) -> None:
    [run] = widened(index, [[candidate(9)]], {11: 0.9})
    assert ordinals(run) == [5, 6, 7, 8, 9]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.integers(0, COUNT - 1), min_size=1, max_size=8), st.dictionaries(st.integers(1, COUNT), st.floats(-1, 1))
)
def test_passages_share_nothing_and_none_grows_beyond_its_bound(
    index: Index, found: set[int], similarities: dict[int, float]
) -> None:
    runs = widened(index, [[candidate(at)] for at in sorted(found)], similarities)
    shown = [at for run in runs for at in ordinals(run)]
    assert len(shown) == len(set(shown))
    for run in runs:
        held = ordinals(run)
        assert held == list(range(held[0], held[-1] + 1))
        assert len(held) * LENGTH <= MOST
        alone = not ({held[0] - 1, held[-1] + 1} & set(shown))
        page_end = held[-1] in (9, 19) and held[0] in (0, 10)
        assert not alone or page_end or len(held) * LENGTH >= CHARACTERS or held[0] in (0, 10) or held[-1] in (9, 19)
