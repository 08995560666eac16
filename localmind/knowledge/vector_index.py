"""Keeps Chroma equal to SQLite: opens it, checks it, fills it, rebuilds it, asks it.

The Chroma directory is a numbered generation below `chroma_dir`; the number is in SQLite. A
generation that fails its check is abandoned by raising the number and marking every chunk as not
placed, in one transaction, so a crash at any point leaves either the old or the new state. Until a
root is placed again, exact search over the vectors in SQLite answers for it.
"""

import logging
import re
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

from localmind.errors import LocalmindError
from localmind.knowledge.database import Database
from localmind.knowledge.index import Index
from localmind.workers.process import WorkerCalls

BATCH = 200
TIMEOUT_S = 120.0
CANARIES = 5

log = logging.getLogger("localmind.knowledge")


class VectorIndex:
    """The daemon's side of the vectors worker. `model` is None until an embedder is known."""

    def __init__(self, database: Database, calls: WorkerCalls, directory: Path) -> None:
        self._database = database
        self._calls = calls
        self._directory = directory
        self._generation = 1
        # Roots whose collection passed its check, and those of them that were complete at some time since.
        self._open: set[int] = set()
        self._ready: set[int] = set()
        self.model: str | None = None
        self.trouble: str | None = None
        """Why Chroma does not answer at present."""

    async def start(self, model: str | None) -> None:
        """Use `model` from now on and remove generations that are no longer used."""
        self.model = model
        self._open.clear()
        self._ready.clear()
        self._generation = int(await self._database.run(Index.meta, "generation") or 1)
        self._remove_old()

    async def settle(self, root_id: int) -> bool:
        """Do one portion of work for a root: open and check, delete what is stale, or add. False when all is done.

        Raises LocalmindError when the worker fails; the caller tries again later.
        """
        if self.model is None:
            return False
        if root_id not in self._open and not await self._check(root_id):
            await self.rebuild()
            return True
        stale = await self._database.run(Index.stale, root_id, BATCH)
        if stale:
            await self._call("delete", root_id, ids=stale)
            await self._database.run(Index.clear_stale, root_id, stale)
            return True
        rows = await self._database.run(Index.unplaced, root_id, self.model, BATCH)
        if not rows:
            self.trouble = None
            self._ready.add(root_id)
            return False
        vectors = b"".join(data for _, data in rows)
        ids = [number for number, _ in rows]
        await self._call("add", root_id, ids=ids, vectors=vectors, dim=len(rows[0][1]) // 4)
        deleted = await self._database.run(Index.mark_placed, ids)
        if deleted:
            await self._database.run(Index.add_stale, root_id, deleted)
        return True

    def ready(self, root_id: int) -> bool:
        """Whether Chroma passed its check for this root and was complete at some time since."""
        return root_id in self._ready

    async def query(self, root_id: int, vector: bytes, k: int) -> list[tuple[int, float]]:
        """(chunk id, cosine) of the nearest chunks, best first; empty when there is no way to know."""
        try:
            if self.ready(root_id):
                return [(number, score) for number, score in await self._call("query", root_id, vector=vector, k=k)]
        except LocalmindError as error:
            self.distrust(error)
        try:
            answer = await self._calls.call(
                "exact",
                {"database": str(self._database.path), "root": root_id, "model": self.model, "vector": vector, "k": k},
                timeout=TIMEOUT_S,
            )
        except LocalmindError as error:
            self.distrust(error)
            return []
        return [(number, score) for number, score in answer]

    def distrust(self, error: Exception) -> None:
        """The worker failed: check everything again before it is trusted."""
        if self.trouble is None:
            log.warning("the vector index does not answer: %s", error)
        self.trouble = str(error)
        self._open.clear()
        self._ready.clear()

    async def rebuild(self) -> None:
        """Start an empty generation; `settle` fills it from SQLite, nothing is embedded again."""
        log.warning("rebuilding the vector index from the database")
        await self._calls.call("close", {}, timeout=TIMEOUT_S)
        self._open.clear()
        self._ready.clear()
        self._generation = await self._database.run(Index.abandon_generation)
        self._remove_old()

    async def drop_unused(self) -> None:
        """Delete collections of roots and models that are gone."""
        if self.model is None or not self._path().exists():
            return
        roots = await self._database.run(Index.roots)
        keep = [self._collection(root.id) for root in roots]
        await self._calls.call("drop", {"dir": str(self._path()), "keep": keep}, timeout=TIMEOUT_S)
        self._open &= {root.id for root in roots}
        self._ready &= self._open

    async def _check(self, root_id: int) -> bool:
        """Count, then ids, then known neighbours. False: this generation is not to be trusted."""
        assert self.model is not None
        expected = await self._database.run(Index.expected, root_id)
        count = (await self._call("open", root_id))["count"]
        if count != expected:
            # A crash between Chroma's commit and ours leaves a few ids too many or too few.
            present = await self._call("ids", root_id)
            if len(present) != count:
                return False
            await self._database.run(Index.reconcile_placed, root_id, present)
        for number, vector in await self._database.run(Index.sample_placed, root_id, self.model, CANARIES):
            nearest = await self._call("query", root_id, vector=vector, k=1)
            if not nearest or nearest[0][1] < 0.99:
                log.warning("chunk %d does not find itself in the vector index", number)
                return False
        self._open.add(root_id)
        return True

    async def _call(self, method: str, root_id: int, **more: Any) -> Any:
        params = {"dir": str(self._path()), "collection": self._collection(root_id)} | more
        return await self._calls.call(method, params, timeout=TIMEOUT_S)

    def _path(self) -> Path:
        return self._directory / f"g{self._generation:04d}"

    def _collection(self, root_id: int) -> str:
        assert self.model is not None
        return f"root-{root_id}-{sha256(self.model.encode()).hexdigest()[:12]}"

    def _remove_old(self) -> None:
        if not self._directory.is_dir():
            return
        for entry in self._directory.iterdir():
            if re.fullmatch(r"g\d{4,}", entry.name) and entry != self._path():
                shutil.rmtree(entry, ignore_errors=True)
