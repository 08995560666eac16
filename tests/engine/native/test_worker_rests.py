"""A worker whose context is freed while its weights stay, and comes back."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import random_gguf
from engine_caller import PLAN, Caller, FakeReply

from localmind.engine.worker import EngineWorker, create
from localmind.errors import NoRoom

OpenWorker = Callable[..., tuple[Caller, dict[str, Any]]]


@pytest.fixture
def opened(tiny_model: Callable[[str], Path]) -> Iterator[OpenWorker]:
    workers: list[EngineWorker] = []

    def open_(kind: str, plan: dict[str, Any] | None = None, **more: Any) -> tuple[Caller, dict[str, Any]]:
        worker = create()
        assert isinstance(worker, EngineWorker)
        workers.append(worker)
        caller = Caller(worker)
        return caller, caller.ask("load", path=str(tiny_model(kind)), plan=plan or PLAN, **more)

    yield open_
    for worker in workers:
        worker.close()


def greedy(caller: Caller, **more: Any) -> str:
    sampling = {"temperature": 0.0, "max_tokens": 12, "ignore_eos": True}
    reply: FakeReply = caller.start("generate", prompt="the water of people " * 90, sampling=sampling, **more).wait()
    assert reply.error is None, reply.error
    return reply.text


@pytest.mark.parametrize("kind", ["llama", "hybrid"])
def test_what_it_says_is_the_same_before_and_after_a_rest(opened: OpenWorker, kind: str) -> None:
    caller, _ = opened(kind)
    before = greedy(caller)
    for _ in range(2):
        caller.ask("cool")
        assert caller.ask("state")["n_ctx"] == 0
        caller.ask("warm")
        assert caller.ask("state")["n_ctx"] == 512
        assert greedy(caller) == before
    caller.ask("warm")
    assert greedy(caller) == before, "a warm one is left alone"


def test_the_memory_of_the_context_is_really_given_back(opened: OpenWorker) -> None:
    # Without flash attention llama.cpp writes zeros over the whole cache, so that its pages are there.
    caller, _ = opened("llama", PLAN | {"n_ctx": 65536})
    greedy(caller)
    full = psutil.Process().memory_info().rss
    caller.ask("cool")
    cells = 65536 * 4 * 2 * 64 * 2  # cells × layers × keys and values × width × bytes
    assert full - psutil.Process().memory_info().rss > 0.5 * cells
    caller.ask("warm")
    assert greedy(caller)


def test_prompts_are_found_again_on_the_disk(opened: OpenWorker, tmp_path: Path) -> None:
    caller, _ = opened("llama", PLAN, cache_dir=str(tmp_path), prefix_disk_mb=64, prefix_ram_mb=64)
    greedy(caller)
    caller.ask("cool")
    caller.ask("warm")
    sampling = {"temperature": 0.0, "max_tokens": 2, "ignore_eos": True}
    reply = caller.start("generate", prompt="the water of people " * 90, sampling=sampling, explain=True).wait()
    assert reply.value["cache"]["source"] == "disk"


@pytest.mark.parametrize("kind", ["llama", "hybrid"])
def test_prompts_that_were_to_be_forgotten_are_neither_in_memory_nor_on_disk(
    opened: OpenWorker, tmp_path: Path, kind: str
) -> None:
    caller, _ = opened(kind, PLAN, cache_dir=str(tmp_path), prefix_disk_mb=64, prefix_ram_mb=64)

    def cached() -> int:
        sampling = {"temperature": 0.0, "max_tokens": 2, "ignore_eos": True}
        reply = caller.start("generate", prompt="the water of people " * 90, sampling=sampling).wait()
        return int(reply.value["usage"]["cached_tokens"])

    cached()
    assert cached() > 0
    caller.ask("forget")
    assert cached() == 0
    caller.ask("forget")
    caller.ask("cool")  # writes what is worth keeping
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    caller.ask("forget")
    caller.ask("warm")
    assert cached() == 0


def test_adapters_are_still_there(opened: OpenWorker, tmp_path: Path) -> None:
    caller, _ = opened("llama")
    path = random_gguf.write_lora(tmp_path / "lora.gguf")
    caller.ask("adapters", action="load", name="tone", path=str(path))
    toned = greedy(caller, adapters=[("tone", 1.0)])
    caller.ask("cool")
    caller.ask("warm")
    assert greedy(caller, adapters=[("tone", 1.0)]) == toned != greedy(caller)


def test_an_encoder_gives_its_scratch_memory_back_and_answers_the_same(opened: OpenWorker) -> None:
    caller, _ = opened("embedder")
    before = caller.ask("embed", texts=["the water"])
    caller.ask("cool")
    caller.ask("warm")
    assert caller.ask("embed", texts=["the water"]) == before


def test_a_context_that_does_not_fit_is_told_as_that(opened: OpenWorker) -> None:
    with pytest.raises(NoRoom, match="no room for a context of 33554432"):
        opened("llama", PLAN | {"n_ctx": 1 << 25})
