"""HTTP connections with deadlines, which uvicorn has none of: for a request's head, its body, and reading the answer.

Without them 20 half-sent heads stay open for ever, and a client that stops reading blocks the stream that answers
it (both measured on uvicorn 0.54). It owns time and size of what travels, and who is at the other end; what a
request may do is the gate's (api/security.py).
"""

import asyncio
import contextlib
import functools
import logging
import socket
import struct
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from localmind.api.peers import Peer, tcp_peer, unix_peer
from localmind.api.security import PEER_KEY, App

SEND_BYTES = 64 * 1024
"""Of an answer that the kernel takes before its reader does. Left alone it takes four megabytes, which is thousands of
tokens made for a reader that is gone before anybody notices."""

log = logging.getLogger("localmind.daemon")


@dataclass(slots=True, frozen=True)
class Deadlines:
    """Seconds, and what may be open at once."""

    head: float = 15.0
    """From a connection, or the first byte of a request, to the end of its head."""
    body: float = 30.0
    """Between two pieces of a body that is expected."""
    write: float = 30.0
    """For a client to make room when its buffers are full: a stream that is not read gives its place back."""
    head_bytes: int = 64 * 1024
    connections: int = 1024


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 within the deadlines; each request is handed the Peer of its connection, looked up when asked for."""

    deadlines = Deadlines()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows the argument
        self._waits: asyncio.TimerHandle | None = None
        self._stalls: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._body_due = False
        self._sock = sock = cast(socket.socket, transport.get_extra_info("socket"))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self.transport.set_write_buffer_limits(high=0)  # the end of an answer has a deadline like its middle
        peer_of = functools.cache(lambda: _peer(sock))
        if sock.family == socket.AF_UNIX:
            self.client = ("unix", id(transport))
        app = cast(App, self.app)

        async def with_peer(scope: Any, receive: Any, send: Any) -> None:
            scope[PEER_KEY] = peer_of
            await app(scope, receive, send)

        self.app = with_peer
        if len(self.connections) > self.deadlines.connections:
            log.warning("more than %d connections: the newest is closed", self.deadlines.connections)
            self.transport.abort()
        self._wait(self.deadlines.head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._body_due:
            self._wait(self.deadlines.body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._wait(self.deadlines.head)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._body_due = True
        self._wait(self.deadlines.body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._body_due = False
        self._wait(None)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalls is None:
            self._stalls = self.loop.call_later(self.deadlines.write, self._stalled)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalls is not None:
            self._stalls.cancel()
            self._stalls = None

    def _head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.deadlines.head_bytes:
            self.transport.abort()

    def _wait(self, seconds: float | None) -> None:
        """The next bytes are due in so many seconds; None: none are."""
        if self._waits is not None:
            self._waits.cancel()
        self._waits = self.loop.call_later(seconds, self._overdue) if seconds is not None else None

    def _overdue(self) -> None:
        self._waits = None
        if self.flow.read_paused:  # it is we who do not read
            self._wait(self.deadlines.body)
        else:
            self.transport.abort()

    def _stalled(self) -> None:
        self._stalls = None
        with contextlib.suppress(OSError):  # what it did not read is given up too: a plain close waits behind it
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        log.info("a client has not read its answer for %.0f s: closed", self.deadlines.write)
        self.transport.abort()


def _peer(sock: socket.socket) -> Peer:
    try:
        if sock.family == socket.AF_UNIX:
            return unix_peer(sock)
        return tcp_peer(sock.getsockname()[:2], sock.getpeername()[:2])
    except OSError:  # the other end is gone already
        return Peer("tcp", None)
