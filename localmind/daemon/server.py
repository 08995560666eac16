"""uvicorn over our connections, and taught to leave signals to us."""

import contextlib
import socket
from collections.abc import Iterator, Sequence

import uvicorn

from localmind.api.security import App
from localmind.daemon.protocol import Deadlines, GuardedProtocol

GRACE_S = 3
"""After the last events of all streams are out, connections get this long to be read to the end."""


class Server(uvicorn.Server):
    """A uvicorn server that the daemon starts and stops."""

    def __init__(self, app: App, listeners: Sequence[socket.socket], deadlines: Deadlines | None = None) -> None:
        class Protocol(GuardedProtocol):
            pass

        if deadlines is not None:
            Protocol.deadlines = deadlines
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who asks is known from the socket alone
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
