"""The web server while nobody asks: it sleeps, and ends when it is told to."""

import asyncio
import socket

import pytest

from localmind.daemon import server as server_module
from localmind.daemon.server import Server


async def _nobody(scope: object, receive: object, send: object) -> None:
    raise AssertionError("nobody asked")


async def test_an_idle_server_is_woken_for_nothing_but_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "DATE_S", 3600.0)
    looks = 0
    look = Server.on_tick

    async def counted(self: Server, counter: int) -> bool:
        nonlocal looks
        looks += 1
        return await look(self, counter)

    monkeypatch.setattr(Server, "on_tick", counted)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = Server(_nobody, [listener])
    running = asyncio.create_task(server.run_until_stopped())
    async with asyncio.timeout(120):
        while not looks:  # noqa: ASYNC110 (the server says nothing when it has begun)
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.35)
    server.stop()
    await asyncio.wait_for(running, 120)
    assert looks == 2
