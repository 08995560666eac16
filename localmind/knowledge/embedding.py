"""Gives every chunk its vector and every vector its place in Chroma, in small portions, newest edits first.

The queue is the database itself (`chunk.stage`), so nothing is lost by a crash and nothing done
twice. Work yields: between two portions it asks the gate, which is closed while somebody reads a streamed
answer, while the user or the battery wants it, or while the disk is full. While a whole folder is
being read, only what somebody just saved is embedded, so that everything can be found by keyword soon.
When a worker fails it rests and tries again; search goes on without it.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from localmind.errors import LocalmindError
from localmind.knowledge import vector_rows
from localmind.knowledge.database import Database
from localmind.knowledge.embedder import Embedder
from localmind.knowledge.pace import Gate
from localmind.knowledge.vector_index import VectorIndex

# Texts in one call: what is under way when an answer begins to stream takes so long (8 are 0.3 s on two cores).
PORTION = 8
# Texts sorted by length together; also how long a newly saved file waits for others.
WINDOW = 32
# Vectors collected before Chroma gets them, while more are coming: a commit of Chroma's costs 10 to 50 ms.
PLACE_EVERY = 192
REST_S = 10.0
# What was saved within so many seconds is embedded also while a whole folder is being read.
RECENT_S = 3000

log = logging.getLogger("localmind.knowledge")


class Embedding:
    """The task that embeds. `embedder` None means that none is installed yet."""

    def __init__(
        self,
        database: Database,
        vectors: VectorIndex,
        gate: Gate,
        *,
        roots: Callable[[], list[int]],
        bulk: Callable[[], bool],
        progressed: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`bulk`: whether a whole folder is being read at present."""
        self._database = database
        self._vectors = vectors
        self._gate = gate
        self._roots = roots
        self._bulk = bulk
        self._progressed = progressed
        self._clock = clock
        self._wake = asyncio.Event()
        self.embedder: Embedder | None = None
        self.busy = False
        """Whether there is work under way."""
        self.backlog = False
        """Whether many chunks wait for their vectors."""
        self.trouble: str | None = None
        """Why nothing is embedded at present."""
        self.rate = 0.0
        """Chunks a second, smoothed; 0 while unknown."""
        self.embedded = 0
        """Chunks embedded since the start."""

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake.clear()
            self.busy = True
            try:
                await self._drain()
                self.trouble = self._vectors.trouble
            except Exception as error:  # whatever it is, the queue is in the database and the next try may do better
                if self.trouble is None:
                    log.warning("vectors wait: %s", error, exc_info=not isinstance(error, LocalmindError))
                self.trouble = str(error)
            finally:
                self.busy = False
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
        # An installed index is checked, and what was deleted leaves it, also when no embedder is there.
        stored = 0
        for root_id in self._roots():
            await self._vectors.check(root_id)
        while True:
            await self._gate.turn()
            window = await self._window()
            for start in range(0, len(window), PORTION):
                started = time.monotonic()
                await self._embed(window[start : start + PORTION])
                await self._gate.turn(time.monotonic() - started)
            stored += len(window)
            if not window or stored >= PLACE_EVERY:
                await self._place()
                stored = 0
            if not window:
                await self._change_over()
                return

    async def _window(self) -> list[tuple[bytes, str]]:
        if self.embedder is None:
            return []
        since = int(self._clock()) - RECENT_S if self._bulk() else 0
        window = await self._database.run(vector_rows.unembedded, WINDOW, since)
        self.backlog = len(window) == WINDOW
        if not window and not self._bulk():
            window = await self._database.run(vector_rows.unsketched, self.embedder.model.name, WINDOW)
        window.sort(key=lambda pair: len(pair[1]))
        return window

    async def _embed(self, portion: list[tuple[bytes, str]]) -> None:
        assert self.embedder is not None
        embedder, started = self.embedder, time.monotonic()
        made = await embedder.index([text for _, text in portion])
        rate = len(portion) / max(time.monotonic() - started, 1e-6)
        self.rate = rate if not self.rate else 0.9 * self.rate + 0.1 * rate
        rows = [(digest, *one) for (digest, _), one in zip(portion, made, strict=True)]
        await self._database.run(vector_rows.store_vectors, rows, embedder.model.name)
        self.embedded += len(rows)
        self._progressed()

    async def _place(self) -> None:
        for root_id in self._roots():
            while await self._vectors.settle(root_id):
                self._progressed()
                await self._gate.turn()

    async def _change_over(self) -> None:
        """The new embedder answers from now on, once every chunk has its vector."""
        wanted, serving = self._vectors.models.wanted, self._vectors.models.serving
        if wanted is None or wanted == serving or self._bulk() or not await self._database.run(vector_rows.complete):
            return
        await self._database.run(vector_rows.serve, wanted)
        self._vectors.models = await self._database.run(vector_rows.models)
        if serving is not None:
            await self._vectors.drop_unused()
        self.changed_over()

    changed_over: Callable[[], None] = staticmethod(lambda: None)
    """Called when another embedder answers than before."""
