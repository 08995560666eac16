"""The frames between the daemon and a worker: four bytes of length, then msgpack.

Owns the wire and nothing behind it. One end is asyncio (the daemon), the other is threads (the
worker), so reading is offered in both forms over the same two functions. A frame is a tagged
struct; anything else on the wire, or a length beyond the limit, is a ProtocolViolation, after which
the connection is not to be trusted any more.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from localmind.errors import InvalidRequest

MAX_FRAME = 64 * 1024 * 1024
"""Bytes. A batch of 10,000 embeddings of 384 floats is 15 MB; a PDF's text is capped far below."""

HEADER = 4


class ProtocolViolation(Exception):
    """The other end sent bytes that are no frame."""


class Call(msgspec.Struct, frozen=True, tag=True):
    """Daemon → worker: run a method. Its answer is any number of Items, then a Result or an Error."""

    id: int
    method: str
    params: dict[str, Any]


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Daemon → worker: nobody waits for this call any more. Still answered by a Result or an Error."""

    id: int


class Item(msgspec.Struct, frozen=True, tag=True):
    id: int
    value: Any


class Result(msgspec.Struct, frozen=True, tag=True):
    id: int
    value: Any


class Error(msgspec.Struct, frozen=True, tag=True):
    id: int
    error: dict[str, Any]


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """Worker → daemon, once a second: alive, and for how many seconds the current native step has run."""

    busy: float


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Worker → daemon, first frame: imports are done, calls are taken."""

    pid: int


Frame = Call | Cancel | Item | Result | Error | Heartbeat | Ready

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def pack(frame: Frame) -> bytes:
    """A frame as bytes, header included. Raises ProtocolViolation for one that is too long to be read back, and
    InvalidRequest for values that JSON can hold and UTF-8 or 64 bits cannot: a client cut an emoji in two."""
    try:
        body = _encoder.encode(frame)
    except UnicodeEncodeError as problem:
        raise InvalidRequest("the text has half a character in it (a lone surrogate), which is no UTF-8") from problem
    except OverflowError as problem:
        raise InvalidRequest("an integer is beyond 64 bits") from problem
    if len(body) > MAX_FRAME:
        raise ProtocolViolation(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME}")
    return len(body).to_bytes(HEADER, "big") + body


def unpack(body: bytes) -> Frame:
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as problem:
        raise ProtocolViolation(f"not a frame: {problem}") from problem


def _length(header: bytes | bytearray) -> int:
    size = int.from_bytes(header, "big")
    if size > MAX_FRAME:
        raise ProtocolViolation(f"a frame claims {size} bytes")
    return size


class Frames(asyncio.Protocol):
    """The daemon's end: hands on every frame as soon as its last byte is here, without a task in between, and says
    when the other end is gone. Half a frame at the end is dropped, for then the worker died."""

    def __init__(self, take: Callable[[Frame], None], ended: Callable[[ProtocolViolation | None], None]) -> None:
        """`take` is called with each frame. It may raise ProtocolViolation. `ended` is called once."""
        self._take = take
        self._ended = ended
        self._data = bytearray()
        self._violation: ProtocolViolation | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._violation is None:
            try:
                self._read(data)
            except ProtocolViolation as problem:
                self._violation = problem
                assert self._transport is not None
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(self._violation)

    def _read(self, arrived: bytes) -> None:
        data = self._data
        data += arrived
        start = 0
        while len(data) - start >= HEADER:
            end = start + HEADER + _length(data[start : start + HEADER])
            if len(data) < end:
                break
            self._take(unpack(bytes(data[start + HEADER : end])))
            start = end
        del data[:start]


class Channel:
    """The worker's end: blocking reads from one thread, writes from any."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._held = threading.local()
        self._file = sock.makefile("rb")

    def read(self) -> Frame | None:
        """The next frame, or None at end-of-file: the daemon is gone."""
        try:
            header = self._file.read(HEADER)
            if len(header) < HEADER:
                return None
            size = _length(header)
            body = self._file.read(size)
        except OSError:
            return None
        return unpack(body) if len(body) == size else None

    def send(self, frame: Frame) -> None:
        """Write a frame whole. A daemon that is gone is not an error: the reader sees the end-of-file."""
        data = pack(frame)
        held: bytearray | None = getattr(self._held, "data", None)
        if held is not None:
            held += data
        else:
            self._write(data)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What this thread sends inside is written with one call at the end."""
        self._held.data = bytearray()
        try:
            yield
        finally:
            data, self._held.data = self._held.data, None
            if data:
                self._write(data)

    def _write(self, data: bytes | bytearray) -> None:
        try:
            with self._lock:
                self._sock.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        self._file.close()
        self._sock.close()
