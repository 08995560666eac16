"""llama.cpp gives a step up in its midst when it is told to, and what was there before is whole."""

import threading
import time

import pytest
from engine_caller import PLAN, Caller, FakeReply, assert_same_answer

from localmind.engine.worker import create
from localmind.errors import Cancelled

PIECE = 512


@pytest.fixture(scope="module")
def caller(chat_model_path):
    worker = create()
    caller = Caller(worker)
    plan = PLAN | {"n_ctx": 2048, "n_batch": PIECE, "n_ubatch": PIECE}
    caller.ask("load", path=str(chat_model_path), plan=plan, speculation=False)
    yield caller
    worker.close()


def long_prompt(caller: Caller, first: str) -> list[int]:
    return caller.ask("tokenize", text=first + "The lamp on the northern rock was lit at dusk. " * 25)[:260]


def answer(caller: Caller, prompt: list[int]) -> FakeReply:
    greedy = {"temperature": 0, "max_tokens": 8, "ignore_eos": True, "logprobs": 5}
    reply = caller.start("generate", tokens=prompt, sampling=greedy).wait()
    assert reply.error is None
    return reply


def test_a_prompt_cancelled_in_the_midst_of_a_step_frees_the_engine_long_before_the_step_would_end(caller):
    prompt = long_prompt(caller, "One. ")
    began = time.monotonic()
    alone = answer(caller, prompt)
    whole = time.monotonic() - began
    cancelled = []
    for number, part in enumerate((0.15, 0.3, 0.65), 2):
        reply = caller.start("generate", tokens=long_prompt(caller, f"{number}. "), sampling={"max_tokens": 4})
        threading.Event().wait(part * whole)
        began = time.monotonic()
        caller.cancel(reply)
        assert isinstance(reply.wait().error, Cancelled)
        cancelled.append(time.monotonic() - began)
    assert sorted(cancelled)[1] < whole / 10, (whole, cancelled)
    assert_same_answer(alone, answer(caller, prompt))
    caller.assert_settled()


def test_what_was_read_before_the_interruption_is_used_again_and_is_right(caller):
    prompt = long_prompt(caller, "Another. ")
    reply = caller.start("generate", tokens=prompt, sampling={"max_tokens": 4})
    caller.until("prefill")
    caller.cancel(reply)
    assert isinstance(reply.wait().error, Cancelled)
    after = answer(caller, prompt)
    assert after.value["usage"]["cached_tokens"] > 0
    other = answer(caller, long_prompt(caller, "Something else. "))
    assert other.error is None
    assert_same_answer(after, answer(caller, prompt))
