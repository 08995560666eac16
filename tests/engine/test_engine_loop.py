"""The loop over a backend without a model: cancelling, failing, bounds and order."""

import threading
from collections.abc import Iterator

import pytest
from engine_fakes import WAIT, FakeBackend, FakeSink, prompt

from localmind.engine.loop import Loop
from localmind.engine.sequence import State
from localmind.errors import Cancelled, ContextTooLong, InternalError, QueueFull, ShuttingDown
from localmind.messages import SamplingParams


class Gate:
    """Stops the loop before each step until the test lets it go on."""

    def __init__(self, backend: FakeBackend) -> None:
        self.arrived = threading.Semaphore(0)
        self._permits = threading.Semaphore(0)
        self._open = False
        backend.before_step = self._wait

    def _wait(self, rows) -> int:
        self.arrived.release()
        if not self._open:
            assert self._permits.acquire(timeout=WAIT)
        return 0

    def await_step(self) -> None:
        """Return once the loop is inside a step (its rows are chosen)."""
        assert self.arrived.acquire(timeout=WAIT)

    def let_one_pass(self) -> None:
        self._permits.release()

    def open(self) -> None:
        self._open = True
        self._permits.release(1000)


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def loops() -> Iterator[list[Loop]]:
    started: list[Loop] = []
    yield started
    for loop in started:
        assert loop.stop(WAIT)


def state_of(loop: Loop) -> dict:
    found, came = {}, threading.Event()

    def then(state: dict) -> None:
        found.update(state)
        came.set()

    loop.inspect(then)
    assert came.wait(WAIT)
    return found


def assert_empty(loop: Loop, backend: FakeBackend) -> None:
    """No cell is in use, neither in the ledger nor in the memory."""
    state_of(loop)
    assert state_of(loop)["cells_used"] == 0  # the second answer comes after the step that cleared
    assert backend.memory == {}
    assert all(sampler.closed for sampler in backend.samplers)


def test_the_answer_streams_and_ends_with_counts_and_times(backend, loops):
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    loop.submit(prompt(7), SamplingParams(), sink)
    sink.wait()
    assert sink.texts == list("hello")
    assert sink.outcome.finish_reason == "stop"
    assert (sink.outcome.usage.prompt_tokens, sink.outcome.usage.completion_tokens) == (7, 6)
    assert min(sink.outcome.timings.queue_ms, sink.outcome.timings.prefill_ms, sink.outcome.timings.decode_ms) >= 0


def test_max_tokens_ends_with_length(backend, loops):
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    loop.submit(prompt(7), SamplingParams(max_tokens=3), sink)
    assert (sink.wait().answer, sink.outcome.finish_reason) == ("hel", "length")


def test_the_end_of_the_context_ends_with_length(loops):
    loops.append(loop := Loop(FakeBackend(b"x" * 100, n_ctx=64)))
    sink = FakeSink()
    loop.submit(prompt(60), SamplingParams(), sink)
    assert (sink.wait().answer, sink.outcome.finish_reason) == ("xxxx", "length")


def test_a_stop_string_over_token_borders_ends_with_stop_and_is_not_shown(loops):
    loops.append(loop := Loop(FakeBackend(b"one END two")))
    sink = FakeSink()
    loop.submit(prompt(1), SamplingParams(stop=(" END",)), sink)
    assert (sink.wait().answer, sink.outcome.finish_reason) == ("one", "stop")


def test_an_emoji_over_token_borders_comes_out_as_one_text(loops):
    loops.append(loop := Loop(FakeBackend("a😀b".encode())))
    sink = FakeSink()
    loop.submit(prompt(1), SamplingParams(), sink)
    assert sink.wait().texts == ["a", "😀", "b"]


def test_several_requests_are_decoded_in_one_batch(backend, loops):
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    sinks = [FakeSink() for _ in range(4)]
    loop.submit(prompt(3), SamplingParams(max_tokens=20), sinks[0])
    gate.await_step()
    for sink in sinks[1:]:
        loop.submit(prompt(3), SamplingParams(max_tokens=20), sink)
    gate.open()
    assert [sink.wait().answer for sink in sinks] == ["hello"] * 4
    assert max(len(step) for step in backend.steps) == 4
    assert_empty(loop, backend)


@pytest.mark.parametrize(
    ("steps", "state"), [(0, State.PREFILL), (2, State.PREFILL), (3, State.DECODE)], ids=["prefill", "later", "decode"]
)
def test_cancelling_in_prefill_or_decode_frees_the_cells_and_leaves_the_others_alone(backend, loops, steps, state):
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    other, victim = FakeSink(), FakeSink()
    loop.submit(prompt(2), SamplingParams(max_tokens=20), other)
    gate.await_step()
    sequence = loop.submit(
        prompt(80), SamplingParams(max_tokens=20), victim
    )  # three steps of 31 beside the other's decode row
    gate.let_one_pass()
    for _ in range(steps):
        gate.await_step()
        gate.let_one_pass()
    gate.await_step()
    seen = sequence.state
    loop.cancel(sequence)
    gate.open()
    assert seen is state
    assert isinstance(victim.wait().error, Cancelled)
    assert (other.wait().answer, other.error) == ("hello", None)
    assert_empty(loop, backend)


