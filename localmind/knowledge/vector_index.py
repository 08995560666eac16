"""Keeps Chroma equal to SQLite: opens it, checks it, fills it, rebuilds it, asks it.

The Chroma directory is a numbered generation below `chroma_dir`, or a set of collections on a Chroma
server; the number is in SQLite. A generation that fails its check, crashes its worker or holds
vectors of deleted text is abandoned by raising the number and marking every chunk as not placed, in
one transaction, so a crash at any point leaves either the old or the new state. What Chroma does not
hold at the moment is answered by exact search over the vectors in SQLite, in the embed worker, which no
crash of Chroma touches.
"""

import asyncio
import logging
import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from localmind.errors import InternalError, LocalmindError, WorkerDied, WorkerHung
from localmind.knowledge import traces, vector_rows
from localmind.knowledge.database import Database
from localmind.knowledge.index import Index
from localmind.knowledge.vector_rows import Models
from localmind.workers.process import WorkerCalls

BATCH = 200
TIMEOUT_S = 120.0
# Chunks that must find themselves. The search is approximate, so when one does not, so many more are asked.
CANARIES, CANARIES_MORE = 20, 80
# The share of them that may be lost, one at least. Chroma's graph leaves a few out of reach (3 of 100 among 100,000 in
# dense clusters, and a rebuild takes minutes in which search is slow); cut files lose a third and more.
CANARIES_LOST = 0.05
# Seconds between rebuilds that are due to errors; the last one from then on.
PATIENCE_S = (0.0, 10.0, 60.0, 600.0)

log = logging.getLogger("localmind.knowledge")


@dataclass(slots=True, frozen=True)
class Server:
    """A Chroma server or cluster that is used instead of files of our own."""

    url: str
    token: str | None = None


class VectorsWorker(WorkerCalls, Protocol):
    """A worker whose process can be changed for a new one."""

    async def rest(self) -> None:
        """End the process; the next call has another."""


