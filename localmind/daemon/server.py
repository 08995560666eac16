"""uvicorn, taught two things: who is at the other end of a connection, and to leave signals to us."""

import contextlib
import functools
import socket
from asyncio import BaseTransport
from collections.abc import Iterator, Sequence
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from localmind.api.peers import Peer, tcp_peer, unix_peer
from localmind.api.security import PEER_KEY, App

GRACE_S = 3
"""After the last events of all streams are out, connections get this long to be read to the end."""


class PeerProtocol(HttpToolsProtocol):
    """HTTP that hands each request the Peer of its connection, looked up once and only when asked for."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows the argument
        sock: socket.socket = transport.get_extra_info("socket")
        peer_of = functools.cache(lambda: _peer(sock))
        if sock.family == socket.AF_UNIX:
            self.client = ("unix", id(transport))
        app = cast(App, self.app)

        async def with_peer(scope: Any, receive: Any, send: Any) -> None:
            scope[PEER_KEY] = peer_of
            await app(scope, receive, send)

        self.app = with_peer


def _peer(sock: socket.socket) -> Peer:
    try:
        if sock.family == socket.AF_UNIX:
            return unix_peer(sock)
        return tcp_peer(sock.getsockname()[:2], sock.getpeername()[:2])
    except OSError:  # the other end is gone already
        return Peer("tcp", None)


class Server(uvicorn.Server):
    """A uvicorn server that the daemon starts and stops."""

    def __init__(self, app: App, listeners: Sequence[socket.socket]) -> None:
        config = uvicorn.Config(
            app,
            http=PeerProtocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._listeners = list(listeners)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's: streams get their last event before connections are closed."""
        yield

    async def run_until_stopped(self) -> None:
        await self.serve(sockets=self._listeners)

    def stop(self) -> None:
        self.should_exit = True
