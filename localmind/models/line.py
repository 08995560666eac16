"""One connection of a download, in a thread of its own: read, write, and say how far it is; a second thread hashes.

A thread because that is what makes it quick: an event loop wakes up for every 64 kB, which costs more than hashing
them. The hash follows what is written, out of the page cache, so reading, writing and hashing go on at the same time.
Whoever started a line may stop it at any moment; after `stop` it touches no file, even while it still waits for a peer.
"""

import contextlib
import errno
import hashlib
import io
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from localmind.errors import DownloadFailed, LocalmindError
from localmind.models.body import pieces, socket_of
from localmind.models.peer import Busy, Wanted, asked, first_byte, other_size, strong_etag
from localmind.models.room import begin_writing

HASH_STEP = 1 << 20
HASH_LAG = 1 << 22
"""Bytes that may wait to be hashed before the hasher is woken up."""


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


class Line:
    """Appends bytes `start` to `end` of a file to `path`, which has those before `start` already."""

    def __init__(
        self,
        client: httpx2.Client,
        wanted: Wanted,
        headers: dict[str, str],
        path: Path,
        patience: Patience,
        *,
        start: int,
        end: int,
        base: int = 0,
        opened: Callable[[int, str | None], None],
        moved: Callable[[int], None],
        ended: Callable[[], object],
    ) -> None:
        """`base` is the byte of the file with which `path` begins. `opened` is told from which byte the answer counts,
        and its ETag; `moved`, how far it is; `ended`, that it is over. All are called in the line's thread."""
        self.have = start
        self.problem: Exception | None = None
        self.over = False
        self._client, self._wanted, self._headers = client, wanted, headers
        self._path, self._patience = path, patience
        self._base, self._end = base, end
        self._opened, self._moved, self._ended = opened, moved, ended
        self._gate = threading.Lock()
        self._stopped = False
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="download", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def limit(self, end: int) -> None:
        """Read no further than this: the rest comes on another way."""
        self._end = min(self._end, end)

    def stop(self) -> None:
        """Touch no file from now on. Waits for a write, never for a peer."""
        with self._gate:
            self._stopped = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # The plain call, also of a TLS socket: the thread that reads from it is woken up and nothing else.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            self._receive()
        except (LocalmindError, Busy, httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, RuntimeError) as problem:
            # RuntimeError: the client was closed under a line that had been stopped.
            self.problem = problem
        except OSError as problem:
            self.problem = _write_failed(self._path, problem)
        finally:
            self.over = True
            if not self._stopped:
                self._ended()

    def _receive(self) -> None:
        with asked(self._client, self._wanted, self._headers, httpx2.Timeout(self._patience.stall_s)) as answer:
            self._socket = socket_of(answer)
            begin = first_byte(answer, self._wanted, self.have)
            with self._gate:
                if self._stopped:
                    return
                self._opened(begin, strong_etag(answer))
                self.have = begin
                out = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            try:
                self._fill(out, answer)
            finally:
                os.close(out)

    def _fill(self, out: int, answer: httpx2.Response) -> None:
        drip = _Drip(self._patience)
        told = self.have
        with self._gate:
            if self._stopped:
                return
            # Only then: cutting a file to the length it has gives back the blocks that were reserved behind it.
            if os.fstat(out).st_size > self.have - self._base:
                os.ftruncate(out, self.have - self._base)
        os.lseek(out, self.have - self._base, os.SEEK_SET)
        for chunk in pieces(answer, self._patience.stall_s):
            rest = chunk[: max(0, self._end - self.have)]
            if len(rest) < len(chunk) and self._end == self._wanted.size:
                raise other_size(self._wanted, "more")
            while rest:
                with self._gate:
                    if self._stopped:
                        return
                    count = os.write(out, rest)
                rest = rest[count:]
                self.have += count
            if self.have - told >= HASH_LAG:
                begin_writing(out, told - self._base, self.have - told)
                told = self.have
                self._moved(self.have)
            if self.have >= self._end and self._end < self._wanted.size:
                return
            drip.check(len(chunk))


class Hasher:
    """The sha256 of a growing file, in a thread that follows what was written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest: Any = hashlib.sha256()
        self._done = self._upto = 0
        self._news = threading.Condition()
        self._closed = False
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    @property
    def done(self) -> int:
        return self._done

    def reset(self) -> None:
        """Begin anew: what was there is being replaced."""
        with self._news:
            self._digest = hashlib.sha256()
            self._done = self._upto = 0

    def follow(self, upto: int) -> None:
        """Bytes up to here are written."""
        with self._news:
            self._upto = max(self._upto, upto)
            self._news.notify()

    def wait(self, least: int, timeout: float | None = None) -> int:
        """How far it is, once it has come to `least` or the time is over."""
        with self._news:
            self._news.wait_for(lambda: self._done >= least or self._closed or self._failure is not None, timeout)
            if self._failure is not None:
                raise _write_failed(self._path, self._failure)
            return self._done

    def hexdigest(self) -> str:
        found: str = self._digest.hexdigest()
        return found

    def close(self) -> None:
        """Give up; waits for the step that is being hashed."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._thread.join()

    def _run(self) -> None:
        source: io.FileIO | None = None
        hashed, buffer = self._digest, memoryview(bytearray(HASH_STEP))
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._done < self._upto or self._closed)
                    if self._closed:
                        return
                    digest, at, upto = self._digest, self._done, self._upto
                if source is None or digest is not hashed:
                    # After a beginning anew it may be another file of the same name.
                    if source is not None:
                        source.close()
                    source, hashed = io.FileIO(self._path), digest
                source.seek(at)
                count = source.readinto(buffer[: upto - at])
                digest.update(buffer[:count])
                with self._news:
                    if digest is self._digest:
                        self._done = at + count
                        if not count:
                            self._upto = self._done  # it is shorter than we were told
                        self._news.notify_all()
        except OSError as problem:
            with self._news:
                self._failure = problem
                self._news.notify_all()
        finally:
            if source is not None:
                source.close()


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


class NoRoom(Exception):
    """A write found the disk full; the fetch says it with numbers."""


def _write_failed(path: Path, problem: OSError) -> Exception:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom()
    return DownloadFailed(f"writing {path} failed: {problem.strerror}", hint="localmind doctor")
