"""Brings files of watched folders into the index: dirty paths → scan → queue → extract → one transaction.

It owns what is waiting to be read and in which order: what somebody just saved goes before what a
first scan found. A file that cannot be read is stored with its reason and stops nothing. It
knows nothing of vectors; a file is found by keyword as soon as its transaction is committed.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from localmind.errors import ExtractFailed, LocalmindError, TimedOut, WorkerDied, WorkerHung
from localmind.knowledge.chunk import VERSION as CHUNK_VERSION
from localmind.knowledge.database import Database
from localmind.knowledge.embedder import EmbedModel
from localmind.knowledge.extract import KINDS
from localmind.knowledge.extract import VERSION as EXTRACT_VERSION
from localmind.knowledge.index import Index, Root
from localmind.knowledge.rules import IGNORE_FILES, Rules
from localmind.knowledge.scan import Changes, Entry, Found, compare, minimal, walk
from localmind.workers.process import WorkerCalls

# A path is looked at when it was quiet so long, and at the latest after the second figure. Seconds.
QUIET_S = 0.4
PATIENCE_S = 3.0
FILE_SECONDS = 60.0
# On top of the worker's own limit: it may first have to start a parser.
MARGIN_S = 15.0
DIRTY_LIMIT = 2000
# In a recipe, in place of the embedder whose tokens were counted.
CHARACTERS = "characters"
# A file under which the worker itself died so often is given up until it changes.
DEATHS_ALLOWED = 2
# When the worker cannot be used at all, reading rests. Seconds.
REST_S = 15.0

log = logging.getLogger("localmind.knowledge")


@dataclass(slots=True)
class Dirty:
    """Paths of one root that may have changed. `first` and `last` are the clock at the oldest and newest event."""

    scope: set[str] = field(default_factory=set)
    first: float = 0.0
    last: float = 0.0

    def due(self) -> float:
        """When to look."""
        return min(self.last + QUIET_S, self.first + PATIENCE_S)


@dataclass(slots=True)
class Work:
    """What is to be done for one root, and how far it is."""

    root: Root
    dirty: Dirty = field(default_factory=Dirty)
    hot: dict[str, Entry] = field(default_factory=dict)
    cold: dict[str, Entry] = field(default_factory=dict)
    busy: bool = False
    current: str = ""
    read: int = 0
    """Files read since the root was last idle."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Of the last scan of the whole root: directories and files that cannot be looked at."""

    @property
    def idle(self) -> bool:
        return not (self.busy or self.dirty.scope or self.hot or self.cold)

    @property
    def left(self) -> int:
        return len(self.hot) + len(self.cold)


