"""How answers end, and what comes along with their text: logprobs, drafts, stop strings."""

import pytest
from engine_fakes import FakeBackend, FakeSink, Gate, ask, assert_settled

from localmind.engine.loop import Limits, Loop


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


def test_an_answer_that_is_complete_ends_well_though_the_model_would_go_on(loops):
    backend = FakeBackend(b"x" * 200)
    gate = Gate(backend)
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    sequence = loop.submit(ask(4), sink)
    for _ in range(3):
        gate.await_step()
        gate.let_one_pass()
    gate.await_step()
    loop.end(sequence)
    loop.end(sequence)
    gate.open()
    assert sink.wait().error is None
    assert sink.outcome.finish_reason == "stop"
    assert sink.answer == "x" * sink.outcome.usage.completion_tokens
    assert sink.ends == 1
    loop.cancel(sequence)
    assert_settled(loop, backend)
    assert sink.ends == 1


def test_what_a_stop_string_held_back_comes_out_when_it_was_none(loops):
    loops.append(loop := Loop(FakeBackend(b"one EN")))
    sink = FakeSink()
    loop.submit(ask(1, stop=(" END",)), sink)
    assert sink.wait().answer == "one EN"


@pytest.mark.parametrize("stop", [(), ("no such thing",), ("b c",)], ids=["none", "elsewhere", "here"])
def test_logprobs_come_with_the_text_that_their_tokens_complete(loops, stop):
    loops.append(loop := Loop(FakeBackend("a😀b c".encode())))
    sink = FakeSink()
    loop.submit(ask(1, logprobs=0, stop=stop), sink)
    sink.wait()
    seen = b""
    for text, logprobs in sink.logprobs:
        data = b"".join(each.chosen.bytes for each in logprobs)
        if not stop:
            assert data.decode() == text
        seen += data
        assert seen.decode(errors="ignore").startswith("".join(sink.texts[: sink.texts.index(text)]))
    assert seen.decode() == "a😀b c"
    assert sink.answer == ("a😀" if stop == ("b c",) else "a😀b c")


def test_without_being_asked_for_no_logprobs_are_computed(backend, loops):
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    loop.submit(ask(1), sink)
    assert all(logprobs == () for _, logprobs in sink.wait().logprobs)


@pytest.mark.parametrize(
    "answer", [b"abcd" * 20, b"abcdabcdabceabceabcfabcg" * 3, bytes(range(97, 123)) * 3], ids=["same", "edits", "long"]
)
def test_drafts_accepted_or_not_give_the_text_that_comes_without_them(loops, answer):
    texts, accepted, drafted, steps = [], [], [], []
    for speculate in (False, True):
        backend = FakeBackend(answer, n_ctx=512, free_drafts=True)
        loops.append(loop := Loop(backend, Limits(speculate=speculate)))
        sinks = [FakeSink(), FakeSink()]
        for sink in sinks:
            loop.submit(ask(20, logprobs=0), sink)
        texts += [sink.wait().answer for sink in sinks]
        for sink in sinks:
            assert b"".join(each.chosen.bytes for _, some in sink.logprobs for each in some) == answer
            assert sink.outcome.usage.completion_tokens == len(answer) + 1
        drafted.append(sum(sink.outcome.timings.drafted_tokens for sink in sinks))
        accepted.append(sum(sink.outcome.timings.accepted_tokens for sink in sinks))
        steps.append(len(backend.steps))
        assert_settled(loop, backend)
    assert texts == [answer.decode()] * 4
    assert drafted[0] == accepted[0] == 0 < accepted[1] <= drafted[1]
    assert steps[1] < steps[0]


def test_an_answer_ends_inside_a_draft_where_it_would_end_without(loops):
    for params in ({"max_tokens": 30}, {"stop": ("dabcda",)}):
        texts = []
        for speculate in (False, True):
            backend = FakeBackend(b"abcdefghabcdefghabcdefghabcdabcdabcd", free_drafts=True)
            loops.append(loop := Loop(backend, Limits(speculate=speculate)))
            sink = FakeSink()
            loop.submit(ask(20, **params), sink)
            texts.append((sink.wait().answer, sink.outcome.finish_reason, sink.outcome.usage))
            assert_settled(loop, backend)
        assert texts[0] == texts[1]
