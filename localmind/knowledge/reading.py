"""Brings files of watched folders into the index: dirty paths → scan → queue → extract → one transaction.

It owns what is waiting to be read and in which order: what somebody just saved goes before what a
first scan found. Two files are read at once, and only one of them may be a slow document, so that a
long PDF never stands before a note that was just saved; one recording is heard beside them. A file that cannot be
read is stored with its reason and stops nothing; a full disk stops everything and loses nothing. It knows nothing of
vectors.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localmind.errors import DiskFull, ExtractFailed, LocalmindError, TimedOut, WorkerDied, WorkerHung
from localmind.knowledge.chunk import VERSION as CHUNK_VERSION
from localmind.knowledge.database import Database
from localmind.knowledge.extract import DOCUMENTS, KINDS, RECORDING
from localmind.knowledge.extract import VERSION as EXTRACT_VERSION
from localmind.knowledge.index import Index, Root
from localmind.knowledge.offline import Probe, renumbered, without_disk
from localmind.knowledge.pace import Gate
from localmind.knowledge.recordings import Recordings
from localmind.knowledge.rules import Rules
from localmind.knowledge.scan import Changes, Entry, Found, compare, minimal, storable, walk
from localmind.knowledge.work import Dirty, Work
from localmind.workers.process import WorkerCalls

FILE_SECONDS = 60.0
# On top of the worker's own limit: it may first have to start a parser.
MARGIN_S = 15.0
# In a recipe, in place of the embedder whose tokens were counted.
CHARACTERS = "characters"
# A file under which the worker itself died so often is given up until the next look at its whole folder.
DEATHS_ALLOWED = 2
# When nothing can be read at all, reading rests. Seconds.
REST_S = 15.0
# Lanes: 0 takes only what is quick, 1 takes everything, each with a parser of its own; the third takes recordings.
QUICK, SLOW, SOUND = LANES = (0, 1, 2)
QUICK_BYTES = 1 << 20

log = logging.getLogger("localmind.knowledge")


@dataclass(slots=True, frozen=True)
class Cut:
    """Whose tokens are counted when documents are cut. `name` identifies the tokenizer, not the model."""

    name: str
    tokenizer: Path


class Reading:
    """The queue of files of all roots and the task that empties it. `backlog`: whether many chunks lack vectors."""

    def __init__(
        self,
        database: Database,
        extract: WorkerCalls,
        gate: Gate,
        *,
        never: Sequence[Path],
        progressed: Callable[[], None],
        backlog: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._extract = extract
        self._gate = gate
        self.never = never
        self._progressed = progressed
        self._backlog = backlog
        self._clock = clock
        self._wake = asyncio.Event()
        self._probe = Probe()
        self._deaths: dict[tuple[int, str], int] = {}
        self._resume_at = 0.0
        self._cold_at = 0.0
        self._sound_at = 0.0
        self.recordings = Recordings(database, extract, gate)
        self._lanes: dict[int, asyncio.Task[None]] = {}
        self.work: dict[int, Work] = {}
        self.trouble: str | None = None
        """Why nothing can be read at present."""
        self.cut: Cut | None = None
        self.model = ""
        """The embedder whose vectors new chunks are to have; "" for none."""

    @property
    def bulk(self) -> bool:
        """Whether many files are still to be read and can be."""
        return self.trouble is None and self._texts_wait

    @property
    def _texts_wait(self) -> bool:
        return any(entry.kind != RECORDING for work in self.work.values() for entry in work.cold.values())

    def mark(self, root_id: int, relpath: str, *, now: bool = False) -> None:
        """A path may have changed. `now` skips the wait for quiet."""
        work = self.work.get(root_id)
        # Names that are not Unicode are told by the scan of the whole folder.
        if work is not None and storable(relpath):
            work.dirty.add(relpath, self._clock(), now=now)
            self._wake.set()

    def wake(self) -> None:
        """Something that may let work go on has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. Cancelling leaves every file either as it was or replaced."""
        try:
            while True:
                self._wake.clear()
                if await self._look_once():
                    continue
                self._fill_lanes()
                wait = self._next_moment()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
        finally:
            for task in self._lanes.values():
                task.cancel()
            if self._lanes:
                await asyncio.wait(list(self._lanes.values()))

    def _next_moment(self) -> float | None:
        moments = [work.dirty.due() for work in self.work.values() if work.dirty.scope]
        if any(work.hot or work.cold or work.recut for work in self.work.values()):
            moments += [moment for moment in (self._resume_at, self._cold_at, self._sound_at) if moment > self._clock()]
            if any(work.recut for work in self.work.values()):
                moments.append(self._clock() + 1.0)
        return max(0.01, min(moments) - self._clock()) if moments else None

    async def _look_once(self) -> bool:
        for work in list(self.work.values()):
            if work.dirty.scope and work.dirty.due() <= self._clock():
                await self._look(work)
                return True
        return False

    def _fill_lanes(self) -> None:
        for lane in LANES:
            if lane not in self._lanes and (picked := self._pick(lane)) is not None:
                work, entry, hot = picked
                work.flying[entry.relpath] = entry
                task = self._lanes[lane] = asyncio.create_task(self._guarded(work, entry, lane, hot), name="read")
                task.add_done_callback(lambda _, lane=lane: self._landed(lane))  # type: ignore[misc]

    def _landed(self, lane: int) -> None:
        self._lanes.pop(lane, None)
        self._wake.set()

    def _pick(self, lane: int) -> tuple[Work, Entry, bool] | None:
        """The most urgent file that this lane takes and that may be read now; it leaves its queue."""
        now, pace = self._clock(), self._gate.pace
        if now < self._resume_at or (lane == SOUND and now < self._sound_at):
            return None
        # While an answer streams only what somebody just saved is read.
        if pace.work or (self._gate.held and pace.reason is None):
            queues = [(work, work.hot, True) for work in self.work.values()]
            if pace.work and now >= self._cold_at and not (lane == SOUND and self._texts_wait):
                queues += [(work, work.cold, False) for work in self.work.values()]
                if not self._backlog():
                    queues += [(work, work.recut, False) for work in self.work.values()]
            for work, queue, hot in queues:
                for relpath, entry in queue.items():
                    if takes(lane, entry):
                        del queue[relpath]
                        return work, entry, hot
        return None

    async def _guarded(self, work: Work, entry: Entry, lane: int, hot: bool) -> None:
        started = self._clock()
        try:
            await self._read(work, entry, lane, hot)
        except DiskFull as error:
            self._rest(error.message)
            work.cold[entry.relpath] = entry
        except Exception as error:  # a surprise: one file's trouble must not end the reading of all others
            log.warning("%s: %s", work.root.path, error, exc_info=not isinstance(error, LocalmindError | OSError))
            work.problems.append((entry.relpath, str(error)))
        finally:
            work.flying.pop(entry.relpath, None)
            if not hot and self._gate.pace.rest:
                self._cold_at = self._clock() + self._gate.pace.rest * (self._clock() - started)
            if work.idle:
                work.read = 0
            self._progressed()

    def _rest(self, reason: str) -> None:
        self.trouble = reason
        self._resume_at = self._clock() + REST_S

    async def _look(self, work: Work) -> None:
        scope, work.dirty = minimal(work.dirty.scope), Dirty()
        work.looking = True
        try:
            await self._compare(work, scope)
        except Exception as error:  # a full disk, a surprise: look again later, and at the other folders now
            known = isinstance(error, LocalmindError | OSError)
            log.warning("%s: %s", work.root.path, error, exc_info=not known)
            self._rest(error.message if isinstance(error, LocalmindError) else str(error))
            for relpath in scope:
                work.dirty.add(relpath, self._resume_at, now=False)
        finally:
            work.looking = False
            self._progressed()

    async def _compare(self, work: Work, scope: Sequence[str]) -> None:
        root = work.root
        offline = await self._probe.unavailable(root)
        if offline != root.problem:
            await self._database.run(Index.set_problem, root.id, offline)
        work.root = replace(root, problem=offline)
        if offline is not None:
            work.clear()
            return
        started = self._clock()
        found, changes = await self.scan(work.root, scope)
        if root.id not in self.work:
            return
        if changes.devices:
            await self._database.run(Index.renumber, root.id, changes.devices)
            work.root = replace(work.root, device=changes.devices.get(root.device, root.device))
        if "" in scope:
            work.problems = found.problems
            work.kept, work.directories = changes.kept, found.directories
            work.look_s = self._clock() - started
            work.cold.clear()
            work.recut.clear()
        if changes.moved:
            await self._database.run(Index.move, changes.moved)
        if changes.gone:
            await self._database.run(Index.forget, changes.gone)
        work.queue_up({entry.relpath: entry for entry in changes.recut}, work.recut)
        target = work.cold if "" in scope else work.hot
        work.queue_up({entry.relpath: entry for entry in changes.read}, target)

    async def scan(self, root: Root, scope: Sequence[str]) -> tuple[Found, Changes]:
        """What differs from the index at or below `scope`."""
        rules = Rules(root.path, self.never)
        known = await self._database.run(Index.known, root.id, scope)
        if self.cut is None:
            # Without an embedder there is nothing to gain by cutting anew what was cut for one.
            known = {path: replace(row, recipe=_without_tokens(row.recipe)) for path, row in known.items()}
        found = await asyncio.to_thread(walk, root.path, rules, scope)
        devices = renumbered(known, found.entries)
        if devices:
            known = {path: replace(row, device=devices.get(row.device, row.device)) for path, row in known.items()}
        changes = await asyncio.to_thread(compare, known, found, self.recipes())
        if changes.gone:
            gone = set(changes.gone)
            rows = [row for row in known.values() if row.id in gone]
            kept = await asyncio.to_thread(without_disk, root.path, rows)
            changes = replace(
                changes, gone=tuple(number for number in changes.gone if number not in kept), kept=len(kept)
            )
        return found, replace(changes, devices=devices)

    def recipes(self) -> dict[str, str]:
        """For each kind what its text and chunks depend on besides the file."""
        tokens = self.cut.name if self.cut is not None else CHARACTERS
        recipes = {kind: f"{kind} {EXTRACT_VERSION}.{CHUNK_VERSION} {tokens}" for kind in {*KINDS.values(), "unknown"}}
        if self.recordings.deaf:
            recipes[RECORDING] = f"{RECORDING} unheard {tokens}"
        return recipes

    async def _read(self, work: Work, entry: Entry, lane: int, hot: bool) -> None:
        self._progressed()
        root, recipe = work.root, self.recipes()[entry.kind]
        params = {
            "path": str(Path(root.path, entry.relpath)),
            "kind": entry.kind,
            "tokenizer": str(self.cut.tokenizer) if self.cut is not None else None,
            "limits": {"seconds": FILE_SECONDS},
            "lane": min(lane, SLOW),
        }
        try:
            result = await self._result(work, entry, recipe, params)
        except (ExtractFailed, TimedOut) as error:
            # Gone or replaced since the scan: not this version's fault, and an event is on its way.
            if await asyncio.to_thread(unchanged, root.path, entry) and root.id in self.work:
                await self._database.run(Index.fail, root.id, entry, recipe, error.message)
            return
        except LocalmindError as error:
            await self._worker_failed(work, entry, recipe, error)
            return
        if result is None:
            return
        if result["skip"] and entry.kind == RECORDING:
            recipe = self.recipes()[entry.kind]
        # A file that went while it was read would come back as a ghost: the look that missed it is over.
        if root.id in self.work and await asyncio.to_thread(still_there, root.path, entry):
            await self._database.run(Index.replace, root.id, entry, recipe, result, self.model, hot=hot)
            self.trouble = None
            work.note_read(self._clock())

    async def _result(self, work: Work, entry: Entry, recipe: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if entry.kind == RECORDING:
            root = work.root
            return await self.recordings.read(
                root, entry, recipe, params, lambda: root.id in self.work and unchanged(root.path, entry)
            )
        result: dict[str, Any] = await self._extract.call("extract", params, timeout=FILE_SECONDS + MARGIN_S)
        return result

    async def _worker_failed(self, work: Work, entry: Entry, recipe: str, error: LocalmindError) -> None:
        """The worker, not the file, gave the error: try again, but not for ever with the same file."""
        key = (work.root.id, entry.relpath)
        if isinstance(error, WorkerDied | WorkerHung):
            self._deaths[key] = self._deaths.get(key, 0) + 1
            if self._deaths[key] >= DEATHS_ALLOWED:
                del self._deaths[key]
                await self._database.run(Index.fail, work.root.id, entry, recipe, error.message, again=True)
                return
        elif entry.kind == RECORDING:
            # No room for the model, or it hears many already: other files are read meanwhile.
            log.info("%s waits: %s", entry.relpath, error.message)
            self._sound_at = self._clock() + REST_S
        else:
            self._rest(error.message)
        work.cold[entry.relpath] = entry


def takes(lane: int, entry: Entry) -> bool:
    """Whether a lane reads such files."""
    if lane == SOUND or entry.kind == RECORDING:
        return lane == SOUND and entry.kind == RECORDING
    return lane == SLOW or (entry.kind not in DOCUMENTS and entry.size <= QUICK_BYTES)


def _without_tokens(recipe: str) -> str:
    """The recipe that the same file would have if characters were counted."""
    return f"{recipe.rpartition(' ')[0]} {CHARACTERS}"


def still_there(root: Path, entry: Entry) -> bool:
    """Whether the file has its name still; it may have been written to."""
    try:
        return os.lstat(Path(root, entry.relpath)).st_ino == entry.inode
    except OSError:
        return False


def unchanged(root: Path, entry: Entry) -> bool:
    """Whether the file on the disk still is the version that the scan saw."""
    try:
        status = os.lstat(Path(root, entry.relpath))
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (entry.size, entry.mtime_ns, entry.inode)
