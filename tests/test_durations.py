"""Durations as Ollama's clients send them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.durations import FOREVER, seconds, words


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (300, 300.0),
        (0, 0.0),
        (1.5, 1.5),
        ("300", 300.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("300ms", 0.3),
        ("0", 0.0),
        ("0s", 0.0),
        ("+2s", 2.0),
        (-1, FOREVER),
        ("-1", FOREVER),
        ("-1m", FOREVER),
        (" 10M ", 600.0),
    ],
)
def test_every_form_that_ollama_takes_means_the_same_here(written: str | float, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize("wrong", ["", "soon", "5 m", "5x", "m", "--1", "1e3", "5m!", "9" * 50, True, math.nan])
def test_anything_else_says_what_is_allowed(wrong: str | float) -> None:
    with pytest.raises(ValueError, match="10m or 1h30m"):
        seconds(wrong)


@given(st.text(max_size=60))
def test_no_text_does_worse_than_a_value_error(text: str) -> None:
    try:
        found = seconds(text)
    except ValueError:
        return
    assert found >= 0


def test_durations_in_words() -> None:
    assert [words(n) for n in (0, 45.4, 240, 5400, 7200, FOREVER, 300_000)] == [
        "0 s", "45 s", "4 min", "1 h 30 min", "2 h", "for ever", "3 d",
    ]  # fmt: skip
