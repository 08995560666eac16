"""The daemon's own TCP listeners, as asyncio serves them."""

import asyncio
import socket
from typing import cast

from ports import reserved_port

from localmind.daemon.sockets import tcp_listeners


async def test_what_is_written_in_small_pieces_is_not_held_back_for_forty_milliseconds() -> None:
    found: asyncio.Queue[int] = asyncio.Queue()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = cast(socket.socket, writer.get_extra_info("socket"))
        found.put_nowait(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    servers = [await asyncio.start_server(connected, sock=listener) for listener in tcp_listeners(reserved_port())]
    for server in servers:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        assert await found.get() == 1
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
