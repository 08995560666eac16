"""A draft model makes greedy text faster, never different, and keeps quiet when it is no good."""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import random_gguf
from tiny import PLAN, Tiny

from localmind.engine.draft import DraftModel, DraftSpeculator
from localmind.engine.speculate import Either, Speculator, interpolated, prompt_lookup
from localmind.errors import InvalidRequest

CHEAP_ROWS = interpolated({1: 10.0, 16: 12.0})
"""Seconds so long that what the tiny draft model really takes is nothing beside them."""

DEAR_ROWS = interpolated({1: 10.0, 2: 16.0, 4: 25.0, 8: 45.0})


@pytest.fixture
def target(tiny_model: Callable[[str], Path]) -> Iterator[Tiny]:
    tiny = Tiny(tiny_model("llama"))
    yield tiny
    tiny.close()


@pytest.fixture
def twin(target: Tiny, tiny_model: Callable[[str], Path]) -> Iterator[DraftModel]:
    """The same weights: it is always right."""
    model = DraftModel(tiny_model("llama"), PLAN, target.model, sure=0)  # random weights are sure of nothing
    yield model
    model.close()


def generate(tiny: Tiny, slot: int, prompt: "array[int]", count: int, speculator: Speculator) -> tuple[list[int], int]:
    """Greedy text as the loop makes it, and the number of steps."""
    tokens = prompt[:]
    tokens.append(int(tiny.evaluate(slot, prompt).argmax()))
    steps = 0
    while len(tokens) - len(prompt) < count:
        draft = speculator.propose(tokens, count - (len(tokens) - len(prompt)) - 1)
        tiny.batch.reset()
        rows = [
            tiny.batch.add(array("i", [token]), position=len(tokens) - 1 + place, slot=slot, output=True)
            for place, token in enumerate([tokens[-1], *draft])
        ]
        assert tiny.context.decode(tiny.batch) == 0
        chosen = [int(tiny.context.logits(row).argmax()) for row in rows]
        agreed = 0
        while agreed < len(draft) and chosen[agreed] == draft[agreed]:
            agreed += 1
        if draft:
            speculator.observe(len(draft), agreed)
        tokens.extend(chosen[: agreed + 1])
        assert tiny.context.remove(slot, len(tokens) - 1)
        steps += 1
    return list(tokens[len(prompt) :]), steps


class Silent:
    def propose(self, tokens: "array[int]", room: int, others: int = 0) -> "array[int]":
        return array("i")

    def observe(self, proposed: int, accepted: int) -> None:
        raise AssertionError("nothing was proposed")

    def close(self) -> None: ...


def test_the_text_is_the_same_and_takes_a_third_of_the_steps(target: Tiny, twin: DraftModel) -> None:
    prompt = target.tokens(30)
    plain, all_steps = generate(target, 0, prompt, 60, Silent())
    target.context.clear()
    drafted, steps = generate(target, 0, prompt, 60, DraftSpeculator(twin, CHEAP_ROWS))
    assert drafted == plain
    assert steps < all_steps / 3


def test_a_long_prompt_is_caught_up_with_in_pieces(target: Tiny, twin: DraftModel) -> None:
    prompt = target.tokens(200)
    tokens = prompt + array("i", [int(target.evaluate(0, prompt).argmax())])
    speculator = DraftSpeculator(twin, CHEAP_ROWS)
    drafts = [len(speculator.propose(tokens, 15)) for _ in range(4)]
    assert drafts[:3] == [0, 0, 0]
    assert drafts[3] > 0


def test_three_sequences_take_turns_in_two_slots_and_none_is_mixed_up(target: Tiny, twin: DraftModel) -> None:
    prompts = [target.tokens(20, seed) for seed in (1, 2, 3)]
    speculators = [twin.speculator(CHEAP_ROWS) for _ in prompts]
    for prompt, speculator in zip(prompts, speculators, strict=True):
        target.context.clear()
        plain, _ = generate(target, 0, prompt, 20, Silent())
        target.context.clear()
        assert generate(target, 0, prompt, 20, speculator)[0] == plain
    target.context.clear()
    again, steps = generate(target, 0, prompts[0], 20, speculators[0])
    assert steps < 12, f"{again} was drafted after the slot had gone to another"
    for speculator in speculators:
        speculator.close()


def test_a_draft_model_that_is_always_wrong_falls_silent(target: Tiny, tmp_path: Path) -> None:
    path = random_gguf.write(tmp_path / "stranger.gguf", "llama", seed=99)
    stranger = DraftModel(path, PLAN, target.model, sure=0)
    prompt = target.tokens(30)
    plain, all_steps = generate(target, 0, prompt, 150, Silent())
    target.context.clear()
    speculator = Counting(DraftSpeculator(stranger, DEAR_ROWS))
    drafted, _ = generate(target, 0, prompt, 150, speculator)
    stranger.close()
    assert drafted == plain
    assert 0 < speculator.proposals < all_steps / 10


class Counting:
    def __init__(self, inner: Speculator) -> None:
        self._inner = inner
        self.proposals = 0

    def propose(self, tokens: "array[int]", room: int, others: int = 0) -> "array[int]":
        draft = self._inner.propose(tokens, room, others)
        self.proposals += bool(draft)
        return draft

    def observe(self, proposed: int, accepted: int) -> None:
        self._inner.observe(proposed, accepted)

    def close(self) -> None:
        self._inner.close()


def test_lookup_comes_first_and_the_draft_model_where_it_finds_nothing(target: Tiny, twin: DraftModel) -> None:
    prompt = target.tokens(30)
    plain, all_steps = generate(target, 0, prompt, 40, Silent())
    target.context.clear()
    lookup = Counting(prompt_lookup(prompt, CHEAP_ROWS))
    model = Counting(twin.speculator(CHEAP_ROWS))
    drafted, steps = generate(target, 0, prompt, 40, Either(lookup, model))
    assert drafted == plain
    assert model.proposals > 0
    assert steps < all_steps / 2


@pytest.mark.parametrize("kind", ["embedder", "recurrent"])
def test_a_model_that_cannot_draft_says_why(target: Tiny, tiny_model: Callable[[str], Path], kind: str) -> None:
    reasons = {"embedder": "only embeds", "recurrent": "memory cannot be cut back"}
    with pytest.raises(InvalidRequest, match=reasons[kind]):
        DraftModel(tiny_model(kind), PLAN, target.model)


def test_where_the_draft_model_is_not_sure_it_drafts_nothing(target: Tiny, tiny_model: Callable[[str], Path]) -> None:
    modest = DraftModel(tiny_model("llama"), PLAN, target.model)
    prompt = target.tokens(30)
    speculator = Counting(modest.speculator(CHEAP_ROWS))
    generate(target, 0, prompt, 20, speculator)
    modest.close()
    assert speculator.proposals == 0


def test_another_vocabulary_is_refused_with_what_differs(target: Tiny, tmp_path: Path) -> None:
    larger = random_gguf.write(tmp_path / "larger.gguf", "llama", vocab=2000)
    with pytest.raises(InvalidRequest, match="one knows 2000 tokens and the other 648"):
        DraftModel(larger, PLAN, target.model)
