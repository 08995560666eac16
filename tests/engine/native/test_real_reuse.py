"""The real model's text with and without reuse: shared, kept in the pool, in main memory, on disk, parked.

A row's logits depend in the last digits on how many rows and threads compute it, and on the pieces that a
prompt is evaluated in, which follow measured speed; greedy text may then part where two tokens are almost
equally likely. So answers are compared by `assert_same_answer`, which allows for that and for nothing else.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_caller import PLAN, Caller, FakeReply, assert_same_answer

from localmind.engine.worker import create

Start = Callable[..., Caller]

STORY = (
    "In the harbour town of Velm there were three lighthouses, and each of them was kept by a family that did not "
    "speak to the others. The oldest stood on the northern rock, the second above the market, and the third, which "
    "nobody had lit for thirty years, on an island that could be reached on foot when the tide was low. "
)


@pytest.fixture
def start(chat_model_path: Path) -> Iterator[Start]:
    """Starts an engine worker, on the starter model unless another is given."""
    workers = []

    def load(n_ctx: int = 1024, model: Path = chat_model_path, **more: object) -> Caller:
        worker = create()
        workers.append(worker)
        caller = Caller(worker)
        more = {"speculation": False, **more}
        caller.ask("load", path=str(model), plan=PLAN | {"n_ctx": n_ctx}, **more)
        return caller

    yield load
    for worker in workers:
        worker.close()


def tokens(caller: Caller, length: int, first: str = "") -> list[int]:
    ids = caller.ask("tokenize", text=first + STORY * (1 + length // 60))
    assert len(ids) >= length
    return ids[:length]


def greedy(count: int) -> dict[str, Any]:
    return {"temperature": 0, "max_tokens": count, "ignore_eos": True, "logprobs": 5}


def answer(caller: Caller, prompt: list[int], count: int = 16) -> FakeReply:
    reply = caller.start("generate", tokens=prompt, sampling=greedy(count), explain=True).wait()
    assert reply.error is None
    return reply


def found(reply: FakeReply) -> tuple[int, str]:
    return reply.value["cache"]["cached_tokens"], reply.value["cache"]["source"]


def test_a_prompt_asked_again_gives_the_same_text_from_the_pool_from_main_memory_and_from_disk(start, tmp_path):
    engine = start(512, cache_dir=str(tmp_path), prefix_ram_mb=200, prefix_disk_mb=200)
    prompt = tokens(engine, 273)  # the last token is always evaluated again
    cold = answer(engine, prompt)
    assert found(cold)[0] == 0
    pool = answer(engine, prompt)
    assert found(pool) == (272, "pool")
    answer(engine, tokens(engine, 250, "Other. "), 2)  # needs the cells
    ram = answer(engine, prompt)
    assert found(ram) == (272, "ram")
    engine.worker.close()
    disk = answer(start(512, cache_dir=str(tmp_path), prefix_ram_mb=200, prefix_disk_mb=200), prompt)
    assert found(disk) == (272, "disk")
    assert disk.value["timings"]["prefill_ms"] > 0
    for again in (pool, ram, disk):
        assert_same_answer(cold, again)


def test_prompts_that_go_on_differently_share_a_beginning_and_answer_as_alone(start):
    together = start(256)
    beginning = tokens(together, 96)
    ends = [together.ask("tokenize", text=f" And then, number {number}") for number in ("one", "two", "three")]
    for end in ends:
        shared = answer(together, beginning + end)
        if end is not ends[0]:
            assert shared.value["usage"]["cached_tokens"] >= 96
        alone = start(256)
        assert_same_answer(shared, answer(alone, beginning + end))
        alone.worker.close()  # more threads than cores make each other slow


def test_answers_to_different_prompts_are_not_taken_for_the_same(start):
    engine = start()
    one, other = tokens(engine, 100), tokens(engine, 100, "Another story. ")
    with pytest.raises(AssertionError):
        assert_same_answer(answer(engine, one), answer(engine, other))


def test_eight_at_once_behind_one_beginning_evaluate_it_once(start, tiny_model):
    engine = start(1024, tiny_model("llama"))  # counted, not read
    beginning = tokens(engine, 384)
    before = engine.ask("state")["totals"]["prefilled"]
    replies = [
        engine.start(
            "generate",
            tokens=beginning + engine.ask("tokenize", text=f" Number {number} said"),
            sampling={"temperature": 0, "max_tokens": 8, "ignore_eos": True},
            client=f"client {number}",
        )
        for number in range(8)
    ]
    for reply in replies:
        assert reply.wait().error is None
        assert reply.value["usage"]["completion_tokens"] == 8
    evaluated = engine.ask("state")["totals"]["prefilled"] - before
    assert evaluated < 384 + 8 * 16
    assert sum(reply.value["usage"]["cached_tokens"] for reply in replies) >= 7 * 384
    engine.assert_settled()


def test_a_parked_answer_goes_on_with_the_text_that_it_has_alone(start):
    engine = start(256, prefix_ram_mb=200)
    background, person = tokens(engine, 65), tokens(engine, 129, "Another story. ")
    alone = answer(engine, background, 75)
    parked = engine.start("generate", tokens=background, sampling=greedy(75), priority="background")
    assert parked.first.wait(240)
    interactive = engine.start("generate", tokens=person, sampling={"temperature": 0, "max_tokens": 60})
    assert interactive.wait().error is None
    assert parked.wait().error is None
    assert engine.ask("state")["parkings"] >= 1
    assert parked.value["timings"]["parked_ms"] > 0 == interactive.value["timings"]["parked_ms"]
    assert parked.value["usage"]["completion_tokens"] == 75
    assert_same_answer(alone, parked)
    engine.assert_settled()


@pytest.mark.parametrize("ram", [200, 0], ids=["copied", "evaluated again"])
def test_answers_that_outgrow_the_pool_all_finish_whole(start, tiny_model, ram):
    """Each is expected to say 512 tokens, which is what both came in for, and says 560."""
    engine = start(1280, tiny_model("llama"), prefix_ram_mb=ram)
    prompts = [tokens(engine, 120, f"Story {number}. ") for number in range(2)]
    sampling = {"temperature": 0, "max_tokens": 560, "ignore_eos": True}
    replies = [engine.start("generate", tokens=prompt, sampling=sampling) for prompt in prompts]
    for reply in replies:
        assert reply.wait().error is None
        assert reply.value["finish_reason"] == "length"
        assert reply.value["usage"]["prompt_tokens"] == 120
        assert reply.value["usage"]["completion_tokens"] == 560
    assert any(reply.value["timings"]["parked_ms"] > 0 for reply in replies)
    engine.assert_settled()
