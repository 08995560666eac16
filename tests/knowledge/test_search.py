"""The arithmetic of search: queries, fusion, the floor, grouping."""

import math
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.knowledge.search import (
    Candidate,
    Floor,
    above,
    coverage,
    fuse,
    group,
    parse,
    pooled,
    unknown_share,
    whole_score,
)


def candidate(
    number: int, file_id: int = 1, ordinal: int = 0, evidence: float = 1.0, page: int | None = None
) -> Candidate:
    return Candidate(number, file_id, ordinal, page, evidence, 0.0, evidence)


def test_stop_words_are_dropped_from_a_question() -> None:
    query = parse("When was the boiler last serviced?")
    assert query.terms == ('"boiler"', '"last"', '"serviced"')
    assert query.matching(query.terms) == '"boiler" OR "last" OR "serviced"'
    assert query.keyword_weight < 0.5


@pytest.mark.parametrize(
    "word",
    [
        "os.path.join",
        "snake_case",
        "src/main.rs",
        "std::vector",
        "--no-deps",
        "WX-2000",
        "E119",
        "camelCase",
        "frobnicate()",
    ],
)
def test_identifiers_paths_and_codes_give_keywords_more_weight(word: str) -> None:
    query = parse(f"what does {word} do?")
    assert query.exact == (f'"{word.removesuffix("()")}"',)
    assert query.keyword_weight >= 1


@pytest.mark.parametrize("text", ["What did we pay in 2026?", "Who is Tom?", "Is it e.g. blue?", "Tom's birthday"])
def test_names_numbers_and_dots_at_the_end_are_prose(text: str) -> None:
    assert parse(text.replace("e.g. ", "")).keyword_weight < 0.5


def test_a_quotation_must_occur() -> None:
    query = parse('where is "deep fjord" written, and why')
    assert query.required == ('"deep fjord"',)
    assert query.matching(query.terms) == '"deep fjord" AND ("deep fjord" OR "written")'


def test_a_question_of_stop_words_still_looks_for_them() -> None:
    assert parse("who is it").terms == ('"who"', '"is"', '"it"')
    assert parse("?!").terms == ()
    assert parse("?!").matching(()) is None


@given(st.text(max_size=80))
def test_any_question_is_valid_full_text_syntax(text: str) -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5 (x, tokenize = 'porter unicode61')")
    query = parse(text)
    for every in (False, True):
        if (match := query.matching(query.terms, every=every)) is not None:
            db.execute("SELECT * FROM t WHERE t MATCH ?", (match,)).fetchall()
    for term in query.terms:
        db.execute("SELECT count(*) FROM t WHERE t MATCH ?", (term,)).fetchall()
    db.close()


places = st.tuples(st.integers(0, 3), st.integers(0, 12))


@given(st.dictionaries(places, st.floats(0.01, 40)), st.dictionaries(places, st.floats(-0.2, 1)), st.floats(0.1, 4))
def test_fusion_keeps_every_chunk_once_and_prefers_what_is_best_on_both_sides(
    keyword: dict[tuple[int, int], float], dense: dict[tuple[int, int], float], weight: float
) -> None:
    scores = fuse(keyword, dense, weight)
    assert set(scores) == set(keyword) | set(dense)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    lonely = (9, 9)
    assert next(iter(fuse(keyword | {lonely: 100.0}, dense | {lonely: 2.0}, weight))) == lonely


def test_the_weight_decides_between_keywords_and_similarity() -> None:
    keyword, dense = {(1, 0): 9.0, (2, 0): 1.0}, {(1, 0): 0.2, (2, 0): 0.6}
    assert next(iter(fuse(keyword, dense, parse("when was it").keyword_weight))) == (2, 0)
    assert next(iter(fuse(keyword, dense, parse("what does os.path do").keyword_weight))) == (1, 0)


