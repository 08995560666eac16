"""Gives every chunk its vector and every vector its place in Chroma, in small portions, newest first.

The queue is the database itself (`chunk.stage`), so nothing is lost by a crash and nothing done
twice. Work yields: between two portions it waits while `hold` is in force, which the daemon uses while somebody
reads a streamed answer. When a worker fails it rests and tries again; search goes on without it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from localmind.errors import LocalmindError
from localmind.knowledge.database import Database
from localmind.knowledge.embedder import Embedder
from localmind.knowledge.index import Index
from localmind.knowledge.vector_index import VectorIndex

# Texts in one call: a question waits for one call at most (8 chunks are about 0.3 s on two cores).
PORTION = 8
# Texts sorted by length together; also how long a newly saved file waits for others.
WINDOW = 32
# Vectors collected before Chroma gets them, while more are coming: a commit of Chroma's costs 10 to 50 ms.
PLACE_EVERY = 192
REST_S = 10.0

log = logging.getLogger("localmind.knowledge")


class Embedding:
    """The task that embeds. `embedder` None means that none is installed yet."""

    def __init__(
        self,
        database: Database,
        vectors: VectorIndex,
        *,
        roots: Callable[[], list[int]],
        progressed: Callable[[], None],
    ) -> None:
        self._database = database
        self._vectors = vectors
        self._roots = roots
        self._progressed = progressed
        self._wake = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._holds = 0
        self.embedder: Embedder | None = None
        self.trouble: str | None = None
        """Why nothing is embedded at present."""
        self.rate = 0.0
        """Chunks a second, smoothed; 0 while unknown."""

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """No portion starts inside this block; the one under way ends."""
        self._holds += 1
        self._free.clear()
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                self._free.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._drain()
                self.trouble = self._vectors.trouble
            except Exception as error:  # whatever it is, the queue is in the database and the next try may do better
                if self.trouble is None:
                    log.warning("vectors wait: %s", error, exc_info=not isinstance(error, LocalmindError))
                self.trouble = str(error)
                self._vectors.distrust(error)
            self._progressed()
            try:
                async with asyncio.timeout(REST_S if self.trouble else None):
                    await self._wake.wait()
                    # A worker that just failed is not asked again for every file that is saved.
                    if self.trouble:
                        await asyncio.sleep(REST_S)
            except TimeoutError:
                continue

    async def _drain(self) -> None:
        if self.embedder is None:
            return
        stored = 0
        while True:
            window = await self._database.run(Index.unembedded, WINDOW)
            window.sort(key=lambda pair: len(pair[1]))
            for start in range(0, len(window), PORTION):
                await self._free.wait()
                await self._embed(self.embedder, window[start : start + PORTION])
            stored += len(window)
            if not window or stored >= PLACE_EVERY:
                await self._place()
                stored = 0
            if not window:
                return

    async def _embed(self, embedder: Embedder, portion: list[tuple[bytes, str]]) -> None:
        started = time.monotonic()
        vectors = await embedder.embed([text for _, text in portion], "passage")
        rate = len(portion) / max(time.monotonic() - started, 1e-6)
        self.rate = rate if not self.rate else 0.8 * self.rate + 0.2 * rate
        pairs = [(digest, vector) for (digest, _), vector in zip(portion, vectors, strict=True)]
        await self._database.run(Index.store_vectors, pairs, embedder.model.name)
        self._progressed()

    async def _place(self) -> None:
        for root_id in self._roots():
            while await self._vectors.settle(root_id):
                self._progressed()
                await self._free.wait()
