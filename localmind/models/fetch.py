"""Bytes from a URL into a file whose sha256 and size are known beforehand.

Resumes within a run and across runs, hashes while it streams, checks the disk before it starts and
after every gap, and gives up on a peer that stalls. What it leaves behind after any failure or
cancellation is one `.part` file and its note; what it returns is verified. It does not choose URLs,
and it never puts anything where a model could be loaded from.
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
from typing import IO, Any, TypeVar

import httpx2
import msgspec

from localmind.errors import DiskFull, DownloadFailed, HashMismatch
from localmind.events import Progress

CHUNK = 1 << 20
FLOOR = 256 << 20
"""Bytes that a download leaves free, so that the database can still be written."""
WRITE_AT = 1 << 18
"""Bytes that are gathered before they are hashed and written in a thread."""
REPORT_EVERY_S = 0.1
STEADY = 1 << 16
"""Bytes after which a connection counts as having worked, and the count of failures starts again."""

T = TypeVar("T")
FreeSpace = Callable[[Path], int]


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
    sha256: str
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

    async def run(self) -> AsyncGenerator[Progress, None]:
        """Download. Raises DownloadFailed, HashMismatch, DiskFull."""
        for fresh in (False, True):
            digest, have = await in_thread(self._open_existing)
            resumed = have > 0
            async with contextlib.aclosing(self._fill(digest, have)) as steps:
                async for step in steps:
                    yield step
            if self._digest.hexdigest() == self.sha256:
                await in_thread(_sync, self.part)
                self.note.unlink(missing_ok=True)
                return
            self.discard()
            # Bytes of an earlier run may have been damaged on the disk: one clean try before blaming the peer.
            if fresh or not resumed:
                raise HashMismatch(
                    f"{self.label or self.url} has the sha256 {self._digest.hexdigest()}, expected {self.sha256}",
                    hint="the source or the connection alters files; try another index with LOCALMIND_INDEX_URL",
                )

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _open_existing(self) -> tuple[Any, int]:
        """The hash and length of what an earlier run left; too much is worth nothing."""
        digest = hashlib.sha256()
        try:
            have = self.part.stat().st_size
        except FileNotFoundError:
            return digest, 0
        if have > self.size:
            self.discard()
            return digest, 0
        with self.part.open("rb") as source:
            for at in range(0, have, CHUNK):
                digest.update(source.read(min(CHUNK, have - at)))
        return digest, have

    async def _fill(self, digest: Any, have: int) -> AsyncGenerator[Progress, None]:
        """Connect as often as it takes until the part has its size."""
        self._digest = digest
        failures = 0
        yield self._progress(have)
        while have < self.size:
            self._check_disk(have)
            before = have
            try:
                async with contextlib.aclosing(self._receive(have)) as steps:
                    async for have in steps:
                        yield self._progress(have)
                problem = f"the connection ended after {have} of {self.size} bytes"
                wait = None
            except httpx2.TimeoutException:
                problem, wait = f"nothing came for {self.patience.stall_s:g} s", None
            except (httpx2.TransportError, httpx2.TooManyRedirects, httpx2.InvalidURL) as error:
                problem, wait = str(error) or type(error).__name__, None
            except _Busy as busy:
                problem, wait = str(busy), busy.wait_s
            except HashMismatch:
                self.discard()
                raise
            have = self.part.stat().st_size if self.part.exists() else 0
            if have >= self.size:
                yield self._progress(have)
                return
            failures = 1 if have - before >= STEADY else failures + 1
            if failures >= self.patience.attempts:
                raise DownloadFailed(
                    f"downloading {self.label or self.url} failed: {problem}",
                    hint="run the same command again: it continues where it stopped",
                )
            await asyncio.sleep(min(30.0, wait if wait is not None else self.patience.pause_s * 2 ** (failures - 1)))

    async def _receive(self, have: int) -> AsyncGenerator[int, None]:
        """One connection: append to the part and yield its length. Restarts from 0 if the peer cannot continue."""
        headers = {"Accept-Encoding": "identity", **self.headers}
        note = self._read_note()
        if have:
            headers["Range"] = f"bytes={have}-"
            # A weak ETag does not promise equal bytes; without a strong one the sha256 at the end decides.
            if note is not None and note.etag and not note.etag.startswith("W/"):
                headers["If-Range"] = note.etag
        timeout = httpx2.Timeout(self.patience.stall_s)
        ask = self.client.stream("GET", self.url, headers=headers, timeout=timeout, follow_redirects=True)
        async with ask as answer:
            have = self._accept(answer, have)
            self._write_note(answer.headers.get("etag"))
            mode = "ab" if have else "wb"
            if not have:
                self._digest = hashlib.sha256()
            with self.part.open(mode, buffering=0) as out:
                held = bytearray()
                try:
                    async for chunk in answer.aiter_raw():
                        held += chunk
                        if have + len(held) > self.size:
                            held.clear()
                            raise self._wrong_size("more")
                        if len(held) >= WRITE_AT:
                            data, held = bytes(held), bytearray()
                            await in_thread(self._append, out, data)
                            have += len(data)
                            yield have
                finally:
                    # Dropped or cancelled: what came is kept. It is little, so it need not leave the loop.
                    self._append(out, bytes(held))

    def _accept(self, answer: httpx2.Response, have: int) -> int:
        """From which byte this answer counts. Raises for everything that is no file."""
        status = answer.status_code
        if answer.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise DownloadFailed(
                f"the server compresses {self.label or self.url} although asked not to",
                hint="a proxy alters downloads; try another index with LOCALMIND_INDEX_URL",
            )
        if status == 206 and have:
            unit, _, rest = answer.headers.get("content-range", "").partition(" ")
            start, _, total = rest.replace("/", "-").partition("-")
            if unit == "bytes" and start == str(have) and total.rpartition("-")[2] in (str(self.size), "*"):
                return have
        elif status == 200:
            if answer.headers.get("content-length", str(self.size)) != str(self.size):
                raise self._wrong_size(answer.headers["content-length"])
            return 0
        elif status in (408, 425, 429) or status >= 500:
            wait = answer.headers.get("retry-after", "")
            raise _Busy(f"the server answers {status}", float(wait) if wait.isdigit() else None)
        elif status not in (206, 416):
            raise DownloadFailed(
                f"the server answers {status} for {self.label or self.url}",
                hint="localmind doctor, or another index with LOCALMIND_INDEX_URL",
            )
        # A range that is not ours: start over.
        self.discard()
        raise _Busy("the server cannot continue this download", 0.0)

    def _wrong_size(self, has: str) -> HashMismatch:
        return HashMismatch(
            f"{self.label or self.url} has {has} bytes instead of {self.size}",
            hint="the source offers another file under this name; try another index with LOCALMIND_INDEX_URL",
        )

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

    def _check_disk(self, have: int) -> None:
        need = self.size - have + FLOOR
        if self.free(self.part.parent) < need:
            raise self._disk_full(need)

    def _disk_full(self, need: int) -> DiskFull:
        free = self.free(self.part.parent)
        return DiskFull(
            f"{self.label or 'the download'} needs {need / 1e6:.0f} MB on the disk of {self.part.parent}, "
            f"and {free / 1e6:.0f} MB are free",
            hint="free some space and run the same command again: it continues where it stopped",
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


class _Busy(Exception):
    """Worth another try; `wait_s` is what the server asked for."""

    def __init__(self, text: str, wait_s: float | None) -> None:
        super().__init__(text)
        self.wait_s = wait_s


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run a blocking step off the event loop. A cancellation waits for it to end, so no file is closed under it."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def thinned(
    steps: AsyncGenerator[Progress, None], clock: Callable[[], float] = time.monotonic
) -> AsyncGenerator[Progress, None]:
    """At most one step every 0.1 s; the last of a stage, and every change of stage, always pass."""
    last: Progress | None = None
    held = False
    at = 0.0
    async with contextlib.aclosing(steps):
        async for step in steps:
            changed = last is None or (step.stage, step.text) != (last.stage, last.text)
            if changed and held and last is not None:
                yield last
            held = not changed and clock() - at < REPORT_EVERY_S
            last = step
            if not held:
                at = clock()
                yield step
        if held and last is not None:
            yield last


def _sync(path: Path) -> None:
    with path.open("rb+") as out:
        os.fsync(out.fileno())
