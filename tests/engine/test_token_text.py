"""Text out of token bytes: however the bytes are cut, the same text comes out."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from localmind.engine.text import TextStream


def through(pieces: list[bytes], stops: list[str]) -> tuple[str, bool]:
    stream = TextStream(stops)
    text = "".join(stream.push(piece) for piece in pieces) + stream.finish()
    return text, stream.stopped


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


texts = st.text(alphabet=st.sampled_from("ab\n é😀\u200d中"), max_size=40)
stop_lists = st.lists(st.text(alphabet=st.sampled_from("ab\né😀"), max_size=4), max_size=4)


@given(texts, stop_lists, st.lists(st.integers(0, 200), max_size=12))
@example("xabc", ["abc", "b"], [2, 3])
def test_any_split_of_any_text_gives_the_same_text_as_no_split(text, stops, places):
    data = text.encode()
    assert through(cut(data, places), stops) == through([data], stops)


@given(st.binary(max_size=40), st.lists(st.integers(0, 200), max_size=12))
def test_broken_utf8_is_replaced_the_same_way_whatever_the_split(data, places):
    assert through(cut(data, places), [])[0] == data.decode("utf-8", "replace")


@given(texts, stop_lists)
def test_no_stop_string_ever_comes_out_and_nothing_else_is_lost(text, stops):
    shown, stopped = through([bytes([byte]) for byte in text.encode()], stops)
    real = [stop for stop in stops if stop]
    assert text.startswith(shown)
    assert not any(stop in shown for stop in real)
    assert stopped == any(stop in text for stop in real)
    if not stopped:
        assert shown == text


def test_an_emoji_comes_out_whole_with_its_last_byte():
    stream = TextStream()
    assert [stream.push(bytes([byte])) for byte in "😀".encode()] == ["", "", "", "😀"]


def test_a_possible_stop_string_is_held_back_and_given_out_when_it_was_none():
    stream = TextStream(["\n\nUser:"])
    assert stream.push(b"Hi") == "Hi"
    assert stream.push(b"\n\nUs") == ""
    assert stream.push(b"e less") == "\n\nUse less"
    assert not stream.stopped


def test_text_after_the_stop_string_is_swallowed():
    stream = TextStream(["END"])
    assert stream.push(b"one EN") == "one "
    assert stream.push(b"D two") == ""
    assert stream.stopped
    assert stream.push(b"three") == ""
    assert stream.finish() == ""


def test_a_character_that_is_cut_by_the_end_becomes_a_replacement_character():
    stream = TextStream()
    assert stream.push("é".encode()[:1]) == ""
    assert stream.finish() == "\ufffd"
