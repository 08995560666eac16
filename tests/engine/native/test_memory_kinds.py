"""What each kind of memory can do, tried on tiny models through the same calls as the engine's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from random_gguf import SWA_WINDOW
from tiny import Tiny, close, same

from localmind.engine.llama.memory import first_position
from localmind.engine.memory_kind import probe
from localmind.engine.pool import reaches
from localmind.errors import ModelFileBroken

LENGTH = 100
KINDS = ("llama", "swa", "recurrent", "hybrid")
FULL = ("llama", "swa")
STATE = ("recurrent", "hybrid")


@pytest.fixture
def opened(tiny_model: Callable[[str], Path]) -> Iterator[Callable[[str], Tiny]]:
    models: list[Tiny] = []

    def open_(kind: str) -> Tiny:
        models.append(Tiny(tiny_model(kind)))
        return models[-1]

    yield open_
    for model in models:
        model.close()


@pytest.mark.parametrize(
    ("kind", "reuse", "window"),
    [
        ("llama", "any_prefix", 0),
        ("swa", "any_prefix", SWA_WINDOW),
        ("recurrent", "whole", 0),
        ("hybrid", "whole", 0),
    ],
)
def test_the_probe_finds_out_what_a_memory_can_do(
    opened: Callable[[str], Tiny], kind: str, reuse: str, window: int
) -> None:
    tiny = opened(kind)
    found = probe(tiny.model, tiny.context, tiny.batch)
    assert (found.kind, found.window) == (reuse, window)
    assert found.explanation
    assert found.cuts_tails == (reuse == "any_prefix")
    assert tiny.context.last_position(0) == -1, "the probe leaves nothing behind"


def test_a_model_without_a_memory_is_no_model_that_writes(opened: Callable[[str], Tiny]) -> None:
    with pytest.raises(ModelFileBroken, match="only reads"):
        opened("embedder")


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_continues_bit_by_bit_in_another_slot(opened: Callable[[str], Tiny], kind: str) -> None:
    tiny = opened(kind)
    logits = tiny.evaluate(0, tiny.tokens(LENGTH))
    data = tiny.context.save(0)
    expected = tiny.follow(0, logits, LENGTH)
    assert tiny.context.remove(0)
    assert tiny.context.restore(2, data)
    assert tiny.context.last_position(2) == LENGTH - 1
    assert same(tiny.follow(2, logits, LENGTH), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_the_whole_leaves_both_able_to_go_on(opened: Callable[[str], Tiny], kind: str) -> None:
    tiny = opened(kind)
    tokens = tiny.tokens(LENGTH)
    tiny.evaluate(0, tokens[:-1])
    tiny.context.copy(0, 1, LENGTH - 1)
    copied = tiny.follow(1, tiny.evaluate(1, tokens[-1:], LENGTH - 1), LENGTH)
    own = tiny.follow(0, tiny.evaluate(0, tokens[-1:], LENGTH - 1), LENGTH)
    tiny.context.clear()
    fresh = tiny.follow(0, tiny.evaluate(0, tokens), LENGTH, along=own)
    assert same(copied, own)
    assert close(copied, fresh)


@pytest.mark.parametrize("cut", [LENGTH - 1, LENGTH - 5, 50, 10])
@pytest.mark.parametrize("kind", FULL)
def test_full_attention_and_windows_cut_tails_where_they_like(
    opened: Callable[[str], Tiny], kind: str, cut: int
) -> None:
    tiny = opened(kind)
    tokens = tiny.tokens(LENGTH)
    expected = tiny.follow(0, tiny.evaluate(0, tokens), LENGTH)
    tiny.context.clear()
    tiny.evaluate(0, [*tokens[:cut], *tiny.tokens(30, seed=5)])
    assert tiny.context.remove(0, cut)
    assert close(tiny.follow(0, tiny.evaluate(0, tokens[cut:], cut), LENGTH, along=expected), expected)


@pytest.mark.parametrize("kind", FULL)
def test_full_attention_and_windows_share_a_beginning(opened: Callable[[str], Tiny], kind: str) -> None:
    tiny = opened(kind)
    tokens = tiny.tokens(LENGTH)
    expected = tiny.follow(0, tiny.evaluate(0, tokens), LENGTH)
    tiny.context.clear()
    tiny.evaluate(0, [*tokens[:60], *tiny.tokens(30, seed=5)])
    tiny.context.copy(0, 1, 60)
    assert close(tiny.follow(1, tiny.evaluate(1, tokens[60:], 60), LENGTH, along=expected), expected)


@pytest.mark.parametrize("kind", STATE)
def test_a_running_state_refuses_to_be_cut_and_survives_the_refusal(opened: Callable[[str], Tiny], kind: str) -> None:
    tiny = opened(kind)
    logits = tiny.evaluate(0, tiny.tokens(LENGTH))
    data = tiny.context.save(0)
    expected = tiny.follow(0, logits, LENGTH)
    tiny.context.clear()
    assert tiny.context.restore(0, data)
    for cut in (LENGTH - 1, 50, 1):
        assert not tiny.context.remove(0, cut)
    assert same(tiny.follow(0, logits, LENGTH), expected)
    assert tiny.context.remove(0)


def test_a_part_of_a_hybrid_sequence_is_copied_without_complaint_and_wrong(opened: Callable[[str], Tiny]) -> None:
    """Why the pool never does it. Should this fail one day, llama.cpp has learnt to refuse or to do it right."""
    tiny = opened("hybrid")
    tokens = tiny.tokens(LENGTH)
    expected = tiny.evaluate(0, tokens)
    tiny.context.clear()
    tiny.evaluate(0, [*tokens[:60], *tiny.tokens(30, seed=5)])
    tiny.context.copy(0, 1, 60)
    assert tiny.context.last_position(1) == 59
    assert not close([tiny.evaluate(1, tokens[60:61], 60)], [expected])


def test_a_restored_window_knows_its_end_alone_and_the_pool_knows(opened: Callable[[str], Tiny]) -> None:
    tiny = opened("swa")
    tokens = tiny.tokens(LENGTH)
    found = probe(tiny.model, tiny.context, tiny.batch)
    tiny.evaluate(0, tokens)
    assert first_position(tiny.context, 0) == 0
    data = tiny.context.save(0)
    tiny.context.clear()
    assert tiny.context.restore(0, data)
    first = first_position(tiny.context, 0)
    assert first > 0
    assert reaches(LENGTH, first, found.window)
    assert not reaches(60, first, found.window)
    assert reaches(60, 0, found.window)


def test_a_restored_window_that_is_cut_within_reason_goes_on_right(opened: Callable[[str], Tiny]) -> None:
    tiny = opened("swa")
    tokens = tiny.tokens(LENGTH)
    found = probe(tiny.model, tiny.context, tiny.batch)
    expected = tiny.follow(0, tiny.evaluate(0, tokens), LENGTH)
    tiny.context.clear()
    tiny.evaluate(0, tokens)
    data = tiny.context.save(0)
    allowed = 0
    for cut in range(LENGTH - 1, LENGTH - 4, -1):
        tiny.context.clear()
        assert tiny.context.restore(0, data)
        if reaches(cut, first_position(tiny.context, 0), found.window):
            allowed += 1
            assert tiny.context.remove(0, cut)
            assert close(tiny.follow(0, tiny.evaluate(0, tokens[cut:], cut), LENGTH, along=expected), expected)
    assert allowed < 3, "a saved window has no room to cut much"
