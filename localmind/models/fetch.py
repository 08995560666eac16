"""Bytes from a URL into a file whose size and, but for addresses that nobody vouches for, sha256 are known beforehand.

Resumes within a run and across runs, hashes while it streams, reserves the disk before it starts and looks at it again
after every gap, and gives up on a peer that stalls or drips. What it leaves behind after any failure or cancellation
is one `.part` file and its note; what it returns is verified. It does not choose URLs, it leaves the meaning of
answers to models/peer.py, and it never puts anything where a model could be loaded from.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import msgspec

from localmind.errors import DiskFull, DownloadFailed, HashMismatch
from localmind.events import Progress
from localmind.models.ahead import Ahead, Spread
from localmind.models.line import Hasher, Line, NoRoom, Patience
from localmind.models.peer import AGAIN, STRONG_ETAG, Busy, CannotContinue, Wanted
from localmind.models.room import FLOOR, FreeSpace, Reserve, blocks_of, free_space, reserve_blocks
from localmind.models.steps import in_thread

REHASH = 1 << 24
"""Bytes of an earlier run that are hashed in one go; a cancellation waits for that long."""
TICK_S = 0.05
"""Between two looks at how far a connection is."""
STEADY = 1 << 16
"""Bytes after which a connection counts as having worked, and the count of failures starts again."""
PATIENT = Patience()
SPREAD = Spread()

_reserved: dict[Path, int] = {}
"""Bytes that running downloads of this process still have to write where blocks cannot be reserved."""


class _Note(msgspec.Struct):
    """What the bytes of a .part belong to, so that a changed file is not continued."""

    url: str
    etag: str | None


@dataclass(slots=True)
class Fetch:
    """One download of a known file. When `run` ends, `part` is complete and verified."""

    url: str
    part: Path
    sha256: str | None
    """None where nobody vouches for the bytes; `digest` is then the only name they have."""
    size: int
    client: httpx2.Client
    stage: str = "download"
    label: str = ""
    free: FreeSpace = free_space
    patience: Patience = PATIENT
    headers: dict[str, str] = field(default_factory=dict)
    reserve: Reserve = reserve_blocks
    spread: Spread = SPREAD
    _ahead: Ahead | None = field(default=None, init=False)
    _hasher: Hasher | None = field(default=None, init=False)

    @property
    def note(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    @property
    def digest(self) -> str:
        """The sha256 of what has come."""
        return self._hasher_of().hexdigest()

    @property
    def shown(self) -> str:
        """The file's name in messages; a URL may carry a password or a signature."""
        parts = urlsplit(self.url)
        return self.label or f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    async def run(self) -> AsyncGenerator[Progress, None]:
        """Download. A long part of an earlier run is read first, in a stage "check".

        Raises DownloadFailed, HashMismatch, DiskFull.
        """
        try:
            for fresh in (False, True):
                self._hasher = Hasher(self.part)
                self._ahead = Ahead(self.part, self.size, self.spread, self._piece, refused=self.sha256 is None)
                self._ahead.found()
                have = 0
                async with contextlib.aclosing(self._rehash()) as parts:
                    async for have in parts:
                        if have < self._size_of_part():
                            yield Progress("check", float(have), float(self.size), "B", self.label)
                resumed = have + self._ahead.came > 0
                async with contextlib.aclosing(self._fill(have)) as steps:
                    async for step in steps:
                        yield step
                self._hasher.follow(self.size)
                await in_thread(self._hasher.wait, self.size)
                await in_thread(self._hasher.close)
                if self.sha256 in (None, self.digest):
                    await in_thread(_sync, self.part)
                    self.note.unlink(missing_ok=True)
                    return
                self.discard()
                # Bytes of an earlier run may have been damaged on the disk: one clean try before blaming the peer.
                if fresh or not resumed:
                    raise HashMismatch(
                        f"{self.shown} has the sha256 {self.digest}, expected {self.sha256}",
                        hint="the source or the connection alters files; try another: HF_ENDPOINT, LOCALMIND_INDEX_URL",
                    )
        finally:
            _reserved.pop(self.part, None)
            if self._ahead is not None:
                self._ahead.stop()
            if self._hasher is not None:
                await in_thread(self._hasher.close)
            if not self._size_of_part():
                self.discard()  # blocks were reserved, and nothing came

    def discard(self) -> None:
        if self._ahead is not None:
            self._ahead.discard()
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _size_of_part(self) -> int:
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    async def _rehash(self) -> AsyncGenerator[int, None]:
        """Hash what an earlier run left and yield its length so far; too much is worth nothing.

        The hash is not kept on disk beside the part: reading it again takes a second a gigabyte, and finds damage
        that a kept one would hide until the end.
        """
        have = self._size_of_part()
        if have > self.size:
            self.discard()
            return
        hasher = self._hasher_of()
        done = 0
        while done < have:
            done = min(done + REHASH, have)
            hasher.follow(done)
            yield await in_thread(hasher.wait, done)

    async def _fill(self, have: int) -> AsyncGenerator[Progress, None]:
        """Connect as often as it takes until the part has its size."""
        ahead = self._ahead_of()
        failures = 0
        yield self._progress(have + ahead.came)
        while have < self.size:
            self._reserve(have)
            before = have
            wait: float | None = None
            try:
                async with contextlib.aclosing(self._receive(have)) as steps:
                    async for shown in steps:
                        yield self._progress(shown)
                problem = f"the connection ended after {self._size_of_part()} of {self.size} bytes"
            except httpx2.TimeoutException:
                problem = f"nothing came for {self.patience.stall_s:g} s"
            except httpx2.TransportError as error:
                problem = str(error) or type(error).__name__
            except httpx2.InvalidURL as error:
                raise DownloadFailed(f"{self.shown} has no usable address: {error}", hint="localmind doctor") from error
            except Busy as busy:
                if isinstance(busy, CannotContinue):
                    self.discard()
                    self._hasher_of().reset()
                problem, wait = str(busy), busy.wait_s
            except HashMismatch:
                self.discard()
                raise
            except NoRoom:
                raise self._disk_full(self.size - self._size_of_part()) from None
            have = self._size_of_part()
            while ahead.waits_for(have):
                await asyncio.sleep(TICK_S)
                ahead.look(have, _nothing)
                yield self._progress(have + ahead.came)
            alone, have = have, await in_thread(ahead.append, have)
            self._hasher_of().follow(have)
            if have >= self.size:
                yield self._progress(have)
                return
            if have > alone:
                failures = 0
                continue
            failures = 1 if have - before >= STEADY else failures + 1
            if wait is not None and wait > self.patience.longest_wait_s:
                raise DownloadFailed(f"{problem} and wants to be left alone for {wait:.0f} s", hint=f"then {AGAIN}")
            if failures >= self.patience.attempts:
                raise DownloadFailed(f"downloading {self.shown} failed: {problem}", hint=AGAIN)
            await asyncio.sleep(wait if wait is not None else min(30.0, self.patience.pause_s * 2 ** (failures - 1)))

    async def _receive(self, have: int) -> AsyncGenerator[int, None]:
        """One connection, and perhaps others ahead of it: append to the part, and yield how much has come in all.

        Restarts from 0 if the peer cannot continue.
        """
        hasher, ahead = self._hasher_of(), self._ahead_of()
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def opened(begin: int, etag: str | None) -> None:
            self._write_note(etag)
            if begin < have:
                hasher.reset()
                ahead.discard()
            ahead.refused = ahead.refused or etag is None

        end = ahead.limit(have)
        line = Line(
            self.client,
            self._wanted(),
            self._range(have, end if end < self.size else None),
            self.part,
            self.patience,
            start=have,
            end=end,
            opened=opened,
            moved=hasher.follow,
            ended=lambda: loop.call_soon_threadsafe(over.set),
        )
        line.start()
        try:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), TICK_S)
                if self.part in _reserved:
                    _reserved[self.part] = self.size - line.have
                ahead.look(line.have, _nothing)
                line.limit(ahead.limit(line.have))
                yield line.have + ahead.came
            if line.problem is not None:
                raise line.problem
        finally:
            line.stop()
            hasher.follow(self._size_of_part())

    def _piece(self, path: Path, start: int, end: int, over: Callable[[], object]) -> Line:
        """A connection for bytes that the main one has not come to yet."""

        def opened(begin: int, etag: str | None) -> None:
            if begin != start:
                raise CannotContinue

        headers = self._range(start, end)
        return Line(
            self.client,
            self._wanted(),
            headers,
            path,
            self.patience,
            start=start,
            end=end,
            base=start,
            opened=opened,
            moved=_nothing,
            ended=over,
        )

    def _wanted(self) -> Wanted:
        return Wanted(self.url, self.size, self.shown, self.headers)

    def _range(self, start: int, end: int | None = None) -> dict[str, str]:
        """Headers that ask for the rest, or a piece, of the file that the part is of."""
        if not start:
            return {}
        headers = {"Range": f"bytes={start}-{end - 1 if end else ''}"}
        if (note := self._read_note()) is not None and note.etag and STRONG_ETAG.match(note.etag):
            headers["If-Range"] = note.etag
        return headers

    def _ahead_of(self) -> Ahead:
        assert self._ahead is not None  # `run` makes it before anything else
        return self._ahead

    def _hasher_of(self) -> Hasher:
        assert self._hasher is not None  # `run` makes it before anything else
        return self._hasher

    def _reserve(self, have: int) -> None:
        """Raises DiskFull if what is missing has no room beside what other downloads of this process will write."""
        need = max(0, self.size - max(have, blocks_of(self.part)))
        others = sum(size for part, size in _reserved.items() if part != self.part)
        if need and self.free(self.part.parent) - others < need + FLOOR:
            raise self._disk_full(need + FLOOR)
        _reserved[self.part] = need
        try:
            if self.reserve(self.part, self.size):
                _reserved.pop(self.part)
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._disk_full(need) from problem
            raise DownloadFailed(
                f"{self.part} cannot be written: {problem.strerror}", hint="localmind doctor"
            ) from problem

    def _disk_full(self, need: int) -> DiskFull:
        free = self.free(self.part.parent) - sum(size for part, size in _reserved.items() if part != self.part)
        return DiskFull(
            f"{self.shown} needs {need / 1e6:.0f} MB on the disk of {self.part.parent}, "
            f"and {free / 1e6:.0f} MB are free",
            hint=f"free some space and {AGAIN}",
        )

    def _read_note(self) -> _Note | None:
        try:
            return msgspec.json.decode(self.note.read_bytes(), type=_Note)
        except (OSError, msgspec.DecodeError):
            return None

    def _write_note(self, etag: str | None) -> None:
        self.note.write_bytes(msgspec.json.encode(_Note(self.url.partition("?")[0], etag)))

    def _progress(self, have: int) -> Progress:
        return Progress(self.stage, float(have), float(self.size), "B", self.label)


def _nothing(*_: object) -> None:
    """For those who look often enough not to be told."""


def _sync(path: Path) -> None:
    with path.open("rb+") as out:
        os.fsync(out.fileno())
