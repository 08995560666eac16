"""A step that nobody needs any longer is given up in its midst, and leaves nothing wrong behind."""

import threading

import pytest
from engine_fakes import WAIT, FakeBackend, FakeSink, ask, assert_settled

from localmind.engine.loop import Loop
from localmind.errors import Cancelled, ShuttingDown


class Slow:
    """Makes the wanted step of a backend last until it is interrupted, or until it is let go."""

    def __init__(self, backend: FakeBackend, number: int = 0) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self.codes: list[int] = []
        self._backend, self._number, self._steps = backend, number, 0
        backend.before_step = self

    def __call__(self, rows) -> int:
        self._steps += 1
        if self._steps - 1 != self._number:
            return 0
        self.reached.set()
        while not (self._backend.interrupted.wait(0.01) or self.go.is_set()):
            pass
        self.codes.append(2 if self._backend.interrupted.is_set() else 0)
        return self.codes[-1]


@pytest.mark.parametrize("kind", ["any_prefix", "whole"])
@pytest.mark.parametrize("number", [0, 1, 4], ids=["prefill", "later", "decode"])
def test_the_step_of_a_request_that_was_cancelled_ends_at_once(loops, kind, number):
    backend = FakeBackend(b"x" * 100, kind=kind)
    slow = Slow(backend, number)
    loops.append(loop := Loop(backend))
    victim, after = FakeSink(), FakeSink()
    sequence = loop.submit(ask(80, ord("v")), victim)
    assert slow.reached.wait(WAIT)
    loop.cancel(sequence)
    assert isinstance(victim.wait().error, Cancelled)
    assert slow.codes == [2]
    backend.answer = b"hello"
    loop.submit(ask(80, ord("v")), after)  # its beginning may be what the other one left
    assert (after.wait().answer, after.error) == ("hello", None)
    assert_settled(loop, backend)


def test_a_step_goes_on_for_a_neighbour_when_one_of_two_is_cancelled(loops):
    backend = FakeBackend()
    slow = Slow(backend, 1)
    loops.append(loop := Loop(backend))
    victim, other = FakeSink(), FakeSink()
    started = threading.Event()
    loop.call_soon(lambda: started.wait(WAIT))  # both are there before the first step
    sequence = loop.submit(ask(2, ord("v"), max_tokens=20), victim)
    loop.submit(ask(2, ord("o"), max_tokens=20), other)
    started.set()
    assert slow.reached.wait(WAIT)
    loop.cancel(sequence)
    assert not backend.interrupted.wait(0.05)
    slow.go.set()
    assert isinstance(victim.wait().error, Cancelled)
    assert (other.wait().answer, other.error) == ("hello", None)
    assert slow.codes == [0]
    assert_settled(loop, backend)


def test_a_step_ends_at_once_when_everything_is_stopped(loops):
    backend = FakeBackend()
    slow = Slow(backend)
    loop = Loop(backend)
    sink = FakeSink()
    loop.submit(ask(20), sink)
    assert slow.reached.wait(WAIT)
    assert loop.stop(WAIT)
    assert isinstance(sink.wait().error, ShuttingDown)
    assert slow.codes == [2]
    assert backend.closed


def test_an_interruption_does_not_reach_the_next_step(loops):
    backend = FakeBackend()
    slow = Slow(backend)
    loops.append(loop := Loop(backend))
    victim, other = FakeSink(), FakeSink()
    sequence = loop.submit(ask(20), victim)
    assert slow.reached.wait(WAIT)
    loop.cancel(sequence)
    loop.cancel(sequence)
    loop.submit(ask(20), other)
    assert (other.wait().answer, other.error) == ("hello", None)
    assert not backend.interrupted.is_set()
