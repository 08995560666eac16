"""Comparing a question with chunks word by word: the sketches, their place in the index, and what becomes of them."""

from pathlib import Path

import numpy
import pytest
from databases import database
from hypothesis import given
from hypothesis import strategies as st
from knowledge_fakes import FakeReply, Household, eventually

from localmind.errors import WorkerDied
from localmind.knowledge.embed_worker import EmbedCalls, Embedder
from localmind.knowledge.late import BYTES, SMALL, scores, sketch, word_weights
from localmind.knowledge.search import reordered

RANDOM = numpy.random.default_rng(5)
STATES = RANDOM.standard_normal((12, 384)).astype("f4")


def test_a_sketch_keeps_the_angles_between_words() -> None:
    other = RANDOM.standard_normal((30, 384)).astype("f4")
    other[7] = STATES[3] + 0.3 * other[7]
    exact = (STATES[3] @ other[7]) / numpy.linalg.norm(STATES[3]) / numpy.linalg.norm(other[7])
    one, two = scores(
        STATES[3:4], [1.0], [sketch(other, range(30), frozenset()), sketch(other[:7], range(7), frozenset())]
    )
    # A sign of a projection says less than its size: sqrt(2 / pi) of the cosine is left, of all alike.
    assert one == pytest.approx(exact * (2 / numpy.pi) ** 0.5, abs=0.1)
    assert two < one - 0.3


def test_silent_words_are_left_out_of_a_sketch() -> None:
    assert len(sketch(STATES, range(12), frozenset({0, 5, 11}))) == 9 * BYTES
    assert sketch(STATES, range(12), frozenset(range(12))) == b""


def test_a_rare_word_weighs_more_than_a_small_one_and_the_marks_nothing() -> None:
    text = "Where is Lotte's boiler?"
    offsets = [(0, 0), (0, 5), (6, 8), (9, 14), (14, 15), (15, 16), (17, 20), (20, 23), (23, 24), (0, 0)]
    found = word_weights(text, offsets, {"lotte": 8.0, "boiler": 6.0})
    assert found == [0, SMALL, SMALL, 8.0, SMALL, SMALL, 6.0, 6.0, SMALL, 0]


@given(
    st.lists(st.integers(0, 12), max_size=6),
    st.lists(st.floats(0, 20), min_size=12, max_size=12),
)
def test_scores_stay_between_bounds_whatever_is_compared(counts: list[int], weights: list[float]) -> None:
    found = scores(STATES, weights, [sketch(STATES[:count], range(count), frozenset()) for count in counts])
    assert len(found) == len(counts)
    assert all(-1.001 <= one <= 1.001 for one in found)
    assert all(one == 0 for one, count in zip(found, counts, strict=True) if not count)


def test_the_best_chunks_change_places_and_one_without_a_sketch_is_taken_for_average() -> None:
    fused = {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6, 5: 0.1}
    assert reordered(fused, {1: 0.1, 2: 0.5, 3: 0.3}, 2.0, 4) == [2, 3, 4, 1, 5]
    assert reordered(fused, {}, 2.0, 4) == [1, 2, 3, 4, 5]
    assert reordered(fused, {2: 9.0}, 0.0, 4) == [1, 2, 3, 4, 5]


def test_minilm_finds_the_sentence_that_says_it_by_its_words(embed_model_dir: Path, tmp_path: Path) -> None:
    embedder = Embedder(embed_model_dir, tmp_path, threads=1)
    texts = [
        "The boiler was serviced in October. Marek Dudek charged 148 euros for two hours.",
        "The boiler hangs in the cellar, beside the freezer. Its cover is white and was painted in October.",
        "Lotte wants her closet painted.",
    ]
    kept: dict[int, bytes] = {}
    plain = embedder.embed(texts)
    assert (plain == embedder.embed(texts, sketches=kept)).all()
    first, second, third = embedder.near(
        "How much did the service cost?", {"service": 5.0, "cost": 5.0}, [kept[at] for at in range(3)]
    )
    assert first > second > third
    assert (embedder.ask(texts[0]) @ plain[0]) > 0.999


def test_the_worker_answers_as_its_parts_do(embed_model_dir: Path, tmp_path: Path) -> None:
    calls, reply = EmbedCalls(), FakeReply()
    model = {"model_dir": str(embed_model_dir), "cache_dir": str(tmp_path), "threads": 1}
    data, one, two = calls.index(model | {"texts": ["a red boat", ""]}, reply)
    assert data == calls.embed(model | {"texts": ["a red boat", ""], "kind": "passage"}, reply)
    assert (len(one), len(two)) == (2 * BYTES, 0)
    near = calls._loaded(model).near("which boat?", {"boat": 3.0}, [one, two])
    assert near[0] > 0.2
    assert near[1] == 0


def _rows(house: Household) -> tuple[int, int]:
    with database(house.base / "state/knowledge.db") as db:
        return tuple(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("vector", "sketch"))


async def test_every_vector_has_a_sketch_and_both_are_forgotten_together(house: Household) -> None:
    vectors, sketches = _rows(house)
    assert vectors == sketches > 1
    await house.knowledge.remove_folder(house.folder)
    await house.knowledge.purge()
    assert _rows(house) == (0, 0)


async def test_vectors_of_an_older_version_get_their_sketches_when_nothing_else_is_to_be_done(house: Household) -> None:
    await house.knowledge.close()
    with database(house.base / "state/knowledge.db") as db:
        db.execute("DELETE FROM sketch")
        db.execute("UPDATE vector SET sketched = 0")
    house.fresh()
    await house.knowledge.start()

    async def even() -> bool:
        vectors, sketches = _rows(house)
        return vectors == sketches

    await eventually(even)
    assert (await house.knowledge.search("Who serviced the boiler?"))[0].path.endswith("boiler.md")


async def test_a_search_goes_on_when_words_cannot_be_compared(house: Household) -> None:
    def dies(params: object, reply: object) -> None:
        raise WorkerDied("the embed worker was killed by SIGKILL")

    house.embed.methods["rank"] = dies
    assert (await house.knowledge.search("Who serviced the boiler?"))[0].path.endswith("boiler.md")
