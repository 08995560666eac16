"""The knowledge database on a thread of its own, so that the daemon's loop never waits for a disk.

Every access goes through `run`, one after another in the order of asking, which also makes each
function atomic against all others. Searches and figures go through `read`, on a second thread with a
connection of its own, so that they never wait for a file that is being stored. It holds no SQL and no rule.
"""

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from localmind.knowledge.index import Index
from localmind.store.connection import told_when_full

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """An Index and the one thread that may touch it, and a second one for those who only read."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="knowledge-db")
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="knowledge-read")
        self._index: Index | None = None
        self._reader: Index | None = None

    async def open(self) -> None:
        """Open or create; raises what `open_database` raises."""
        loop = asyncio.get_running_loop()
        self._index = await loop.run_in_executor(self._thread, functools.partial(Index, self.path, clock=self._clock))
        self._reader = await loop.run_in_executor(self._reading, Index.reader, self.path)

    async def run(self, function: Callable[Concatenate[Index, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(index, …)` on the thread: `await database.run(Index.counts, root_id)`. Raises DiskFull too."""
        assert self._index is not None, "open() comes first"
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, self._told, functools.partial(function, self._index, *args, **kwargs)
        )

    async def read(self, function: Callable[Concatenate[Index, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `run` for functions that only read; sees what is committed when it starts."""
        assert self._reader is not None, "open() comes first"
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._reading, self._told, functools.partial(function, self._reader, *args, **kwargs)
        )

    def _told(self, call: Callable[[], T]) -> T:
        with told_when_full(self.path):
            return call()

    async def close(self) -> None:
        """Finish what was asked and close; asking again is an error."""
        # The reader first: the last connection to close writes the log into the database.
        if self._reader is not None:
            await self.read(Index.close)
            self._reader = None
        if self._index is not None:
            await self.run(Index.close)
            self._index = None
        self._reading.shutdown(wait=False)
        self._thread.shutdown(wait=False)
