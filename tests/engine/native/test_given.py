"""Prompts whose own likelihood is wanted: scored in few steps, without being taken for an answer."""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_caller import PLAN, Caller, FakeReply
from engine_fakes import END, FakeBackend, FakeSink, prompt

from localmind.engine.generation import Ask
from localmind.engine.loop import Loop
from localmind.engine.worker import EngineWorker, create
from localmind.errors import ContextTooLong, InvalidRequest
from localmind.messages import SamplingParams

PROMPT = array("i", b"the boiler has a red button".ljust(40, b".")) + array("i", [END])


def scored(given: "array[int]" = PROMPT, **params: object) -> Ask:
    return Ask(given[:1], SamplingParams(logprobs=1, **params), given=given[1:])


@pytest.mark.parametrize("kind", ["any_prefix", "whole"])
@pytest.mark.parametrize("free_drafts", [False, True])
def test_a_prompt_is_scored_sixteen_tokens_a_step_and_then_answered(loops, kind: str, free_drafts: bool) -> None:
    backend = FakeBackend(b"hello", kind=kind, free_drafts=free_drafts)
    loops.append(loop := Loop(backend))
    sink = FakeSink()
    loop.submit(scored(stop=("red",)), sink)
    sink.wait()
    assert sink.error is None
    ids = [token.chosen.id for _, tokens in sink.logprobs for token in tokens]
    assert ids[: len(PROMPT) - 1] == list(PROMPT[1:]), "also the end token of the prompt ends nothing"
    assert sink.outcome.usage.prompt_tokens == len(PROMPT)
    assert sink.outcome.usage.completion_tokens == len("hello") + 1
    assert (sink.answer, sink.outcome.finish_reason) == ("hello", "stop")
    assert len(backend.steps[:4]) == 4
    assert sum(tokens for step in backend.steps[:4] for _, tokens in step) >= len(PROMPT)


def test_without_any_answer_it_ends_behind_the_prompt(loops) -> None:
    loops.append(loop := Loop(FakeBackend(b"hello")))
    sink = FakeSink()
    loop.submit(scored(max_tokens=0), sink)
    sink.wait()
    assert (sink.answer, sink.outcome.finish_reason) == ("", "length")
    assert sum(len(tokens) for _, tokens in sink.logprobs) == len(PROMPT) - 1
    assert (sink.outcome.usage.prompt_tokens, sink.outcome.usage.completion_tokens) == (len(PROMPT), 0)
    assert sink.outcome.timings.drafted_tokens == 0


def test_what_is_given_counts_as_prompt_where_the_context_is_too_small(loops) -> None:
    loops.append(loop := Loop(FakeBackend(n_ctx=64)))
    with pytest.raises(ContextTooLong) as refused:
        loop.submit(scored(prompt(64), max_tokens=0), FakeSink())
    assert refused.value.numbers == {"n_prompt_tokens": 64, "n_ctx": 64}


@pytest.fixture
def tiny(tiny_model: Callable[[str], Path]) -> Iterator[Caller]:
    worker = create()
    assert isinstance(worker, EngineWorker)
    caller = Caller(worker)
    caller.ask("load", path=str(tiny_model("llama")), plan=PLAN)
    yield caller
    worker.close()


def likely(reply: FakeReply) -> list[tuple[int, float]]:
    return [(token["chosen"]["id"], token["chosen"]["logprob"]) for token in reply.chosen]


def test_the_likelihoods_of_a_prompt_are_those_that_its_tokens_had_when_they_were_written(tiny: Caller) -> None:
    begun = tiny.ask("tokenize", text="the water of the people", add_special=True)
    sampling = {"temperature": 0.0, "ignore_eos": True, "logprobs": 2}
    written = tiny.start("generate", tokens=begun, sampling={**sampling, "max_tokens": 60}).wait()
    ids = [token for token, _ in likely(written)]
    params = {"tokens": begun + ids, "scored": True}
    read = tiny.start("generate", **params, sampling={**sampling, "max_tokens": 0}).wait()
    assert read.text == ""
    assert likely(read)[0][1] != likely(read)[0][1], "nothing is before the first token"
    assert [token for token, _ in likely(read)] == begun + ids
    for mine, its in zip(likely(read)[len(begun) :], likely(written), strict=True):
        assert mine[1] == pytest.approx(its[1], abs=0.02)
    usage = read.value["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (len(begun) + len(ids), 0)
    more = tiny.start("generate", **params, sampling={**sampling, "max_tokens": 3}).wait()
    assert len(likely(more)) == len(begun) + len(ids) + 3
    assert more.value["usage"]["completion_tokens"] == 3


def test_only_a_prompt_can_be_scored(tiny: Caller) -> None:
    said = [{"role": "user", "content": "hi"}]
    with pytest.raises(InvalidRequest, match="only a prompt"):
        tiny.ask("generate", messages=said, scored=True, sampling={"max_tokens": 0})
    with pytest.raises(InvalidRequest, match="below 1"):
        tiny.ask("generate", prompt="hi", sampling={"max_tokens": 0})
