"""Recordings while a chat answers: their process stands still most of the time, and always runs again."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from localmind.voice.breathing import Breathing, held


@pytest.fixture
def child() -> Iterator[psutil.Process]:
    """A process that waits for its stdin to end."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)
        process.kill()


def stands(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def becomes(process: psutil.Process, *, still: bool) -> bool:
    """Signals take a moment."""
    deadline = time.monotonic() + 120
    while stands(process) != still and time.monotonic() < deadline:
        continue
    return stands(process) == still


def test_it_stands_still_inside_and_runs_again_whatever_happened(child: psutil.Process) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(KeyError), held([gone.pid, child.pid]):
        assert becomes(child, still=True)
        raise KeyError
    assert becomes(child, still=False)


async def test_it_breathes_for_as_long_as_it_is_to_be_still(child: psutil.Process) -> None:
    pids = [child.pid]
    breathing = Breathing(lambda: pids)
    breathing.look()
    breathing.look()
    seen: set[bool] = set()
    async with asyncio.timeout(60):
        while seen != {True, False}:
            await asyncio.sleep(0.01)
            seen.add(stands(child))
        pids.clear()
        while breathing._task is not None:  # noqa: ASYNC110 (it ends by itself)
            await asyncio.sleep(0.01)
    assert becomes(child, still=False)


async def test_stopping_in_the_middle_lets_it_run(child: psutil.Process) -> None:
    breathing = Breathing(lambda: [child.pid])
    breathing.look()
    async with asyncio.timeout(60):
        while not stands(child):  # noqa: ASYNC110 (a process sets no event of ours)
            await asyncio.sleep(0.01)
        breathing.stop()
        while stands(child):  # noqa: ASYNC110 (a process sets no event of ours)
            await asyncio.sleep(0.01)


def test_with_nothing_to_hold_nothing_runs() -> None:
    breathing = Breathing(list)
    breathing.look()
    assert breathing._task is None
