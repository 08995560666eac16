"""The knowledge database on a thread of its own, so that the daemon's loop never waits for a disk.

Every access goes through `run`, one after another in the order of asking, which also makes each
function atomic against all others. It holds no SQL and no rule.
"""

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from localmind.knowledge.index import Index

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """An Index and the one thread that may touch it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="knowledge-db")
        self._index: Index | None = None

    async def open(self) -> None:
        """Open or create; raises what `open_database` raises."""
        loop = asyncio.get_running_loop()
        self._index = await loop.run_in_executor(self._thread, functools.partial(Index, self.path, clock=self._clock))

    async def run(self, function: Callable[Concatenate[Index, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(index, …)` on the thread: `await database.run(Index.counts, root_id)`."""
        assert self._index is not None, "open() comes first"
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, functools.partial(function, self._index, *args, **kwargs))

    async def close(self) -> None:
        """Finish what was asked and close; asking again is an error."""
        if self._index is not None:
            await self.run(Index.close)
            self._index = None
        self._thread.shutdown(wait=False)