def test_cancelling_in_the_queue_never_evaluates_anything(loops):
    backend = FakeBackend(n_slots=1)
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    first, victim = FakeSink(), FakeSink()
    loop.submit(prompt(2), SamplingParams(), first)
    gate.await_step()
    sequence = loop.submit(prompt(2), SamplingParams(), victim)
    loop.cancel(sequence)
    loop.cancel(sequence)
    gate.open()
    assert isinstance(victim.wait().error, Cancelled)
    first.wait()
    assert sequence.number not in {number for step in backend.steps for number, _ in step}


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(backend, loops):
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    with pytest.raises(ContextTooLong, match=r"256.*256"):
        loop.submit(prompt(256), SamplingParams(), sink)
    assert not sink.ended.is_set()


def test_one_sequence_never_outgrows_what_the_model_was_trained_for_however_large_the_pool(loops):
    backend = FakeBackend(b"x" * 100, n_ctx=256)
    backend.n_ctx_seq = 64
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    loop.submit(prompt(60), SamplingParams(), sink)
    assert (sink.wait().answer, sink.outcome.finish_reason) == ("xxxx", "length")
    with pytest.raises(ContextTooLong, match=r"64.*64"):
        loop.submit(prompt(64), SamplingParams(), FakeSink())


def test_the_queue_is_bounded_and_says_so(loops):
    backend = FakeBackend(n_slots=1)
    gate = Gate(backend)
    loops.append(loop := Loop(backend, max_queued=3))
    sinks = [FakeSink() for _ in range(4)]
    loop.submit(prompt(2), SamplingParams(), sinks[0])
    gate.await_step()
    for sink in sinks[1:]:
        loop.submit(prompt(2), SamplingParams(), sink)
    with pytest.raises(QueueFull):
        loop.submit(prompt(2), SamplingParams(), FakeSink())
    gate.open()
    assert [sink.wait().answer for sink in sinks] == ["hello"] * 4


@pytest.mark.parametrize("code", [-1, -3, 2])
def test_a_failed_native_call_ends_only_the_rows_that_were_in_it(loops, code):
    backend = FakeBackend(n_slots=1)
    codes = iter([0, 0, code])
    backend.before_step = lambda rows: next(codes, 0)
    loops.append(loop := Loop(backend))
    unlucky, waiting = FakeSink(), FakeSink()
    loop.submit(prompt(2), SamplingParams(), unlucky)
    loop.submit(prompt(2), SamplingParams(), waiting)
    assert isinstance(unlucky.wait().error, InternalError)
    assert (waiting.wait().answer, waiting.error) == ("hello", None)


def test_no_cells_makes_the_youngest_wait_and_fails_nobody(backend, loops):
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    sinks = [FakeSink() for _ in range(3)]
    loop.submit(prompt(10), SamplingParams(max_tokens=20), sinks[0])
    gate.await_step()
    for sink in sinks[1:]:
        loop.submit(prompt(10), SamplingParams(max_tokens=20), sink)
    codes = iter([0, 1, 1, 0])
    backend.before_step = lambda rows: next(codes, 0)
    gate.open()
    assert [sink.wait().answer for sink in sinks] == ["hello"] * 3
    assert [sink.error for sink in sinks] == [None] * 3


def test_a_mistake_in_one_sequence_ends_that_one_only(backend, loops):
    class BrokenSink(FakeSink):
        def text(self, text: str) -> None:
            raise RuntimeError("the pipe is gone")

    loops.append(loop := Loop(backend))
    broken, well = BrokenSink(), FakeSink()
    loop.submit(prompt(2), SamplingParams(), broken)
    loop.submit(prompt(2), SamplingParams(), well)
    assert isinstance(broken.wait().error, InternalError)
    assert well.wait().answer == "hello"


def test_an_exception_in_a_step_ends_its_requests_and_the_loop_goes_on(backend, loops):
    def explode(rows) -> int:
        backend.before_step = lambda rows: 0
        raise RuntimeError("boom")

    backend.before_step = explode
    loops.append(loop := Loop(backend))
    first, second = FakeSink(), FakeSink()
    loop.submit(prompt(2), SamplingParams(), first)
    assert isinstance(first.wait().error, InternalError)
    loop.submit(prompt(2), SamplingParams(), second)
    assert second.wait().answer == "hello"


def test_stopping_ends_what_runs_and_what_waits_and_frees_the_model(backend):
    gate = Gate(backend)
    loop = Loop(backend)
    sinks = [FakeSink() for _ in range(6)]
    for sink in sinks:
        loop.submit(prompt(2), SamplingParams(), sink)
    gate.await_step()
    assert loop.busy_seconds() > 0
    gate.open()
    assert loop.stop(WAIT)
    for sink in sinks:
        assert isinstance(sink.wait().error, ShuttingDown) or sink.answer == "hello"
    assert backend.closed
    assert loop.busy_seconds() == 0.0
    with pytest.raises(ShuttingDown):
        loop.submit(prompt(2), SamplingParams(), FakeSink())


def test_the_state_names_every_sequence_with_its_cells(backend, loops):
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    sinks = [FakeSink(), FakeSink()]
    loop.submit(prompt(5), SamplingParams(), sinks[0], client="tui")
    gate.await_step()
    gate.let_one_pass()
    gate.await_step()
    state, came = {}, threading.Event()
    loop.inspect(lambda found: (state.update(found), came.set()))
    gate.open()
    assert came.wait(WAIT)
    assert (state["running"], state["queued"], state["n_ctx"]) == (1, 0, 256)
    (sequence,) = state["sequences"]
    assert (sequence["client"], sequence["prompt_tokens"]) == ("tui", 5)
    assert sequence["cells"] == state["cells_used"] == 6
    sinks[0].wait()