def test_a_chunk_beside_a_good_one_is_lifted_and_one_of_another_file_is_not() -> None:
    scores = pooled({(1, 4): 0.6, (1, 5): 0.3, (2, 5): 0.3, (1, 7): 0.3})
    assert scores[1, 5] > scores[2, 5] == scores[1, 7] == 0.3


def test_the_best_of_bad_keyword_scores_does_not_get_the_full_weight() -> None:
    near = {(1, 0): 0.5, (2, 0): 0.45}
    assert next(iter(fuse({(2, 0): 1.0}, near, 0.15))) == (2, 0)
    assert next(iter(fuse({(2, 0): 1.0}, near, 0.15, whole=10.0))) == (1, 0)
    assert next(iter(fuse({(2, 0): 10.0}, near, 0.15, whole=10.0))) == (2, 0)
    assert whole_score({"boiler": 1, "nowhere": 0}, 100) == pytest.approx(math.log(1 + 100 / 1.5))


def test_nothing_is_shown_unless_one_chunk_may_be_an_answer() -> None:
    floor = Floor(answer=0.5, shown=0.3)
    assert above([candidate(1, evidence=0.45), candidate(2, evidence=0.4)], floor) == []
    shown = above([candidate(1, evidence=0.4), candidate(2, evidence=0.6), candidate(3, evidence=0.2)], floor)
    assert [one.chunk_id for one in shown] == [1, 2]


def test_evidence_grows_with_similarity_words_and_exact_matches() -> None:
    floor = Floor()
    assert floor.evidence(0.4, 0.5, exact=False) > floor.evidence(0.4, 0.0, exact=False)
    assert floor.evidence(0.4, 0.5, 0.6, exact=False) < floor.evidence(0.4, 0.5, exact=False)
    assert floor.evidence(0.1, 0.1, exact=True) >= floor.answer
    assert floor.evidence(None, 0.7, exact=False) >= floor.answer
    assert floor.evidence(None, 0.1, exact=False) < floor.shown


def test_coverage_counts_rare_words_more() -> None:
    shares = coverage({"rare": {1}, "common": {1, 2}}, {"rare": 1, "common": 900}, 1000)
    assert shares[1] == pytest.approx(1.0)
    assert shares[2] < 0.2


def test_words_that_no_file_holds_are_counted_by_their_rarity() -> None:
    assert unknown_share({"a": 0, "b": 10}, 100) > 0.5
    assert unknown_share({"a": 3, "b": 10}, 100) == 0
    assert unknown_share({}, 100) == 0


def test_neighbours_become_one_passage_and_a_file_gives_at_most_five_chunks() -> None:
    ordinals = [(1, 1, 4), (2, 2, 0), (3, 1, 5), (4, 1, 9), (5, 1, 6), (6, 1, 12), (7, 1, 7)]
    runs = group(
        [candidate(number, file_id, ordinal) for number, file_id, ordinal in ordinals],
        10,
    )
    assert [[one.chunk_id for one in run] for run in runs] == [[1, 3, 5], [2], [4], [6]]


def test_a_chunk_between_two_passages_joins_them() -> None:
    runs = group([candidate(1, 1, 1), candidate(2, 1, 3), candidate(3, 1, 2)], 10)
    assert [sorted(one.ordinal for one in run) for run in runs] == [[1, 2, 3]]


def test_no_more_passages_than_asked_for_but_neighbours_still_join() -> None:
    runs = group([candidate(1, 1, 1), candidate(2, 2, 1), candidate(3, 3, 1), candidate(4, 1, 2)], 2)
    assert [[one.chunk_id for one in run] for run in runs] == [[1, 4], [2]]


def test_a_passage_never_leaves_its_page() -> None:
    runs = group([candidate(1, 1, 1, page=1), candidate(2, 1, 2, page=2), candidate(3, 1, 0, page=1)], 10)
    assert [[one.chunk_id for one in run] for run in runs] == [[1, 3], [2]]
