"""An engine worker with LoRA adapters and with a draft model, on tiny models."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import random_gguf
from engine_caller import PLAN, Caller

from localmind.engine.draft import DraftModel
from localmind.engine.loaded import Loaded
from localmind.engine.worker import EngineWorker, create
from localmind.errors import InvalidRequest, ModelFileBroken, NotFound

OpenWorker = Callable[..., Caller]
GREEDY = {"temperature": 0, "max_tokens": 24, "ignore_eos": True}


@pytest.fixture
def opened(tiny_model: Callable[[str], Path]) -> Iterator[OpenWorker]:
    workers: list[EngineWorker] = []

    def open_(kind: str, **more: Any) -> Caller:
        worker = create()
        assert isinstance(worker, EngineWorker)
        workers.append(worker)
        caller = Caller(worker)
        caller.ask("load", path=str(tiny_model(kind)), plan=PLAN, **more)
        return caller

    yield open_
    for worker in workers:
        worker.close()


def text(caller: Caller, *adapters: tuple[str, float], tokens: int = 10) -> str:
    """With the adapter the 15th token is chosen by 0.0003, which is less than what rounding does."""
    sampling = GREEDY | {"max_tokens": tokens}
    reply = caller.start("generate", prompt="the water of people", sampling=sampling, adapters=list(adapters)).wait()
    if reply.error is not None:
        raise reply.error
    return reply.text


def test_each_request_chooses_its_adapters_and_nobody_elses_change(
    opened: OpenWorker, tiny_model: Callable[[str], Path]
) -> None:
    caller = opened("llama")
    plain = text(caller)
    assert caller.ask("adapters", action="list") == []
    told = caller.ask("adapters", action="load", name="tone", path=str(tiny_model("lora")))
    assert (told["name"], told["rank"], told["alpha"]) == ("tone", 4, 8.0)
    assert [each["name"] for each in caller.ask("adapters")] == ["tone"]
    toned = text(caller, ("tone", 1.0))
    assert toned != plain
    assert text(caller, ("0", 1.0)) == toned, "by its number, as llama-server has it"
    assert text(caller, ("tone", 0.0)) == plain
    both = [
        caller.start("generate", prompt="the water of people", sampling=GREEDY, adapters=adapters)
        for adapters in ([], [["tone", 1.0]], [], [["tone", 1.0]])
    ]
    # Side by side, steps of another shape round otherwise: random weights decide so closely that late words may turn.
    assert [reply.wait().text[:16] for reply in both] == [each[:16] for each in (plain, toned, plain, toned)]
    assert caller.ask("adapters", action="unload", name="tone") == []
    with pytest.raises(NotFound, match="loaded are: none"):
        text(caller, ("tone", 1.0))


def test_an_adapter_nobody_knows_is_refused_by_name_with_those_there_are(
    opened: OpenWorker, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    caller = opened("llama")
    caller.ask("adapters", action="load", name="tone", path=str(tiny_model("lora")))
    for name in ("ton", "1", "99999999999999999999", "²"):
        with pytest.raises(NotFound, match="loaded are: tone"):
            text(caller, (name, 1.0))
    with pytest.raises(InvalidRequest, match="twice"):
        text(caller, ("tone", 1.0), ("0", 1.0))
    with pytest.raises(NotFound):
        caller.ask("adapters", action="unload", name="ton")
    for wrong in (tiny_model("llama"), tmp_path / "none.gguf"):
        with pytest.raises(ModelFileBroken):
            caller.ask("adapters", action="load", name="wrong", path=str(wrong))
    with pytest.raises(ModelFileBroken, match="incorrect shape"):
        wide = random_gguf.write_lora(tmp_path / "wide.gguf", embd=256)
        caller.ask("adapters", action="load", name="wide", path=str(wide))
    with pytest.raises(InvalidRequest):
        caller.ask("adapters", action="burn")
    assert [each["name"] for each in caller.ask("adapters")] == ["tone"]


def test_a_draft_model_guesses_on_the_engines_thread_and_changes_no_text(
    opened: OpenWorker, tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = text(opened("llama", speculation=False), tokens=24)
    threads: set[str] = set()
    draft = DraftModel.draft

    def watched(model: DraftModel, *given: Any) -> Any:
        threads.add(threading.current_thread().name)
        model._sure = 0.0  # random weights are sure of nothing
        return draft(model, *given)

    monkeypatch.setattr(DraftModel, "draft", watched)
    monkeypatch.setattr(DraftModel, "drafting", lambda model, count: 0.0)
    monkeypatch.setattr(Loaded, "_costs", lambda loaded: {1: 10.0, 16: 12.0})
    caller = opened("llama", draft_model=str(tiny_model("llama")))
    reply = caller.start("generate", prompt="the water of people", sampling=GREEDY).wait()
    assert reply.text == plain
    assert reply.value["timings"]["accepted_tokens"] > 8, "its twin guesses right"
    assert threads == {"engine"}


@pytest.mark.parametrize(("kind", "drafter"), [("llama", "swa"), ("llama", "embedder"), ("recurrent", "llama")])
def test_a_model_that_cannot_draft_is_refused_at_load_by_the_name_of_the_setting(
    opened: OpenWorker, tiny_model: Callable[[str], Path], tmp_path: Path, kind: str, drafter: str
) -> None:
    path = random_gguf.write(tmp_path / "other.gguf", drafter, vocab=2000) if drafter == "swa" else tiny_model(drafter)
    with pytest.raises(InvalidRequest, match="`draft_model`") as caught:
        opened(kind, draft_model=str(path))
    assert "LOCALMIND_DRAFT_MODEL" in (caught.value.hint or "")
    assert text(opened(kind, draft_model=str(path), speculation=False))


def prefix(caller: Caller, *adapters: tuple[str, float]) -> tuple[int, str, list[int]]:
    """How much of a prompt of 300 tokens was there, where, and the answer to it."""
    prompt = [(7 * place) % 500 + 3 for place in range(300)]
    sampling = GREEDY | {"max_tokens": 6, "logprobs": 0}
    reply = caller.start("generate", tokens=prompt, sampling=sampling, adapters=list(adapters), explain=True).wait()
    assert reply.error is None
    cache = reply.value["cache"]
    return cache["cached_tokens"], cache["source"], [each["chosen"]["id"] for each in reply.chosen]


def test_a_prefix_that_an_adapter_had_a_part_in_is_found_after_a_restart_by_the_same_bytes_and_scale_alone(
    opened: OpenWorker, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    kept = {"cache_dir": str(tmp_path / "kept"), "prefix_ram_mb": 64, "prefix_disk_mb": 64}
    caller = opened("llama", **kept)
    caller.ask("adapters", action="load", name="tone", path=str(tiny_model("lora")))
    assert prefix(caller, ("tone", 0.5))[:2] == (0, "none")
    toned = prefix(caller, ("tone", 0.5))
    assert toned[:2] == (299, "pool")
    caller.worker.close()

    caller = opened("llama", **kept)
    (tmp_path / "copy.gguf").write_bytes(tiny_model("lora").read_bytes())
    caller.ask("adapters", action="load", name="copy", path=str(tmp_path / "copy.gguf"))
    caller.ask("adapters", action="load", name="tone", path=str(random_gguf.write_lora(tmp_path / "b.gguf", seed=2)))
    assert prefix(caller)[:2] == (0, "none"), "not for the model alone"
    assert prefix(caller, ("tone", 0.5))[:2] == (0, "none"), "not for another file of the same name"
    assert prefix(caller, ("copy", 0.25))[:2] == (0, "none"), "not for another scale"
    again = prefix(caller, ("copy", 0.5))
    assert again[:2] == (299, "disk")
    assert again[2] == toned[2]


def test_a_prefix_is_found_after_a_restart_with_a_draft_model_too_which_catches_up_with_it(
    opened: OpenWorker, tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = DraftModel.draft

    def sure(model: DraftModel, *given: Any) -> Any:
        model._sure = 0.0  # random weights are sure of nothing
        return draft(model, *given)

    monkeypatch.setattr(DraftModel, "draft", sure)
    monkeypatch.setattr(DraftModel, "drafting", lambda model, count: 0.0)
    monkeypatch.setattr(Loaded, "_costs", lambda loaded: {1: 10.0, 16: 12.0})
    kept = {"cache_dir": str(tmp_path), "prefix_ram_mb": 64, "prefix_disk_mb": 64}
    answers = []
    for found in ((0, "none"), (299, "disk")):
        caller = opened("llama", draft_model=str(tiny_model("llama")), **kept)
        answers.append(prefix(caller))
        assert answers[-1][:2] == found
        longer = caller.start("generate", prompt="the water of people", sampling=GREEDY).wait()
        assert longer.value["timings"]["accepted_tokens"] > 8
        caller.worker.close()
    assert answers[0][2] == answers[1][2]


def test_a_longer_context_than_trained_is_there_only_when_asked(
    opened: OpenWorker, tiny_model: Callable[[str], Path]
) -> None:
    for n_ctx_seq, expected in ((0, 2048), (4096, 4096)):
        worker = create()
        assert isinstance(worker, EngineWorker)
        caller = Caller(worker)
        plan = PLAN | {"n_ctx": 4096, "n_ctx_seq": n_ctx_seq}
        assert caller.ask("load", path=str(tiny_model("llama")), plan=plan)["n_ctx_seq"] == expected
        worker.close()