class VectorIndex:
    """The daemon's side of the vectors worker. `exact` is the worker that searches SQLite by brute force."""

    def __init__(
        self,
        database: Database,
        calls: VectorsWorker,
        exact: WorkerCalls,
        directory: Path,
        *,
        server: Server | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._calls = calls
        self._exact = exact
        self._directory = directory
        self._server = server
        self._clock = clock
        self._generation = 1
        self._index_id = ""
        # Roots whose collection passed its check.
        self._open: set[int] = set()
        self._suspect = False
        self._rebuilt = 0
        self._rebuild_at = 0.0
        self.models = Models(None, None)
        self.on_trouble: Callable[[], None] = lambda: None
        """Called when an answer failed: whoever fills the index should look at it."""
        self.trouble: str | None = None
        """Why Chroma does not answer at present."""

    @property
    def model(self) -> str | None:
        """The model whose vectors answer: during a change of the embedder that is the old one."""
        return self.models.serving or self.models.wanted

    @property
    def changing(self) -> bool:
        """Whether an old model answers until all chunks have vectors of the new one."""
        return self.models.serving is not None and self.models.serving != self.models.wanted

    async def start(self, models: Models) -> None:
        """Use these models from now on and remove generations that are no longer used."""
        self.models = models
        self._open.clear()
        self._generation = int(await self._database.run(Index.meta, "generation") or 1)
        self._index_id = await self._database.run(_index_id)
        await asyncio.to_thread(self._remove_old)

    async def settle(self, root_id: int) -> bool:
        """Do one portion of work for a root: open and check, delete what is stale, or add. False when all is done.

        Raises LocalmindError when the worker fails; the caller tries again later.
        """
        if self.models.wanted is None:
            return False
        try:
            return await self._settle(root_id, self.models.wanted)
        except LocalmindError as error:
            self.distrust(error)
            if self._suspect and self._clock() >= self._rebuild_at:
                return True
            raise

    async def _settle(self, root_id: int, model: str) -> bool:
        if self._suspect or (root_id in self._open and await asyncio.to_thread(self._lost)):
            await self._rebuild_after_error()
            return True
        if root_id not in self._open and not await self._check(root_id, model):
            self._suspect = True
            return True
        stale = await self._database.run(vector_rows.stale, root_id, BATCH)
        if stale:
            await self._call("delete", root_id, model, ids=stale)
            await self._database.run(vector_rows.clear_stale, root_id, stale)
            return True
        rows = await self._database.run(vector_rows.unplaced, root_id, model, BATCH)
        if not rows:
            self.trouble, self._rebuilt = None, 0
            return False
        vectors = b"".join(data for _, data in rows)
        ids = [number for number, _ in rows]
        await self._call("add", root_id, model, ids=ids, vectors=vectors, dim=len(rows[0][1]) // 4)
        deleted = await self._database.run(vector_rows.mark_placed, ids, model)
        if deleted:
            await self._database.run(vector_rows.add_stale, root_id, deleted)
        return True

    async def check(self, root_id: int) -> None:
        """Look whether what Chroma holds of a root may answer. It adds nothing, so it need not wait for the gate:
        without it a paused index would be searched by brute force."""
        there = self._server is not None or self._path().exists()
        if self.models.wanted is None or root_id in self._open or self._suspect or not there:
            return
        try:
            self._suspect = not await self._check(root_id, self.models.wanted)
        except LocalmindError as error:
            self.distrust(error)

    def ready(self, root_id: int) -> bool:
        """Whether Chroma passed its check for this root."""
        return root_id in self._open

    async def query(self, root_id: int, vector: bytes, k: int) -> list[tuple[int, float]]:
        """(chunk id, cosine) of the nearest chunks, best first; empty when there is no way to know."""
        model = self.model
        if model is None:
            return []
        found: dict[int, float] = {}
        rest = "any" if self.changing else "stored"
        if self.ready(root_id) or self.changing:
            try:
                found = dict(await self._call("query", root_id, model, vector=vector, k=k))
                if found:
                    rest = "" if self.changing else "unplaced"
            except LocalmindError as error:
                self.distrust(error)
        if rest == "unplaced" and not await self._database.read(vector_rows.any_unplaced, root_id):
            rest = ""
        if rest:
            found |= await self._search_exactly(root_id, model, vector, k, rest)
        return sorted(found.items(), key=lambda pair: -pair[1])[:k]

    async def _search_exactly(self, root_id: int, model: str, vector: bytes, k: int, which: str) -> dict[int, float]:
        where = {"database": str(self._database.path), "root": root_id, "model": model, "which": which}
        where |= {"vector": vector, "k": k, "searching": True}
        try:
            answer = await self._exact.call("exact", where, timeout=TIMEOUT_S)
        except LocalmindError as error:
            log.warning("searching by keywords only: %s", error)
            return {}
        return dict(answer)

    def distrust(self, error: LocalmindError) -> None:
        """The worker failed: check everything again before it is trusted."""
        if self.trouble is None:
            log.warning("the vector index does not answer: %s", error)
        self.trouble = str(error)
        self._open.clear()
        # A worker that dies is started again and asked once more before we hear of it: then it is the files. An
        # error of a server is not ours to heal, and a full disk spoils nothing that a rebuild would mend.
        broken = isinstance(error, WorkerDied | WorkerHung | InternalError) and self._server is None
        if broken and not re.search(r"disk is full|no space|database or disk", str(error), re.IGNORECASE):
            self._suspect = True
        self.on_trouble()

    async def _rebuild_after_error(self) -> None:
        now = self._clock()
        if now < self._rebuild_at:
            raise InternalError(
                self.trouble or "the vector index failed its check", hint="localmind folders status; it heals by itself"
            )
        await self.rebuild()
        self._rebuilt = min(self._rebuilt + 1, len(PATIENCE_S) - 1)
        self._rebuild_at = now + PATIENCE_S[self._rebuilt]

    async def rebuild(self) -> None:
        """Start an empty generation; `settle` fills it from SQLite, nothing is embedded again.

        A new process writes it: Chroma puts memory that it never filled into its files, and in that of the old
        process are vectors of deleted text (proven: none of glibc's limits keeps a freed block from coming again).
        """
        log.info("rebuilding the vector index from the database")
        old = self._place()
        self._open.clear()
        self._suspect = False
        try:
            await self._calls.call("close", {}, timeout=TIMEOUT_S)
        except LocalmindError as error:
            # A worker that is not there has nothing open either.
            log.info("the vectors worker did not close its files: %s", error)
        if self._server is None:
            await self._calls.rest()
        await self._database.run(traces.begin_removal, "vectors")
        self._generation = await self._database.run(vector_rows.abandon_generation)
        if self._server is not None:
            await self._calls.call("drop", old | {"keep": [], "prefix": self._prefix(None)}, timeout=TIMEOUT_S)
        await asyncio.to_thread(self._remove_old)
        await self._database.run(traces.end_removal, "vectors")

    async def drop_unused(self) -> None:
        """Delete collections of roots and models that are gone."""
        if self.models.wanted is None or (self._server is None and not self._path().exists()):
            return
        roots = await self._database.run(Index.roots)
        names = {self.models.wanted, self.models.serving} - {None}
        keep = [self._collection(root.id, name) for root in roots for name in names if name is not None]
        prefix = self._prefix(self._generation)
        await self._calls.call("drop", self._place() | {"keep": keep, "prefix": prefix}, timeout=TIMEOUT_S)
        self._open &= {root.id for root in roots}

    async def _check(self, root_id: int, model: str) -> bool:
        """Count, then ids, then known neighbours. False: this generation is not to be trusted."""
        expected = await self._database.run(vector_rows.expected, root_id)
        count = (await self._call("open", root_id, model))["count"]
        if count != expected:
            # A crash between Chroma's commit and ours leaves a few ids too many or too few.
            present = await self._call("ids", root_id, model)
            # Most of them missing is no crash: somebody lost files, and what is left beside them is not to be trusted.
            if len(present) != count or len(present) < expected // 2:
                return False
            await self._database.run(vector_rows.reconcile_placed, root_id, present)
        lost = await self._lost_canaries(root_id, model, CANARIES)
        if lost:
            lost += await self._lost_canaries(root_id, model, CANARIES_MORE)
        asked = min(expected, CANARIES + CANARIES_MORE)
        if lost > max(1, asked * CANARIES_LOST) or (lost and lost == expected):
            return False
        self._open.add(root_id)
        return True

    async def _lost_canaries(self, root_id: int, model: str, count: int) -> int:
        """How many of `count` known chunks do not find themselves."""
        lost = 0
        for number, vector in await self._database.run(vector_rows.sample_placed, root_id, model, count):
            nearest = await self._call("query", root_id, model, vector=vector, k=3)
            if not nearest or nearest[0][1] < 0.99:
                log.warning("chunk %d does not find itself in the vector index", number)
                lost += 1
        return lost

    def _lost(self) -> bool:
        """Whether somebody removed the files of the open generation: Chroma would go on writing to what is gone."""
        return self._server is None and not (self._path() / "chroma.sqlite3").exists() and self._path().parent.exists()

    async def _call(self, method: str, root_id: int, model: str, **more: Any) -> Any:
        params = self._place() | {"collection": self._collection(root_id, model)} | more
        return await self._calls.call(method, params, timeout=TIMEOUT_S)

    def _place(self) -> dict[str, Any]:
        if self._server is not None:
            return {"url": self._server.url, "token": self._server.token}
        return {"dir": str(self._path())}

    def _path(self) -> Path:
        return self._directory / f"g{self._generation:04d}"

    def _prefix(self, generation: int | None) -> str:
        """What our collections on a shared server begin with; "" for files of our own."""
        if self._server is None:
            return ""
        return f"localmind-{self._index_id}-" + ("" if generation is None else f"g{generation:04d}-")

    def _collection(self, root_id: int, model: str) -> str:
        return f"{self._prefix(self._generation)}root-{root_id}-{sha256(model.encode()).hexdigest()[:12]}"

    def _remove_old(self) -> None:
        if not self._directory.is_dir():
            return
        for entry in self._directory.iterdir():
            unused = entry != self._path() or self._server is not None
            if re.fullmatch(r"g\d{4,}", entry.name) and unused:
                shutil.rmtree(entry, ignore_errors=True)


def _index_id(index: Index) -> str:
    """Names this index among those that share a server."""
    if (known := index.meta("index_id")) is None:
        known = secrets.token_hex(6)
        index.set_meta("index_id", known)
    return known
