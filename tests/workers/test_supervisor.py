"""Restart, the one silent retry, and quarantine, with real processes that really die."""

import asyncio
import sys
from pathlib import Path

import pytest

from localmind.errors import ModelNotInstalled, ModelQuarantined, ShuttingDown, WorkerDied
from localmind.workers.process import StreamResult, WorkerProcess
from localmind.workers.supervisor import DEATHS_WINDOW_S, Supervisor, launcher

COMMAND = [sys.executable, str(Path(__file__).with_name("sample_worker.py"))]


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def supervised(clock: FakeClock | None = None) -> Supervisor:
    return Supervisor("the sample", launcher("sample", "the sample", None, COMMAND), clock=clock or FakeClock())


async def test_the_worker_is_started_by_the_first_call_and_kept() -> None:
    worker = supervised()
    assert worker.pid is None
    first = await worker.call("pid")
    assert first == worker.pid == await worker.call("pid")
    await worker.stop()


async def test_many_first_calls_start_one_worker() -> None:
    worker = supervised()
    assert len(set(await asyncio.gather(*[worker.call("pid") for _ in range(10)]))) == 1
    await worker.stop()


async def test_a_call_that_had_received_nothing_is_retried_once_in_silence(tmp_path: Path) -> None:
    worker = supervised()
    assert await worker.call("die_once", {"file": str(tmp_path / "deaths")}) == "alive"
    assert len(worker.deaths) == 1
    await worker.stop()


async def test_a_stream_that_had_sent_nothing_is_retried_once_in_silence(tmp_path: Path) -> None:
    worker = supervised()
    answers = [answer async for answer in worker.stream("die_once", {"file": str(tmp_path / "deaths")})]
    assert answers == [StreamResult("alive")]
    await worker.stop()


async def test_a_stream_that_had_sent_something_is_not_repeated() -> None:
    worker = supervised()
    received = []
    with pytest.raises(WorkerDied):
        async for answer in worker.stream("die_after", {"items": 2}):
            received.append(answer)
    assert received == [0, 1]
    assert await worker.call("echo", {"next": 1}) == {"next": 1}, "the next call is answered by a new worker"
    await worker.stop()


async def test_a_call_that_kills_every_worker_fails_after_the_second() -> None:
    worker = supervised()
    with pytest.raises(WorkerDied):
        await worker.call("die_after", {"items": 0})
    assert len(worker.deaths) == 2
    await worker.stop()


async def test_three_deaths_in_ten_minutes_are_a_quarantine_with_a_reason() -> None:
    worker = supervised()
    for _ in range(2):
        with pytest.raises((WorkerDied, ModelQuarantined)):
            await worker.call("die_after", {"items": 0})
    with pytest.raises(ModelQuarantined, match="the sample died 3 times in 10 minutes") as caught:
        await worker.call("echo")
    assert "SIGSEGV" in caught.value.message
    assert "localmind doctor" in str(caught.value.hint)
    await worker.stop()


async def test_three_deaths_over_a_longer_time_are_no_quarantine() -> None:
    clock = FakeClock()
    worker = supervised(clock)
    for _ in range(4):
        clock.now += DEATHS_WINDOW_S / 2 + 1  # not while it dies: its death may be known before its last word is read
        with pytest.raises(WorkerDied):
            async for _ in worker.stream("die_after", {"items": 1}):
                pass
    assert worker.quarantine is None
    assert await worker.call("echo", {}) == {}
    await worker.stop()


async def test_what_a_launch_raises_reaches_the_caller_and_leaves_no_process() -> None:
    prepared: list[WorkerProcess] = []

    async def prepare(process: WorkerProcess) -> None:
        prepared.append(process)
        raise ModelNotInstalled("no embedder yet")

    worker = Supervisor("the sample", launcher("sample", "the sample", prepare, COMMAND))
    with pytest.raises(ModelNotInstalled):
        await worker.call("echo")
    assert prepared[0].death is not None
    assert worker.deaths == [], "a launch has its own memory of deaths"
    await worker.stop()


class SlowLaunch:
    """A launch that waits for `go` and counts."""

    def __init__(self) -> None:
        self.started, self.go = asyncio.Event(), asyncio.Event()
        self.launches = 0

    async def __call__(self) -> WorkerProcess:
        self.launches += 1
        self.started.set()
        await self.go.wait()
        return await WorkerProcess.start("sample", "the sample", COMMAND)


async def test_a_launch_goes_on_when_the_first_who_waited_gives_up() -> None:
    launch = SlowLaunch()
    worker = Supervisor("the sample", launch)
    leaves, stays = (asyncio.create_task(worker.call("echo", {})) for _ in range(2))
    await launch.started.wait()
    leaves.cancel()
    await asyncio.wait({leaves})
    launch.go.set()
    assert await stays == {}
    assert launch.launches == 1
    await worker.stop()


async def test_stopping_in_the_middle_of_a_launch_does_not_wait_for_it() -> None:
    launch = SlowLaunch()
    worker = Supervisor("the sample", launch)
    waiting = asyncio.create_task(worker.call("echo", {}))
    await launch.started.wait()
    await worker.stop()
    with pytest.raises(ShuttingDown):
        await waiting


async def test_a_stopped_supervisor_starts_nothing() -> None:
    worker = supervised()
    await worker.call("echo", {})
    await worker.stop()
    with pytest.raises(ShuttingDown):
        await worker.call("echo", {})
