"""llama.cpp gives a step up in its midst when it is told to, and what was there before is whole."""

import threading

import pytest
from engine_caller import PLAN, Caller, FakeReply, assert_same_answer
from stopwatch import Stopwatch
from tiny import Tiny

from localmind.engine.llama.library import LOG_ERROR, _on_log
from localmind.engine.worker import create
from localmind.errors import Cancelled

PIECE = 512
ENDLESS = {"max_tokens": 500, "ignore_eos": True}
"""For what is cancelled: however wrong the time is that it is given until then, it has not ended by itself."""


@pytest.fixture(scope="module")
def caller(chat_model_path):
    worker = create()
    caller = Caller(worker)
    plan = PLAN | {"n_ctx": 2048, "n_batch": PIECE, "n_ubatch": PIECE, "n_threads": 2, "n_threads_batch": 2}
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


@pytest.mark.alone
def test_a_prompt_cancelled_in_the_midst_of_a_step_frees_the_engine_long_before_the_step_would_end(caller):
    prompt = long_prompt(caller, "One. ")
    with Stopwatch() as watch:
        alone = answer(caller, prompt)
    whole = watch.seconds
    cancelled = []
    for number, part in enumerate((0.15, 0.3, 0.65), 2):
        reply = caller.start("generate", tokens=long_prompt(caller, f"{number}. "), sampling=ENDLESS)
        threading.Event().wait(part * whole)
        with Stopwatch() as watch:
            caller.cancel(reply)
            assert isinstance(reply.wait().error, Cancelled)
        cancelled.append(watch.seconds)
    assert sorted(cancelled)[1] < whole / 10, (whole, cancelled)
    assert_same_answer(alone, answer(caller, prompt))
    caller.assert_settled()


def test_what_was_read_before_the_interruption_is_used_again_and_is_right(caller):
    prompt = long_prompt(caller, "Another. ")
    reply = caller.start("generate", tokens=prompt, sampling=ENDLESS)
    caller.until("prefill")
    caller.cancel(reply)
    assert isinstance(reply.wait().error, Cancelled)
    after = answer(caller, prompt)
    assert after.value["usage"]["cached_tokens"] > 0
    other = answer(caller, long_prompt(caller, "Something else. "))
    assert other.error is None
    assert_same_answer(after, answer(caller, prompt))


def test_a_step_given_up_says_nothing_on_stderr_and_a_step_that_failed_does(tiny_model, capfd):
    tiny = Tiny(tiny_model("llama"))
    tiny.batch.reset()
    tiny.batch.add(tiny.tokens(200), position=0, slot=0, output=True)
    tiny.context.interrupt(True)
    assert tiny.context.decode(tiny.batch) == 2
    tiny.context.interrupt(False)
    assert capfd.readouterr().err == ""
    tiny.context.clear()
    tiny.batch.reset()
    tiny.batch.add(tiny.tokens(3), position=5, slot=99, output=True)
    assert tiny.context.decode(tiny.batch) == -1
    assert "99" in capfd.readouterr().err
    tiny.close()


@pytest.mark.parametrize(
    "line",
    [b"process_ubatch: failed to compute graph, compute status: -1\n", b"llama_decode: failed to decode, ret = -3\n"],
)
def test_what_llama_cpp_says_of_another_failure_is_passed_on(line, capfd):
    _on_log(LOG_ERROR, line, None)
    assert capfd.readouterr().err.encode() == line