class Reading:
    """The queue of files of all roots and the task that empties it."""

    def __init__(
        self,
        database: Database,
        extract: WorkerCalls,
        *,
        never: Sequence[Path],
        progressed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._extract = extract
        self._never = never
        self._progressed = progressed
        self._clock = clock
        self._wake = asyncio.Event()
        self._deaths: dict[tuple[int, str], int] = {}
        self._resume_at = 0.0
        self.work: dict[int, Work] = {}
        self.trouble: str | None = None
        """Why nothing can be read at present."""
        self.model: EmbedModel | None = None

    def mark(self, root_id: int, relpath: str, *, now: bool = False) -> None:
        """A path may have changed. `now` skips the wait for quiet."""
        work = self.work.get(root_id)
        if work is None:
            return
        # An ignore file changes what is read in its whole directory.
        directory, _, name = relpath.rpartition("/")
        if name in IGNORE_FILES:
            relpath = directory
        dirty, moment = work.dirty, self._clock()
        if not dirty.scope:
            dirty.first = moment
        dirty.last = moment if not now else moment - PATIENCE_S
        dirty.scope.add(relpath)
        if len(dirty.scope) > DIRTY_LIMIT:
            dirty.scope = {""}
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. Cancelling leaves every file either as it was or replaced."""
        while True:
            self._wake.clear()
            if await self.step():
                continue
            due = [work.dirty.due() for work in self.work.values() if work.dirty.scope]
            if any(work.left for work in self.work.values()):
                due.append(self._resume_at)
            try:
                async with asyncio.timeout(max(0.01, min(due) - self._clock()) if due else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def step(self) -> bool:
        """Do the most urgent piece of work; False if there is none right now."""
        for work in list(self.work.values()):
            if work.dirty.scope and work.dirty.due() <= self._clock():
                await self._guarded(work, self._look(work))
                return True
        if self._clock() < self._resume_at:
            return False
        for hot in (True, False):
            for work in list(self.work.values()):
                queue = work.hot if hot else work.cold
                if queue:
                    relpath = next(iter(queue))
                    await self._guarded(work, self._read(work, queue.pop(relpath)))
                    return True
        return False

    async def _guarded(self, work: Work, action: Awaitable[None]) -> None:
        work.busy = True
        try:
            await action
        except Exception as error:  # a full disk, a surprise: one file's trouble must not end the reading of all others
            log.warning("%s: %s", work.root.path, error, exc_info=not isinstance(error, LocalmindError | OSError))
            work.problems.append((work.current or ".", str(error)))
        finally:
            work.busy = False
            work.current = ""
            if work.idle:
                work.read = 0
            self._progressed()

    async def _look(self, work: Work) -> None:
        scope, work.dirty = minimal(work.dirty.scope), Dirty()
        root = work.root
        offline = await asyncio.to_thread(unavailable, root)
        await self._database.run(Index.set_problem, root.id, offline)
        work.root = Root(root.id, root.path, root.device, offline)
        if offline is not None:
            work.hot.clear()
            work.cold.clear()
            return
        found, changes = await self.scan(root, scope)
        if root.id not in self.work:
            return
        if "" in scope:
            work.problems = found.problems
            work.cold.clear()
        if changes.moved:
            await self._database.run(Index.move, changes.moved)
        if changes.gone:
            await self._database.run(Index.forget, changes.gone)
        target = work.cold if "" in scope else work.hot
        target.update((entry.relpath, entry) for entry in changes.read)

    async def scan(self, root: Root, scope: Sequence[str]) -> tuple[Found, Changes]:
        """What differs from the index at or below `scope`."""
        rules = Rules(root.path, self._never)
        known = await self._database.run(Index.known, root.id, scope)
        if self.model is None:
            # Without an embedder there is nothing to gain by cutting anew what was cut for one.
            known = {path: replace(row, recipe=_without_tokens(row.recipe)) for path, row in known.items()}
        found = await asyncio.to_thread(walk, root.path, rules, scope)
        return found, compare(known, found, self.recipes())

    def recipes(self) -> dict[str, str]:
        """For each kind what its text and chunks depend on besides the file."""
        tokens = self.model.name if self.model is not None else CHARACTERS
        return {kind: f"{kind} {EXTRACT_VERSION}.{CHUNK_VERSION} {tokens}" for kind in {*KINDS.values(), "unknown"}}

    async def _read(self, work: Work, entry: Entry) -> None:
        work.current = entry.relpath
        self._progressed()
        root, recipe = work.root, self.recipes()[entry.kind]
        params = {
            "path": str(Path(root.path, entry.relpath)),
            "kind": entry.kind,
            "tokenizer": str(self.model.tokenizer) if self.model is not None else None,
            "limits": {"seconds": FILE_SECONDS},
        }
        model = self.model.name if self.model is not None else ""
        try:
            result = await self._extract.call("extract", params, timeout=FILE_SECONDS + MARGIN_S)
        except (ExtractFailed, TimedOut) as error:
            # Gone or replaced since the scan: not this version's fault, and an event is on its way.
            if await asyncio.to_thread(unchanged, root.path, entry) and root.id in self.work:
                await self._database.run(Index.fail, root.id, entry, recipe, error.message)
            return
        except LocalmindError as error:
            await self._worker_failed(work, entry, recipe, error)
            return
        self.trouble = None
        if root.id in self.work:
            await self._database.run(Index.replace, root.id, entry, recipe, result, model)
            work.read += 1

    async def _worker_failed(self, work: Work, entry: Entry, recipe: str, error: LocalmindError) -> None:
        """The worker, not the file, gave the error: try again, but not for ever with the same file."""
        key = (work.root.id, entry.relpath)
        if isinstance(error, WorkerDied | WorkerHung):
            self._deaths[key] = self._deaths.get(key, 0) + 1
            if self._deaths[key] >= DEATHS_ALLOWED:
                del self._deaths[key]
                await self._database.run(Index.fail, work.root.id, entry, recipe, error.message)
                return
        else:
            self.trouble = error.message
            self._resume_at = self._clock() + REST_S
        work.cold[entry.relpath] = entry


def _without_tokens(recipe: str) -> str:
    """The recipe that the same file would have if characters were counted."""
    return f"{recipe.rpartition(' ')[0]} {CHARACTERS}"


def unavailable(root: Root) -> str | None:
    """Why a root cannot be scanned: then nothing of it is deleted. An unmounted disk is not an empty folder."""
    try:
        status = os.stat(root.path)
        with os.scandir(root.path) as entries:
            empty = next(entries, None) is None
    except FileNotFoundError:
        return "the folder is not there; its index is kept until it is back"
    except OSError as error:
        return f"the folder cannot be read: {error.strerror}"
    if empty and status.st_dev != root.device:
        return "the folder is empty and its disk is not the one it was on; its index is kept"
    return None


def unchanged(root: Path, entry: Entry) -> bool:
    """Whether the file on the disk still is the version that the scan saw."""
    try:
        status = os.lstat(Path(root, entry.relpath))
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (entry.size, entry.mtime_ns, entry.inode)
