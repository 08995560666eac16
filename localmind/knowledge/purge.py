"""Removes what deleted files left behind, by itself when nothing else is to be done, or at once when asked.

It owns the order and the moment; what is removed from the database is in `traces.py`, Chroma's files
are written anew by `VectorIndex`, and places that are not ours (prefixes of prompts that the engine keeps)
are cleared through `elsewhere`. Everything is done in short steps between which searches pass.
`due` is pure.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from localmind.knowledge import traces
from localmind.knowledge.database import Database
from localmind.knowledge.index import Index
from localmind.knowledge.traces import Traces
from localmind.knowledge.vector_index import VectorIndex

# Seconds of quiet before anything is removed by itself.
QUIET_S = 3.0
# Vectors that a rebuild places a second, at least, and seconds until its new process has Chroma: what its cost is
# judged by.
PLACED_A_SECOND = 500.0
BEGUN_S = 2.0
# A removal that costs one second is not repeated for so many seconds: at most a twentieth of one core.
SPARING = 20.0
BUSY_TRIES = 50

log = logging.getLogger("localmind.knowledge")


class Purged(msgspec.Struct, frozen=True):
    """What a purge did."""

    text: bool
    """Traces of text were there and are gone."""
    vectors: bool
    """Vectors of deleted text were in Chroma's files; these are written anew, which may still go on."""
    seconds: float


@dataclass(slots=True, frozen=True)
class Moment:
    """What counts for the decision. Clocks in seconds, of one clock."""

    now: float
    quiet_since: float | None
    """Since when nobody searches and nothing is read or embedded; None: now is no quiet moment."""
    chunks: int
    text_again_at: float = 0.0
    vectors_again_at: float = 0.0


def due(left: Traces, moment: Moment) -> tuple[bool, bool]:
    """Whether (text, vectors) are to be removed now."""
    if moment.quiet_since is None or moment.now - moment.quiet_since < QUIET_S:
        return False, False
    return (
        left.text is not None and moment.now >= moment.text_again_at,
        left.vectors is not None and moment.now >= moment.vectors_again_at,
    )


class Purge:
    """One index's removals. `busy` tells whether something is being done for the folders or a user."""

    def __init__(
        self,
        database: Database,
        vectors: VectorIndex,
        *,
        busy: Callable[[], bool],
        rebuild: Callable[[], None],
        elsewhere: Sequence[Callable[[], Awaitable[None]]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rebuild` is called when an empty generation of vectors waits to be filled."""
        self._database = database
        self._vectors = vectors
        self._busy = busy
        self._rebuild = rebuild
        self._elsewhere = elsewhere
        self._clock = clock
        self._quiet_since: float | None = None
        self._text_again_at = self._vectors_again_at = 0.0
        self._lock = asyncio.Lock()

    async def look(self) -> None:
        """Called every few seconds: do what is due."""
        now = self._clock()
        if self._busy():
            self._quiet_since = None
            return
        if self._quiet_since is None:
            self._quiet_since = now
        left = await self._database.read(traces.traces)
        if not left:
            return
        moment = Moment(
            now,
            self._quiet_since,
            await self._database.read(Index.chunks),
            self._text_again_at,
            self._vectors_again_at,
        )
        text, vectors = due(left, moment)
        if text or vectors:
            await self._run(text=text, vectors=vectors)

    async def now(self) -> Purged:
        """Remove everything that is left, without waiting for a quiet moment."""
        started = self._clock()
        left = await self._database.read(traces.traces)
        await self._run(text=True, vectors=left.vectors is not None)
        return Purged(left.text is not None, left.vectors is not None, round(self._clock() - started, 3))

    async def after_removal(self) -> None:
        """A whole folder was removed, and somebody waits: its text goes now, its vectors too where that is quick."""
        await self._run(text=True, vectors=await self._database.read(Index.chunks) == 0)

    async def _run(self, *, text: bool, vectors: bool) -> None:
        async with self._lock:
            started = self._clock()
            if text:
                await self._remove_text()
                self._text_again_at = self._clock() + SPARING * (self._clock() - started)
            if vectors and self._vectors.models.wanted is not None:
                chunks = await self._database.read(Index.chunks)
                await self._vectors.rebuild()
                self._vectors_again_at = self._clock() + SPARING * (BEGUN_S + chunks / PLACED_A_SECOND)
                self._rebuild()
            # Rows of the marks themselves, and pages that the steps above freed, are in the log.
            await self._cut_log()
            log.info("traces of deleted files removed in %.1f s", self._clock() - started)

    async def _remove_text(self) -> None:
        await self._database.run(traces.begin_removal, "text")
        for step in (traces.prune_vectors, traces.merge_words, traces.shrink):
            # Each step is a call of its own, so that a saved file can pass between two.
            more = True
            while more:
                more = await self._database.run(step)
        await self._database.run(traces.remove_backups)
        for clear in self._elsewhere:
            await clear()
        await self._cut_log()
        await self._database.run(traces.end_removal, "text")

    async def _cut_log(self) -> None:
        for _ in range(BUSY_TRIES):
            if await self._database.run(traces.cut_log):
                return
            await asyncio.sleep(0.05)
        log.warning("the log of the database could not be cut: somebody reads it all the time")
