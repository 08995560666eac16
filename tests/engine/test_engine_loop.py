"""The loop over a backend without a model: cancelling, failing, bounds and order."""

import threading

import pytest
from engine_fakes import WAIT, FakeBackend, FakeSink, Gate, ask, assert_settled
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.loop import Limits, Loop
from localmind.engine.sequence import State
from localmind.errors import Cancelled, ContextTooLong, InternalError, InvalidRequest, QueueFull, ShuttingDown


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


def test_the_answer_streams_and_ends_with_counts_and_times(backend, loops):
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    loop.submit(ask(7), sink)
    sink.wait()
    assert (sink.texts[0], sink.answer) == ("h", "hello")
    assert sink.outcome.finish_reason == "stop"
    assert (sink.outcome.usage.prompt_tokens, sink.outcome.usage.completion_tokens) == (7, 6)
    assert min(sink.outcome.timings.queue_ms, sink.outcome.timings.prefill_ms, sink.outcome.timings.decode_ms) >= 0


def test_max_tokens_ends_with_length(backend, loops):
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    loop.submit(ask(7, max_tokens=3), sink)
    assert (sink.wait().answer, sink.outcome.finish_reason) == ("hel", "length")


def test_the_end_of_the_context_ends_with_length(loops):
    loops.append(loop := Loop(FakeBackend(b"x" * 100, n_ctx=64)))
    sink = FakeSink()
    loop.submit(ask(60), sink)
    assert (sink.wait().answer, sink.outcome.finish_reason) == ("xxxx", "length")


def test_a_stop_string_over_token_borders_ends_with_stop_and_is_not_shown(loops):
    loops.append(loop := Loop(FakeBackend(b"one END two")))
    sink = FakeSink()
    loop.submit(ask(1, stop=(" END",)), sink)
    assert (sink.wait().answer, sink.outcome.finish_reason) == ("one", "stop")


def test_an_emoji_over_token_borders_comes_out_as_one_text(loops):
    loops.append(loop := Loop(FakeBackend("a😀b".encode())))
    sink = FakeSink()
    loop.submit(ask(1), sink)
    assert sink.wait().answer == "a😀b"


def test_several_requests_are_decoded_in_one_batch(backend, loops):
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    sinks = [FakeSink() for _ in range(4)]
    loop.submit(ask(3, max_tokens=20), sinks[0])
    gate.await_step()
    for sink in sinks[1:]:
        loop.submit(ask(3, max_tokens=20), sink)
    gate.open()
    assert [sink.wait().answer for sink in sinks] == ["hello"] * 4
    assert max(len(step) for step in backend.steps) == 4
    assert_settled(loop, backend)


@pytest.mark.parametrize(
    ("steps", "state", "told"),
    [(0, State.PREFILL, [None, None]), (2, State.PREFILL, [80, 1]), (3, State.DECODE, [80, 2])],
    ids=["prefill", "its last step", "decode"],
)
def test_cancelling_in_prefill_or_decode_frees_the_cells_and_leaves_the_others_alone(
    backend, loops, steps, state, told
):
    """What it cost is told once there is a word of it; the step under way counts."""
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    other, victim = FakeSink(), FakeSink()
    loop.submit(ask(2, max_tokens=20), other)
    gate.await_step()
    sequence = loop.submit(ask(80, ord("v"), max_tokens=20), victim)  # three steps of 31 beside the other's decode row
    gate.let_one_pass()
    for _ in range(steps):
        gate.await_step()
        gate.let_one_pass()
    gate.await_step()
    seen = sequence.state
    loop.cancel(sequence)
    gate.open()
    assert seen is state
    error = victim.wait().error
    assert isinstance(error, Cancelled)
    assert [error.numbers.get(name) for name in ("prompt_tokens", "completion_tokens")] == told
    assert (other.wait().answer, other.error) == ("hello", None)
    assert_settled(loop, backend)


def test_cancelling_in_the_queue_never_evaluates_anything(loops):
    backend = FakeBackend(max_running=1)
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    first, victim = FakeSink(), FakeSink()
    loop.submit(ask(2), first)
    gate.await_step()
    sequence = loop.submit(ask(2), victim)
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
        loop.submit(ask(256), sink)
    assert not sink.ended.is_set()


