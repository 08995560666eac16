"""Bytes from a URL into a file whose size and, but for addresses that nobody vouches for, sha256 are known beforehand.

Resumes within a run and across runs, hashes while it streams, reserves the disk before it starts and looks at it again
after every gap, and gives up on a peer that stalls or drips. What it leaves behind after any failure or cancellation
is one `.part` file and its note; what it returns is verified. It does not choose URLs, it leaves the meaning of
answers to models/peer.py, and it never puts anything where a model could be loaded from.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from localmind.errors import DiskFull, DownloadFailed, HashMismatch
from localmind.events import Progress
from localmind.models.peer import (
    AGAIN,
    STRONG_ETAG,
    Busy,
    CannotContinue,
    Wanted,
    asked,
    first_byte,
    other_size,
    strong_etag,
)
from localmind.models.steps import in_thread

CHUNK = 1 << 20
REHASH = 1 << 24
"""Bytes of an earlier run that are hashed in one go; a cancellation waits for that long."""
FLOOR = 256 << 20
"""Bytes that a download leaves free, so that the database can still be written."""
WRITE_AT = 1 << 18
"""Bytes that are gathered before they are hashed and written in a thread."""
MOST_HELD = 1 << 22
"""Bytes that are gathered at most, while the disk is slower than the connection."""
STEADY = 1 << 16
"""Bytes after which a connection counts as having worked, and the count of failures starts again."""

FreeSpace = Callable[[Path], int]

_reserved: dict[Path, int] = {}
"""Bytes that each running download of this process still has to write: two must not count on the same room."""


def free_space(path: Path) -> int:
    return shutil.disk_usage(path).free


@dataclass(slots=True, frozen=True)
class Patience:
    """How long and how often to wait for a peer."""

    stall_s: float = 30.0
    """Without a byte for this long, the connection is given up."""
    attempts: int = 5
    """Connections in a row that bring nothing."""
    pause_s: float = 1.0
    """Before the second attempt; doubles with each, at most 30 s."""
    least_rate: float = 1000.0
    """Bytes a second. A connection that brings less for `stall_s` is given up as one that brings nothing is."""
    longest_wait_s: float = 60.0
    """What a server may ask us to wait; for more the user is told instead."""


PATIENT = Patience()


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
    client: httpx2.AsyncClient
    stage: str = "download"
    label: str = ""
    free: FreeSpace = free_space
    patience: Patience = PATIENT
    headers: dict[str, str] = field(default_factory=dict)
    _digest: Any = field(default=None, init=False)

    @property
    def note(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    @property
    def digest(self) -> str:
        """The sha256 of what has come."""
        found: str = self._digest.hexdigest()
        return found

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
                have = 0
                async with contextlib.aclosing(self._rehash()) as parts:
                    async for have in parts:
                        if have < self._size_of_part():
                            yield Progress("check", float(have), float(self.size), "B", self.label)
                resumed = have > 0
                async with contextlib.aclosing(self._fill(have)) as steps:
                    async for step in steps:
                        yield step
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

    def discard(self) -> None:
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
        self._digest = hashlib.sha256()
        have = self._size_of_part()
        if have > self.size:
            self.discard()
            return
        done = 0
        while done < have:
            done = await in_thread(self._hash_on, done, min(done + REHASH, have))
            yield done

    def _hash_on(self, start: int, end: int) -> int:
        with self.part.open("rb") as source:
            source.seek(start)
            while start < end and (chunk := source.read(min(CHUNK, end - start))):
                self._digest.update(chunk)
                start += len(chunk)
        return end

    async def _fill(self, have: int) -> AsyncGenerator[Progress, None]:
        """Connect as often as it takes until the part has its size."""
        failures = 0
        yield self._progress(have)
        while have < self.size:
            self._reserve(have)
            before = have
            wait: float | None = None
            try:
                async with contextlib.aclosing(self._receive(have)) as steps:
                    async for have in steps:
                        yield self._progress(have)
                problem = f"the connection ended after {have} of {self.size} bytes"
            except httpx2.TimeoutException:
                problem = f"nothing came for {self.patience.stall_s:g} s"
            except httpx2.TransportError as error:
                problem = str(error) or type(error).__name__
            except httpx2.InvalidURL as error:
                raise DownloadFailed(f"{self.shown} has no usable address: {error}", hint="localmind doctor") from error
            except Busy as busy:
                if isinstance(busy, CannotContinue):
                    self.discard()
                problem, wait = str(busy), busy.wait_s
            except HashMismatch:
                self.discard()
                raise
            have = self._size_of_part()
            if have >= self.size:
                yield self._progress(have)
                return
            failures = 1 if have - before >= STEADY else failures + 1
            if wait is not None and wait > self.patience.longest_wait_s:
                raise DownloadFailed(f"{problem} and wants to be left alone for {wait:.0f} s", hint=f"then {AGAIN}")
            if failures >= self.patience.attempts:
                raise DownloadFailed(f"downloading {self.shown} failed: {problem}", hint=AGAIN)
            await asyncio.sleep(wait if wait is not None else min(30.0, self.patience.pause_s * 2 ** (failures - 1)))

    async def _receive(self, have: int) -> AsyncGenerator[int, None]:
        """One connection: append to the part and yield its length. Restarts from 0 if the peer cannot continue."""
        wanted = Wanted(self.url, self.size, self.shown, self.headers)
        headers: dict[str, str] = {}
        if have:
            headers["Range"] = f"bytes={have}-"
            if (note := self._read_note()) is not None and note.etag and STRONG_ETAG.match(note.etag):
                headers["If-Range"] = note.etag
        async with asked(self.client, wanted, headers, httpx2.Timeout(self.patience.stall_s)) as answer:
            have = first_byte(answer, wanted, have)
            self._write_note(strong_etag(answer))
            if not have:
                self._digest = hashlib.sha256()
            with self.part.open("ab" if have else "wb", buffering=0) as out:
                held = bytearray()
                drip = _Drip(self.patience)
                writing: asyncio.Future[None] | None = None
                try:
                    async for chunk in answer.aiter_raw():
                        held += chunk
                        if have + len(held) > self.size:
                            held.clear()
                            raise other_size(wanted, "more")
                        # The next bytes come in while the last ones are hashed and written.
                        if len(held) >= (MOST_HELD if writing and not writing.done() else WRITE_AT):
                            if writing:
                                await writing
                            data, held = bytes(held), bytearray()
                            writing = asyncio.ensure_future(in_thread(self._append, out, data))
                            have += len(data)
                            _reserved[self.part] = self.size - have
                            yield have
                        drip.check(len(chunk))
                finally:
                    if writing:
                        await asyncio.wait({writing})
                        writing.result()
                    # Dropped or cancelled: what came is kept. It is little, so it need not leave the loop.
                    self._append(out, bytes(held))

    def _append(self, out: IO[bytes], chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[out.write(rest) :]
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._disk_full(len(chunk)) from problem
            raise DownloadFailed(
                f"writing {self.part} failed: {problem.strerror}", hint="localmind doctor"
            ) from problem
        self._digest.update(chunk)

    def _reserve(self, have: int) -> None:
        """Raises DiskFull if what is missing has no room beside what other downloads of this process will write."""
        need = self.size - have
        others = sum(size for part, size in _reserved.items() if part != self.part)
        if self.free(self.part.parent) - others < need + FLOOR:
            raise self._disk_full(need + FLOOR)
        _reserved[self.part] = need

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


class _Drip:
    """Finds a peer that sends just enough not to be taken for a dead one."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since = time.monotonic()
        self._came = 0

    def check(self, length: int) -> None:
        """Raises Busy when too little came in the last `stall_s`."""
        self._came += length
        took = time.monotonic() - self._since
        if took >= self._patience.stall_s:
            if self._came < self._patience.least_rate * took:
                raise Busy(f"only {self._came} bytes came in {took:.0f} s")
            self._since, self._came = time.monotonic(), 0


def _sync(path: Path) -> None:
    with path.open("rb+") as out:
        os.fsync(out.fileno())
