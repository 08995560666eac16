"""The daemon's /mcp: the Model Context Protocol over streamable HTTP, behind the same gate as everything else.

The SDK takes a second to import, so that happens at the first request, in a thread. Its tools go through our own
client and so through the same rules. Every request stands alone: there is no state to lose at a restart.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp

from localmind.api.security import App, Receive, Scope, Send
from localmind.client import AsyncClient
from localmind.paths import Paths

PATH = "/mcp"


class McpRoute:
    """ASGI middleware that takes what goes to /mcp and passes on everything else."""

    def __init__(self, app: App, paths: Paths) -> None:
        self._app = app
        self._paths = paths
        self._lock = asyncio.Lock()
        self._served: ASGIApp | None = None
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        async with self._lock:
            if self._served is None:
                self._served = await self._start()
        await self._served(scope, receive, send)

    async def _start(self) -> ASGIApp:
        make_server = await asyncio.to_thread(_import_tools)
        from mcp.server.transport_security import TransportSecuritySettings

        client = AsyncClient(self._paths)
        server = make_server(client)
        # The gate has looked at Host and Origin already, with the names and ports of our settings.
        trusted = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        app: ASGIApp = server.streamable_http_app(
            stateless_http=True, streamable_http_path=PATH, transport_security=trusted
        )
        ready = asyncio.Event()

        async def run() -> None:
            async with contextlib.AsyncExitStack() as closing:
                closing.push_async_callback(client.close)
                await closing.enter_async_context(server.session_manager.run())
                ready.set()
                await asyncio.Event().wait()  # until the daemon's loop ends

        self._running = asyncio.create_task(run(), name="mcp")
        await ready.wait()
        return app


def _import_tools() -> Callable[[AsyncClient], Any]:
    from localmind.mcp.tools import make_server

    return make_server
