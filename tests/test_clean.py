"""No text that comes from a model, a document or a file name can drive the terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.clean import HELD_BACK, Cleaner, clean, clean_line

ESCAPE_BITS = st.sampled_from(
    ["\x1b", "[", "]", "31m", "0;", "52;c;", "\x07", "\x1b\\", "\x9b", "\x9d", "\x9c", "P", "(", "B", "\r", "\n", "a"]
)
HOSTILE = st.one_of(st.text(st.characters(exclude_categories=())), st.lists(ESCAPE_BITS).map("".join))
FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\ud800-\udfff]")


@pytest.mark.parametrize(
    ("hostile", "safe"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]52;c;aGVsbG8=\x07clipboard", "clipboard"),
        ("\x1b]0;new title\x1b\\text", "text"),
        ("\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2;0;0;0\x1b\\image", "image"),
        ("\x9b31mone byte", "one byte"),
        ("\x1b(0line drawing", "line drawing"),
        ("\x1bcreset", "reset"),
        ("back\x08space", "backspace"),
        ("exe.\u202egpj", "exe.gpj"),
        ("tags\U000e0041\U000e0042", "tags"),
        ("over\rwrite", "overwrite"),
        ("two\r\nlines", "two\nlines"),
        ("a\tb", "a\tb"),
        ("👩‍🔬 naïve 漢字", "👩‍🔬 naïve 漢字"),
    ],
)
def test_sequences_go_as_a_whole_and_text_stays(hostile: str, safe: str) -> None:
    assert clean(hostile) == safe


def test_a_name_becomes_one_line() -> None:
    assert clean_line("notes\n[1] \x1b[2Jfake.md") == "notes [1] fake.md"


@given(HOSTILE)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert not FORBIDDEN.search(clean(text))


@given(HOSTILE, st.lists(st.integers(0, 40), max_size=8))
def test_pieces_are_cleaned_like_the_whole_wherever_they_are_cut(text: str, cuts: list[int]) -> None:
    cleaner, shown, rest = Cleaner(), "", text
    for cut in cuts:
        shown += cleaner.feed(rest[:cut])
        rest = rest[cut:]
    shown += cleaner.feed(rest) + cleaner.end()
    assert shown == clean(text)


@given(st.lists(HOSTILE))
def test_every_piece_that_is_shown_is_clean(pieces: list[str]) -> None:
    cleaner = Cleaner()
    assert not any(FORBIDDEN.search(cleaner.feed(piece)) for piece in pieces)
    assert not FORBIDDEN.search(cleaner.end())


def test_a_sequence_that_never_ends_does_not_hide_the_answer() -> None:
    cleaner = Cleaner()
    shown = cleaner.feed("\x1b]0;" + "x" * HELD_BACK) + cleaner.feed(" and the answer")
    assert shown.endswith(" and the answer")
    assert "\x1b" not in shown
