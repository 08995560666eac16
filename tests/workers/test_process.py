"""A worker process from the daemon's side, with real processes that really die."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stopwatch import Stopwatch

from localmind.errors import InternalError, ModelFileBroken, ShuttingDown, TimedOut, WorkerDied, WorkerHung
from localmind.workers.process import StreamResult, WorkerProcess, worker_environment

COMMAND = [sys.executable, str(Path(__file__).with_name("sample_worker.py"))]


@pytest.fixture
async def worker() -> AsyncIterator[WorkerProcess]:
    started = await WorkerProcess.start("sample", "the sample", COMMAND)
    yield started
    await started.stop()


async def test_a_call_returns_what_the_worker_answers(worker: WorkerProcess) -> None:
    value = {"text": "grüße", "bytes": b"\x00\xff", "list": [1, 2.5, None, True]}
    assert await worker.call("echo", value) == value


async def test_a_stream_yields_items_in_order_and_then_the_result(worker: WorkerProcess) -> None:
    answers = [answer async for answer in worker.stream("count", {"to": 500})]
    assert answers[:-1] == list(range(500))
    assert answers[-1] == StreamResult("counted")


async def test_calls_from_many_tasks_do_not_mix_their_answers(worker: WorkerProcess) -> None:
    answers = await asyncio.gather(*[worker.call("echo", {"n": n}) for n in range(100)])
    assert answers == [{"n": n} for n in range(100)]


async def test_a_typed_error_arrives_with_its_class_and_hint(worker: WorkerProcess) -> None:
    with pytest.raises(ModelFileBroken, match="cut short") as caught:
        await worker.call("refuse")
    assert caught.value.hint == "localmind models pull it"


async def test_an_unforeseen_exception_becomes_an_internal_error_and_the_worker_lives_on(worker: WorkerProcess) -> None:
    with pytest.raises(InternalError, match="ZeroDivisionError: nobody foresaw this"):
        await worker.call("stumble")
    assert await worker.call("echo", {"still": "there"}) == {"still": "there"}


async def test_an_unknown_method_is_an_error_and_not_a_hang(worker: WorkerProcess) -> None:
    with pytest.raises(InternalError, match="no method 'dance'"):
        await worker.call("dance")


@pytest.mark.alone
async def test_a_segfault_ends_streams_in_flight_with_a_typed_error_within_a_second(worker: WorkerProcess) -> None:
    received: list[object] = []
    with Stopwatch() as watch, pytest.raises(WorkerDied, match="the sample was killed by SIGSEGV"):
        async for answer in worker.stream("die_after", {"items": 3}):
            received.append(answer)
    assert received == [0, 1, 2]
    assert watch.seconds < 1.0
    assert (await worker.wait_dead()).signal_name == "SIGSEGV"


async def test_the_last_words_of_a_dead_worker_are_kept(worker: WorkerProcess) -> None:
    with pytest.raises(WorkerDied):
        await worker.call("die_after", {"items": 0})
    assert "about to read address 0" in (await worker.wait_dead()).log_tail


async def test_a_call_to_a_dead_worker_fails_at_once(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGKILL)
    await worker.wait_dead()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        await worker.call("echo")


async def test_closing_a_stream_cancels_the_call_in_the_worker(worker: WorkerProcess, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    async with contextlib.aclosing(worker.stream("wait_for_cancel", {"file": str(proof)})) as answers:
        assert await anext(answers) == "waiting"
    assert await worker.call("echo", {"after": 1}) == {"after": 1}  # the one thread is free again
    assert proof.read_text() == "cancelled"


async def test_a_call_that_takes_too_long_times_out_and_is_cancelled(worker: WorkerProcess, tmp_path: Path) -> None:
    with pytest.raises(TimedOut, match="the sample did not finish 'wait_for_cancel'"):
        await worker.call("wait_for_cancel", {"file": str(tmp_path / "proof")}, timeout=0.1)
    assert await worker.call("echo", {}) == {}


async def test_stopping_gives_streams_in_flight_the_reason(worker: WorkerProcess, tmp_path: Path) -> None:
    async def wait() -> None:
        async for _ in worker.stream("wait_for_cancel", {"file": str(tmp_path / "proof")}):
            reached.set()

    reached = asyncio.Event()
    task = asyncio.create_task(wait())
    await reached.wait()
    await worker.stop(ShuttingDown("going home"))
    with pytest.raises(ShuttingDown, match="going home"):
        await task


async def test_a_worker_that_sends_garbage_is_killed_and_named() -> None:
    with pytest.raises(WorkerHung, match="sent garbage"):
        await WorkerProcess.start("garbage", "the sample", COMMAND)


async def test_a_worker_that_falls_silent_is_killed() -> None:
    worker = await WorkerProcess.start("sample", "the sample", COMMAND, silence_limit_s=2.0)
    with pytest.raises(WorkerHung, match="did not answer for"):
        await worker.call("stop_yourself")


async def test_a_worker_that_cannot_start_says_what_it_wrote() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such library')"]
    with pytest.raises(WorkerDied, match="ended with exit code 1"):
        await WorkerProcess.start("sample", "the sample", command)


async def test_a_worker_ends_when_the_daemon_closes_its_end(worker: WorkerProcess) -> None:
    await worker.stop()
    death = await worker.wait_dead()
    assert death.exit_code == 0


async def test_secrets_of_the_environment_do_not_reach_a_worker() -> None:
    given = {"HF_TOKEN": "hf_x", "OPENAI_API_KEY": "sk", "MY_PASSWORD": "p", "HOME": "/home/u"}
    kept = worker_environment(given)
    assert kept["HOME"] == "/home/u"
    assert not {"HF_TOKEN", "OPENAI_API_KEY", "MY_PASSWORD"} & kept.keys()
