"""An engine worker on models that embed, rerank and fill in: what they can do, and what they are spared."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from engine_caller import PLAN, WAIT, Caller

from localmind.engine.errands import AT_ONCE, MOST_WAITING, Errands
from localmind.engine.worker import EngineWorker, create
from localmind.errors import InvalidRequest, QueueFull, ShuttingDown

OpenWorker = Callable[..., tuple[Caller, dict[str, Any]]]


@pytest.fixture
def opened(tiny_model: Callable[[str], Path]) -> Iterator[OpenWorker]:
    workers: list[EngineWorker] = []

    def open_(kind: str, **more: Any) -> tuple[Caller, dict[str, Any]]:
        worker = create()
        assert isinstance(worker, EngineWorker)
        workers.append(worker)
        caller = Caller(worker)
        return caller, caller.ask("load", path=str(tiny_model(kind)), plan=PLAN, **more)

    yield open_
    for worker in workers:
        worker.close()


def test_an_encoder_loads_embeds_and_refuses_to_write(opened: OpenWorker) -> None:
    caller, facts = opened("embedder")
    assert (facts["architecture"], facts["memory"]["kind"]) == ("bert", "none")
    assert facts["n_ctx_seq"] == facts["n_ctx_train"] == 512
    answer = caller.ask("embed", texts=["the water", "people"])
    assert [len(vector) for vector in answer["vectors"]] == [512, 512]
    assert numpy.linalg.norm(numpy.frombuffer(answer["vectors"][0], "<f4")) == pytest.approx(1, abs=1e-5)
    for method, params in (
        ("generate", {"prompt": "x"}),
        ("count", {"messages": [{"role": "user", "content": "x"}]}),
        ("apply_template", {"messages": [{"role": "user", "content": "x"}]}),
    ):
        with pytest.raises(InvalidRequest, match="only embeds"):
            caller.ask(method, **params)
    with pytest.raises(InvalidRequest, match="cannot rerank"):
        caller.ask("rerank", query="q", documents=["d"])
    assert caller.ask("tokenize", text="the water")
    assert caller.ask("state")["sequences"] == []


def test_a_reranker_scores_documents_and_does_nothing_else(opened: OpenWorker) -> None:
    caller, _ = opened("reranker")
    scores = caller.ask("rerank", query="water", documents=["people", "the water", "people"])["scores"]
    assert scores[0] == pytest.approx(scores[2])
    assert scores[0] != scores[1]
    with pytest.raises(InvalidRequest, match="only reranks"):
        caller.ask("generate", prompt="x")
    with pytest.raises(InvalidRequest, match="reranker"):
        caller.ask("embed", texts=["x"])


def test_a_chat_model_embeds_beside_its_chats_and_no_thread_is_left_of_it(opened: OpenWorker) -> None:
    caller, _ = opened("llama")
    chat = caller.start(
        "generate", prompt="the water", sampling={"temperature": 0, "max_tokens": 60, "ignore_eos": True}
    )
    replies = [caller.start("embed", texts=["the water", f"people {number}"]) for number in range(4)]
    vectors = [reply.wait().value["vectors"] for reply in replies]
    assert len({each[0] for each in vectors}) == 1
    assert len({each[1] for each in vectors}) == 4
    assert chat.wait().value["usage"]["completion_tokens"] == 60
    for thread in threading.enumerate():
        if thread.name == "errand":
            thread.join(WAIT)
            assert not thread.is_alive()


@pytest.mark.parametrize("params", [{}, {"texts": [1]}, {"texts": ["a"], "tokens": [[1]]}, {"tokens": [[-1]]}])
def test_an_embed_call_that_makes_no_sense_is_refused(opened: OpenWorker, params: dict[str, Any]) -> None:
    caller, _ = opened("embedder")
    with pytest.raises(InvalidRequest):
        caller.ask("embed", **params)


def test_the_hole_of_a_text_is_filled_by_a_model_with_tokens_for_it(opened: OpenWorker) -> None:
    caller, _ = opened("fim")
    hole = {"prefix": "the water ", "suffix": " people", "extra": [["a.py", "of the time"]]}
    reply = caller.start("generate", infill=hole, sampling={"temperature": 0, "max_tokens": 5, "ignore_eos": True})
    assert reply.wait().error is None
    assert reply.value["usage"]["completion_tokens"] == 5
    assert reply.value["usage"]["prompt_tokens"] > len(caller.ask("tokenize", text="the water  people"))
    longer = hole | {"prefix": "the water " * 3000}
    cut = caller.start("generate", infill=longer, sampling={"max_tokens": 5}).wait()
    assert cut.value["usage"]["prompt_tokens"] + 5 <= 512


def test_a_model_without_such_tokens_says_so(opened: OpenWorker) -> None:
    caller, _ = opened("llama")
    with pytest.raises(InvalidRequest, match="cannot fill in the middle"):
        caller.ask("generate", infill={"prefix": "a", "suffix": "b"})


def test_errands_run_two_at_a_time_and_their_queue_is_bounded() -> None:
    errands = Errands()
    go, running, lock = threading.Event(), [0, 0], threading.Lock()
    inside, done = threading.Semaphore(0), threading.Semaphore(0)

    def errand() -> None:
        with lock:
            running[0] += 1
            running[1] = max(running)
        inside.release()
        assert go.wait(WAIT)
        with lock:
            running[0] -= 1
        done.release()

    for _ in range(AT_ONCE):
        errands.post(errand)
        assert inside.acquire(timeout=WAIT)
    for _ in range(MOST_WAITING):
        errands.post(errand)
    with pytest.raises(QueueFull):
        errands.post(errand)
    go.set()
    for _ in range(AT_ONCE + MOST_WAITING):
        assert done.acquire(timeout=WAIT)
    assert running == [0, AT_ONCE]
    errands.close()
    with pytest.raises(ShuttingDown):
        errands.post(errand)


def test_a_failed_errand_ends_nobody_elses() -> None:
    errands = Errands()
    errands.post(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        errands.call(lambda: 1 // 0)
    assert errands.call(lambda: 7) == 7
