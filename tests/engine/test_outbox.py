"""The outbox: order, texts that leave together, and what must not wait for them."""

import threading
from collections.abc import Sequence
from contextlib import contextmanager

from hypothesis import given
from hypothesis import strategies as st

from localmind.engine.generation import Outcome
from localmind.engine.outbox import Outbox, Text, joined
from localmind.errors import InternalError, LocalmindError
from localmind.events import TokenLogprob

LONG_S = 600.0
"""A linger that no test lives through: what arrives did not wait for it."""


class Notes:
    """A Sink that keeps what it hears and can be waited for."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.arrived = threading.Event()
        self.ended = threading.Event()

    def text(self, text: str, logprobs: Sequence[TokenLogprob]) -> None:
        self.heard.append(text)
        self.arrived.set()

    def done(self, outcome: Outcome) -> None:
        raise AssertionError("not used here")

    def failed(self, error: LocalmindError) -> None:
        self.heard.append("!")
        self.ended.set()

    def says(self, text: str, *, first: bool = False) -> Text:
        return Text(self, text, (), first)

    def ends(self) -> None:
        self.failed(InternalError("over"))


def test_the_first_text_of_an_answer_leaves_at_once_and_the_next_ones_together_with_the_end():
    notes, outbox = Notes(), Outbox(linger_s=LONG_S)
    outbox.post([notes.says("a", first=True)])
    assert notes.arrived.wait(60)
    outbox.post([notes.says("b")])
    outbox.post([notes.says("c")])
    outbox.post([notes.ends])
    assert notes.ended.wait(60)
    assert notes.heard == ["a", "bc", "!"]
    outbox.close(60)


def test_a_first_text_takes_along_what_waits_of_others():
    old, new, outbox = Notes(), Notes(), Outbox(linger_s=LONG_S)
    outbox.post([old.says("a", first=True)])
    assert old.arrived.wait(60)
    outbox.post([old.says("b")])
    outbox.post([new.says("x", first=True), old.says("c")])
    assert new.arrived.wait(60)
    outbox.close(60)
    assert (old.heard, new.heard) == (["a", "bc"], ["x"])


def test_a_text_after_a_pause_does_not_wait():
    notes, outbox = Notes(), Outbox(linger_s=0.0)
    for text in ("a", "b"):
        notes.arrived.clear()
        outbox.post([notes.says(text)])
        assert notes.arrived.wait(60)
    outbox.close(60)
    assert notes.heard == ["a", "b"]


def test_texts_wait_no_longer_than_the_linger():
    notes, outbox = Notes(), Outbox(linger_s=0.01)
    outbox.post([notes.says("a", first=True)])
    assert notes.arrived.wait(60)
    notes.arrived.clear()
    outbox.post([notes.says("b")])
    assert notes.arrived.wait(60)
    outbox.close(60)


def test_closing_delivers_what_waits():
    notes, outbox = Notes(), Outbox(linger_s=LONG_S)
    outbox.post([notes.says("a", first=True)])
    outbox.post([notes.says("b")])
    outbox.close(60)
    assert "".join(notes.heard) == "ab"


def test_an_answer_that_cannot_be_delivered_holds_up_no_other():
    notes, outbox = Notes(), Outbox()

    def broken() -> None:
        raise ValueError("nobody home")

    outbox.post([broken, notes.says("a", first=True)])
    outbox.close(60)
    assert notes.heard == ["a"]


def test_what_leaves_together_is_inside_one_context():
    entered = 0

    @contextmanager
    def together():
        nonlocal entered
        entered += 1
        yield

    one, other, outbox = Notes(), Notes(), Outbox(together, linger_s=LONG_S)
    outbox.post([one.says("a", first=True), other.says("x", first=True)])
    assert other.arrived.wait(60)
    assert entered == 1
    outbox.close(60)


@given(st.lists(st.tuples(st.integers(0, 3), st.text(min_size=1, max_size=3))))
def test_joining_keeps_every_answer_whole_and_in_order(said):
    sinks = [Notes() for _ in range(4)]
    deliveries = [sinks[which].says(text) for which, text in said]
    for delivery in [*joined(deliveries), *(sink.ends for sink in sinks)]:
        delivery()
    for which, sink in enumerate(sinks):
        assert "".join(sink.heard) == "".join(text for other, text in said if other == which) + "!"
        assert len(sink.heard) <= 2