def test_one_sequence_never_outgrows_what_the_model_was_trained_for_however_large_the_pool(loops):
    backend = FakeBackend(b"x" * 100, n_ctx=256)
    backend.n_ctx_seq = 64
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    loop.submit(ask(60), sink)
    assert (sink.wait().answer, sink.outcome.finish_reason) == ("xxxx", "length")
    with pytest.raises(ContextTooLong, match=r"64.*64"):
        loop.submit(ask(64), FakeSink())


def test_the_queue_is_bounded_and_says_so(loops):
    backend = FakeBackend(max_running=1)
    gate = Gate(backend)
    loops.append(loop := Loop(backend, Limits(max_queued=3)))
    sinks = [FakeSink() for _ in range(4)]
    loop.submit(ask(2), sinks[0])
    gate.await_step()
    for sink in sinks[1:]:
        loop.submit(ask(2), sink)
    with pytest.raises(QueueFull):
        loop.submit(ask(2), FakeSink())
    gate.open()
    assert [sink.wait().answer for sink in sinks] == ["hello"] * 4


@pytest.mark.parametrize("code", [-2, -3, 2])
def test_a_failed_native_call_ends_only_the_rows_that_were_in_it(loops, code):
    backend = FakeBackend(max_running=1)
    codes = iter([0, 0, code])
    backend.before_step = lambda rows: next(codes, 0)
    loops.append(loop := Loop(backend))
    unlucky, waiting = FakeSink(), FakeSink()
    loop.submit(ask(2), unlucky)
    loop.submit(ask(2), waiting)
    assert isinstance(unlucky.wait().error, InternalError)
    assert (waiting.wait().answer, waiting.error) == ("hello", None)


def test_no_cells_makes_the_youngest_wait_and_fails_nobody(backend, loops):
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    sinks = [FakeSink() for _ in range(3)]
    loop.submit(ask(10, max_tokens=20), sinks[0])
    gate.await_step()
    for sink in sinks[1:]:
        loop.submit(ask(10, max_tokens=20), sink)
    codes = iter([0, 1, 1, 0])
    backend.before_step = lambda rows: next(codes, 0)
    gate.open()
    assert [sink.wait().answer for sink in sinks] == ["hello"] * 3
    assert [sink.error for sink in sinks] == [None] * 3


def test_a_batch_that_llama_cpp_refuses_is_made_again_from_tokens_and_the_answer_is_the_same(backend, loops):
    codes = iter([0, 0, -1])
    backend.before_step = lambda rows: next(codes, 0)
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    loop.submit(ask(40, max_tokens=20), sink)
    assert (sink.wait().answer, sink.error) == ("hello", None)
    assert sink.outcome.usage.completion_tokens == 6
    assert_settled(loop, backend)


def test_a_batch_that_is_refused_again_ends_its_rows_and_the_next_request_is_served(backend, loops):
    codes = iter([-1, -1])
    backend.before_step = lambda rows: next(codes, 0)
    loops.append(loop := Loop(backend))
    unlucky, next_one = FakeSink(), FakeSink()
    loop.submit(ask(10), unlucky)
    assert isinstance(unlucky.wait().error, InternalError)
    loop.submit(ask(10), next_one)
    assert next_one.wait().answer == "hello"
    assert_settled(loop, backend)


def test_an_answer_that_cannot_be_delivered_holds_up_no_other(backend, loops):
    class BrokenSink(FakeSink):
        def text(self, text, logprobs) -> None:
            raise RuntimeError("the pipe is gone")

    loops.append(loop := Loop(backend))
    broken, well = BrokenSink(), FakeSink()
    loop.submit(ask(2), broken)
    loop.submit(ask(2), well)
    assert well.wait().answer == "hello"
    assert broken.wait().answer == ""
    assert_settled(loop, backend)


@pytest.mark.parametrize("error", [RuntimeError("a bad state"), InvalidRequest("no such thing")], ids=["bug", "typed"])
def test_a_sampler_that_raises_ends_its_own_request_and_no_other(loops, error):
    class Failing(FakeBackend):
        def next_token(self, history, place) -> int:
            if history[0] == ord("x") and place == 3:
                raise error
            return super().next_token(history, place)

    backend = Failing(b"hello world")
    loops.append(loop := Loop(backend))
    failing, well = FakeSink(), FakeSink()
    loop.submit(ask(30, ord("x")), failing)
    loop.submit(ask(30, ord("y")), well)
    wanted = InternalError if isinstance(error, RuntimeError) else InvalidRequest
    assert isinstance(failing.wait().error, wanted)
    assert failing.answer == "hel"
    assert well.wait().answer == "hello world"
    assert_settled(loop, backend)


