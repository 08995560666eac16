"""Partial text that settles: what was shown as settled is never taken back."""

from hypothesis import given
from hypothesis import strategies as st

from localmind.voice.agreement import Agreement


def test_words_settle_when_two_passes_agree() -> None:
    text = Agreement()
    text.add("the boiler")
    assert (text.settled, text.tentative) == ("", "the boiler")
    text.add("The boiler in")
    assert (text.settled, text.tentative) == ("The boiler", "in")
    text.add("the boiler, in the kit")
    assert text.settled == "The boiler in"


def test_the_last_word_may_be_cut_and_does_not_settle() -> None:
    text = Agreement()
    text.add("call the dent")
    text.add("call the dent")
    assert (text.settled, text.tentative) == ("call the", "dent")


def test_a_pass_that_disagrees_takes_nothing_back() -> None:
    text = Agreement()
    text.add("one two three four")
    text.add("one two three four")
    assert text.settled == "one two three"
    text.add("won too free for")
    assert (text.settled, text.tentative) == ("one two three", "for")


WORDS = st.lists(st.sampled_from(["a", "b", "c", "A,", "d."]), max_size=8).map(" ".join)


@given(st.lists(WORDS, max_size=12))
def test_settled_text_only_ever_grows(passes: list[str]) -> None:
    text, before = Agreement(), ""
    for each in passes:
        text.add(each)
        assert text.settled.startswith(before)
        before = text.settled
