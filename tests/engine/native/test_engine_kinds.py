"""The whole engine on tiny models of each kind of memory: reuse, sharing and parking never change an answer.

How many rows a step has changes the rounding of its numbers, and random weights now and then find two tokens equally
likely. So answers are the same if they agree up to a token for which that is so; a wrong cell is a hundred times more.
"""

import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from tiny import PLAN

from localmind.engine.generation import Ask, Outcome
from localmind.engine.loaded import Loaded, open_model
from localmind.engine.loop import Loop
from localmind.errors import LocalmindError
from localmind.events import TokenLogprob
from localmind.messages import SamplingParams

TIE = 0.01
"""Between two logarithms of likelihoods. Rounding moves them by 0.001."""

KINDS = ("llama", "swa", "recurrent", "hybrid")
WAIT = 30.0


class TokenSink:
    """Keeps the tokens of an answer, which its logprobs name."""

    def __init__(self) -> None:
        self.logprobs: list[TokenLogprob] = []
        self.outcome: Outcome | None = None
        self.error: LocalmindError | None = None
        self.ended = threading.Event()

    def text(self, text: str, logprobs: Sequence[TokenLogprob]) -> None:
        self.logprobs += logprobs

    def done(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.ended.set()

    def failed(self, error: LocalmindError) -> None:
        self.error = error
        self.ended.set()

    def wait(self) -> "TokenSink":
        assert self.ended.wait(WAIT)
        assert self.error is None, self.error
        return self

    @property
    def tokens(self) -> list[int]:
        return [logprob.chosen.id for logprob in self.logprobs]

    @property
    def cached(self) -> int:
        assert self.outcome is not None
        return self.outcome.usage.cached_tokens


class Engine:
    def __init__(self, path: Path, n_ctx: int = 1024) -> None:
        plan = replace(PLAN, n_ctx=n_ctx)
        self.loop = Loop(Loaded(open_model(path, plan, lambda _done: True), plan))

    def start(self, prompt: "array[int]", count: int, client: str = "") -> TokenSink:
        sink = TokenSink()
        params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True, logprobs=1)
        self.loop.submit(Ask(prompt, params, client=client), sink)
        return sink

    def answer(self, prompt: "array[int]", count: int = 16) -> TokenSink:
        return self.start(prompt, count).wait()

    def close(self) -> None:
        assert self.loop.stop(WAIT)


@pytest.fixture
def opened(tiny_model: Callable[[str], Path]) -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def open_(kind: str, n_ctx: int = 1024) -> Engine:
        engines.append(Engine(tiny_model(kind), n_ctx))
        return engines[-1]

    yield open_
    for engine in engines:
        engine.close()


def same(left: TokenSink, right: TokenSink) -> bool:
    """Whether two answers are, but for ties."""
    for one, other in zip(left.logprobs, right.logprobs, strict=True):
        if one.chosen.id != other.chosen.id:
            known = {alternative.id: alternative.logprob for alternative in (one.chosen, *one.top)}
            return abs(known.get(other.chosen.id, 1e9) - one.chosen.logprob) < TIE
        if abs(one.chosen.logprob - other.chosen.logprob) > TIE:
            return False
    return True


def words(count: int, seed: int = 3) -> "array[int]":
    return array("i", numpy.random.default_rng(seed).integers(0, 600, count, dtype=numpy.int32).tobytes())


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_turn_continues_where_the_last_ended_and_says_the_same_as_without(
    opened: Callable[..., Engine], kind: str
) -> None:
    engine = opened(kind)
    prompt = words(120)
    first = engine.answer(prompt)
    longer = prompt + array("i", first.tokens) + words(20, seed=4)
    second = engine.answer(longer)
    assert second.cached >= len(prompt) + 15
    fresh = opened(kind)
    assert same(fresh.answer(longer), second)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_prompt_again_gives_the_same_answer(opened: Callable[..., Engine], kind: str) -> None:
    engine = opened(kind)
    prompt = words(120)
    first = engine.answer(prompt)
    again = engine.answer(prompt)
    assert same(again, first)
    assert again.cached == (119 if kind in ("llama", "swa") else again.cached)


@pytest.mark.parametrize("kind", KINDS)
def test_another_end_after_a_common_beginning_gives_the_answer_of_a_fresh_engine(
    opened: Callable[..., Engine], kind: str
) -> None:
    engine = opened(kind)
    beginning = words(100)
    engine.answer(beginning + words(30, seed=5))
    other = engine.answer(beginning + words(30, seed=6))
    assert same(other, opened(kind).answer(beginning + words(30, seed=6)))
    assert other.cached == (100 if kind in ("llama", "swa") else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_requests_at_once_behind_one_beginning_answer_as_alone(opened: Callable[..., Engine], kind: str) -> None:
    beginning = words(100)
    prompts = [beginning + words(10, seed=seed) for seed in range(10, 14)]
    alone = [opened(kind).answer(prompt) for prompt in prompts]
    engine = opened(kind)
    sinks = [engine.start(prompt, 16, client=str(number)) for number, prompt in enumerate(prompts)]
    assert all(same(sink.wait(), other) for sink, other in zip(sinks, alone, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_too_small_for_all_parks_and_everybody_finishes_with_the_answer_of_alone(
    opened: Callable[..., Engine], kind: str
) -> None:
    prompts = [words(100, seed=seed) for seed in range(20, 24)]
    alone = [opened(kind).answer(prompt, 60) for prompt in prompts]
    engine = opened(kind, n_ctx=384)
    sinks = [engine.start(prompt, 60, client=str(number)) for number, prompt in enumerate(prompts)]
    together = [sink.wait() for sink in sinks]
    assert [len(sink.tokens) for sink in together] == [60] * 4
    assert all(same(sink, other) for sink, other in zip(together, alone, strict=True))


def test_a_clock_that_does_not_move_on_while_a_model_is_tried_keeps_it_from_nothing(
    opened: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as still:
        still.setattr("localmind.engine.loaded.time.perf_counter", lambda: 1.0)
        engine = opened("llama")
    assert len(engine.answer(words(20) + words(20) + words(20)).tokens) == 16, "what repeats is drafted, if it pays"