def test_a_sampler_that_raises_over_a_draft_leaves_the_ledger_right(loops):
    class Failing(FakeBackend):
        fails_at = 25

        def next_token(self, history, place) -> int:
            if place == self.fails_at and len(self.steps[-1]) == 1 and self.steps[-1][0][1] > 1:
                self.fails_at = -1
                raise RuntimeError("a bad state")
            return super().next_token(history, place)

    backend = Failing(b"abcd" * 12, free_drafts=True)
    loops.append(loop := Loop(backend))
    failing, again = FakeSink(), FakeSink()
    loop.submit(ask(30), failing)
    assert isinstance(failing.wait().error, InternalError)
    assert backend.fails_at == -1, "the failure was behind a draft"
    loop.submit(ask(30), again)
    assert again.wait().answer == "abcd" * 12
    assert_settled(loop, backend)


def test_an_exception_in_a_step_ends_its_requests_and_the_loop_goes_on(backend, loops):
    def explode(rows) -> int:
        backend.before_step = lambda rows: 0
        raise RuntimeError("boom")

    backend.before_step = explode
    loops.append(loop := Loop(backend))
    first, second = FakeSink(), FakeSink()
    loop.submit(ask(2), first)
    assert isinstance(first.wait().error, InternalError)
    loop.submit(ask(2), second)
    assert second.wait().answer == "hello"


def test_stopping_ends_what_runs_and_what_waits_and_frees_the_model(backend):
    gate = Gate(backend)
    loop = Loop(backend)
    sinks = [FakeSink() for _ in range(6)]
    for sink in sinks:
        loop.submit(ask(2), sink)
    gate.await_step()
    assert loop.busy_seconds() > 0
    gate.open()
    assert loop.stop(WAIT)
    for sink in sinks:
        assert isinstance(sink.wait().error, ShuttingDown) or sink.answer == "hello"
    assert backend.closed
    assert loop.busy_seconds() == 0.0
    with pytest.raises(ShuttingDown):
        loop.submit(ask(2), FakeSink())


def test_the_state_names_every_sequence_with_its_cells(backend, loops):
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    sinks = [FakeSink(), FakeSink()]
    loop.submit(ask(5, client="tui"), sinks[0])
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


asked = st.lists(
    st.tuples(st.integers(1, 150), st.sampled_from(b"ab"), st.integers(1, 40), st.booleans(), st.booleans()),
    min_size=1,
    max_size=6,
)
codes = st.lists(st.sampled_from([0, 0, 0, 1, 2, -1, -3]), max_size=12)


@settings(deadline=None, max_examples=150)
@given(asked, codes, st.sampled_from(["any_prefix", "whole"]))
def test_whatever_llama_cpp_returns_every_request_ends_once_and_the_loop_serves_the_next(asked, codes, kind):
    backend = FakeBackend(b"abcabcabd" * 4, n_ctx=200, kind=kind, free_drafts=kind == "any_prefix")
    left = iter(codes)
    backend.before_step = lambda rows: next(left, 0)
    loop = Loop(backend, Limits(ram_bytes=150))
    sinks = []
    for length, first, max_tokens, background, cancelled in asked:
        sink = FakeSink()
        sequence = loop.submit(ask(length, first, background=background, max_tokens=max_tokens), sink)
        sinks.append((sink, max_tokens, cancelled))
        if cancelled:
            loop.cancel(sequence)
    for sink, max_tokens, cancelled in sinks:
        sink.wait()
        whole = backend.answer.decode()[:max_tokens]
        assert whole.startswith(sink.answer)
        if sink.error is None:
            assert sink.answer == whole
        else:
            assert isinstance(sink.error, InternalError) or cancelled
    if not any(codes):
        assert all(sink.error is None or cancelled for sink, _, cancelled in sinks)
    backend.before_step = lambda rows: 0
    last = FakeSink()
    loop.submit(ask(20), last)  # with room for the whole context
    assert last.wait().answer == backend.answer.decode()
    assert_settled(loop, backend)
    assert loop.stop(WAIT)
    assert [sink.ends for sink, _, _ in sinks] == [1] * len(sinks)


def test_an_empty_prompt_is_refused_before_it_reaches_the_loop(loops):
    loops.append(loop := Loop(FakeBackend()))
    with pytest.raises(InvalidRequest, match="empty"):
        loop.submit(ask(0), FakeSink())
    assert loop.busy_seconds() == 0.0
