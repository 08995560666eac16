"""What is told about the index: figures of each folder and of the whole, for status, progress and waiting.

Only reads: rows through the reading connection, the rest from the parts that do the work. It decides
nothing except when a folder counts as done.
"""

import asyncio
from dataclasses import dataclass

from localmind.counted import counted
from localmind.events import Progress
from localmind.knowledge import traces, vector_rows
from localmind.knowledge.database import Database
from localmind.knowledge.embedding import Embedding
from localmind.knowledge.index import Counts, Index, Root
from localmind.knowledge.pace import Gate
from localmind.knowledge.reading import Reading
from localmind.knowledge.upkeep import Watches
from localmind.knowledge.vector_index import VectorIndex


@dataclass(slots=True, frozen=True)
class FolderStatus:
    """A watched folder and how far it is."""

    id: int
    path: str
    state: str
    """"reading", "embedding", "ready", "paused" (with work left), or "offline" (not there; its index is kept)."""
    files: int
    chunks: int
    vectors_pending: int
    """Passages that only keywords find yet."""
    errors: tuple[tuple[str, str], ...]
    """(path relative to the folder, reason) of what could not be read; tried again when it changes."""
    problem: str | None
    """What keeps the whole folder from being complete."""
    watching: str
    """"events", or "polling: reason"."""
    files_left: int = 0
    """Files that are still to be read."""
    current: str = ""
    """The file that is being read, relative to the folder."""
    rate: float | None = None
    """Files read, or passages embedded, a second; None when nothing is under way or nothing is known yet."""
    eta_s: float | None = None
    """Seconds until nothing is left to do at that rate; while files are read, until they are."""


@dataclass(slots=True, frozen=True)
class Indexing:
    """The index as a whole."""

    paused: bool
    """Whether nothing is read or embedded at present."""
    pace: str | None
    """Why it is not at full speed."""
    embed_model: str | None
    """The embedder whose vectors all passages are to have."""
    answering_model: str | None
    """The embedder that answers questions; another one while the index changes over."""
    vector_index: str
    """"ready", "filling", or why it does not answer; exact search answers in the meantime."""
    to_forget: bool
    """Traces of deleted files are still in our files; they are removed when the machine is idle."""


class State:
    """Tells of the parts of one index."""

    def __init__(
        self,
        database: Database,
        reading: Reading,
        embedding: Embedding,
        vectors: VectorIndex,
        gate: Gate,
        watches: Watches,
    ) -> None:
        self._database = database
        self._reading = reading
        self._embedding = embedding
        self._vectors = vectors
        self._gate = gate
        self._watches = watches

    async def settled(self, root_id: int) -> bool:
        """Whether everything is done for a root that can be done at present."""
        work = self._reading.work.get(root_id)
        if work is None:
            return True
        if self._gate.pace.reason is not None and not self._gate.pace.work:
            return not work.looking and not work.dirty.scope
        if self._reading.trouble is not None and not work.looking and not work.flying:
            return True
        if not work.idle:
            return False
        if self._embedding.embedder is None or self._embedding.trouble is not None:
            return True
        return self._vectors.ready(root_id) and await self._database.read(vector_rows.settled, root_id)

    async def progress(self, root_id: int) -> Progress | None:
        """What is being done for a root."""
        work = self._reading.work.get(root_id)
        if work is None:
            return None
        now = asyncio.get_running_loop().time()
        if work.left:
            rate = work.rate(now)
            eta = work.left / rate if rate else None
            return Progress("read", work.read, work.read + work.left, "files", work.current, _short(rate), _short(eta))
        if not work.idle:
            return Progress("scan", 0, None, "files", str(work.root.path))
        counts = await self._database.read(Index.counts, root_id)
        rate = self._embedding.rate or None
        eta = counts.unembedded / rate if rate else None
        done = counts.chunks - counts.unembedded
        return Progress("embed", done, counts.chunks, "passages", "", _short(rate), _short(eta))

    async def folder(self, root: Root) -> FolderStatus:
        """Everything about one root."""
        counts = await self._database.read(Index.counts, root.id)
        work = self._reading.work.get(root.id)
        watching = self._watches.how(root.id)
        failed = await self._database.read(Index.problems, root.id)
        step = await self.progress(root.id)
        state = self._state(root, counts)
        return FolderStatus(
            id=root.id,
            path=str(root.path),
            state=state,
            files=counts.files,
            chunks=counts.chunks,
            vectors_pending=counts.waiting,
            errors=(*failed, *(work.problems if work is not None else ())),
            problem=self._problem(root, state),
            watching="events" if watching.events else f"polling: {watching.why}",
            files_left=work.left if work is not None else 0,
            current=work.current if work is not None else "",
            rate=step.rate if step is not None and state in ("reading", "embedding") else None,
            eta_s=step.eta_s if step is not None and state in ("reading", "embedding") else None,
        )

    def _state(self, root: Root, counts: Counts) -> str:
        work = self._reading.work.get(root.id)
        able = self._embedding.embedder is not None and self._embedding.trouble is None
        if root.problem is not None:
            return "offline"
        reading = work is not None and not work.idle
        if not reading and not (counts.waiting and able):
            return "ready"
        pace = self._gate.pace
        if pace.reason is not None and not pace.work and not (work is not None and work.looking):
            return "paused"
        return "reading" if reading else "embedding"

    def _problem(self, root: Root, state: str) -> str | None:
        work = self._reading.work.get(root.id)
        kept = work.kept if work is not None else 0
        if root.problem is not None:
            return root.problem
        if state == "paused":
            return self._gate.pace.reason
        if kept:
            return f"{counted(kept, 'file')} on a disk that is not there; what is known is kept"
        return self._reading.trouble or self._embedding.trouble

    async def indexing(self) -> Indexing:
        """The whole."""
        pace = self._gate.pace
        filling = (
            not await self._database.read(vector_rows.complete) if self._vectors.models.wanted is not None else False
        )
        return Indexing(
            paused=not pace.work and pace.reason is not None,
            pace=pace.reason,
            embed_model=self._vectors.models.wanted,
            answering_model=self._vectors.model,
            vector_index=self._vectors.trouble or ("filling" if filling else "ready"),
            to_forget=bool(await self._database.read(traces.traces)),
        )


def _short(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
