"""While somebody reads an answer, recordings breathe: their workers run for a moment and are held still for seven.

A pass of Whisper's cannot be interrupted, takes seconds beside a chat, and costs it two thirds of its speed for so long
(measured). Holding the process still works at any point of a pass, needs no permission, and is undone whatever happens
here: a worker dies with the daemon. Whoever speaks live is not held; passes give way to chats by turns.py then.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator

import psutil

RUN_S, STILL_S = 0.05, 0.35


class Breathing:
    """`still` says, each time anew, which processes are to be held; while there are none nothing runs here."""

    def __init__(self, still: Callable[[], Iterable[int]]) -> None:
        self._still = still
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin, if there is anything to hold."""
        if self._task is None and any(True for _ in self._still()):
            self._task = asyncio.create_task(self._breathe(), name="recordings breathe")

    async def _breathe(self) -> None:
        try:
            while pids := list(self._still()):
                with held(pids):
                    await asyncio.sleep(STILL_S)
                await asyncio.sleep(RUN_S)
        finally:
            self._task = None

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


@contextlib.contextmanager
def held(pids: Iterable[int]) -> Iterator[None]:
    """Inside, these processes stand still; those that are gone are left out."""
    stopped: list[psutil.Process] = []
    try:
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                process.suspend()
                stopped.append(process)
        yield
    finally:
        for process in stopped:
            with contextlib.suppress(psutil.Error):
                process.resume()
