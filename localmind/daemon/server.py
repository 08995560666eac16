"""uvicorn over our connections, and taught to leave signals to us."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

import uvicorn

from localmind.api.security import App
from localmind.daemon.protocol import Deadlines, GuardedProtocol

GRACE_S = 3
"""After the last events of all streams are out, connections get this long to be read to the end."""

DATE_S = 1.0
"""So often the `date` of answers is renewed."""


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
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's: streams get their last event before connections are closed."""
        yield

    async def run_until_stopped(self) -> None:
        await self.serve(sockets=self._listeners)

    async def main_loop(self) -> None:
        """Sleep but for the date: uvicorn's own looks ten times a second whether it shall stop, day and night."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), DATE_S)

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()
