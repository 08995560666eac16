"""Connections that take their time: each deadline on real sockets, with an application that only echoes or streams."""

import asyncio
import contextlib
import select
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from localmind.daemon.protocol import SEND_BYTES, Deadlines
from localmind.daemon.server import Server

SHORT = Deadlines(head=0.3, body=0.3, write=0.3, head_bytes=4096, connections=40)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class EchoApp:
    """Answers with the length of the body; `/endless` streams until its client is gone."""

    def __init__(self) -> None:
        self.streaming = 0
        self.streamed = 0
        self.received = 0
        """Bytes of bodies."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/endless":
            await self._endless(send, receive)
            return
        if scope["path"] == "/long":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x" * int(scope["query_string"])})
            return
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.received += len(message["body"])
            size, more = size + len(message["body"]), message["more_body"]
        body = str(size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def _endless(self, send: Any, receive: Any) -> None:
        self.streaming += 1
        gone = asyncio.create_task(self._gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not gone.done():
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                self.streamed += 65536
                await asyncio.sleep(0)
        finally:
            self.streaming -= 1
            gone.cancel()

    async def _gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


@asynccontextmanager
async def serving(deadlines: Deadlines) -> AsyncIterator[tuple[EchoApp, int]]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(200)
    app = EchoApp()
    server = Server(app, [listener], deadlines)
    running = asyncio.create_task(server.run_until_stopped())
    yield app, listener.getsockname()[1]
    server.stop()
    await running


@pytest.fixture
async def served() -> AsyncIterator[tuple[EchoApp, int]]:
    async with serving(SHORT) as running:
        yield running


async def talk(port: int, *pieces: bytes, every: float = 0.0) -> bytes:
    """Send the pieces, and return all that comes until the other end closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every)
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 120
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("half", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX: y"])
async def test_a_head_that_does_not_end_is_closed(served: tuple[EchoApp, int], half: bytes) -> None:
    assert await talk(served[1], half) == b""


async def test_a_head_that_drips_is_closed_although_something_always_comes(served: tuple[EchoApp, int]) -> None:
    assert await talk(served[1], *[bytes([byte]) for byte in GET], every=0.03) == b""


async def test_the_head_of_a_second_request_has_the_same_deadline() -> None:
    async with serving(replace(SHORT, head=1.5)) as (_, port):
        answer = await talk(port, GET, b"GET / HTTP", every=0.1)
    assert answer.count(b"200 OK") == 1


BODY = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


async def test_a_body_that_stops_coming_is_closed(served: tuple[EchoApp, int]) -> None:
    assert await talk(served[1], BODY % 8, b"abc") == b""


async def test_a_slow_body_is_not_closed_while_something_comes_before_each_deadline(
    served: tuple[EchoApp, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, port = served
    loop, now = asyncio.get_running_loop(), time.monotonic()
    with monkeypatch.context() as still:  # the server's end waits for this clock
        still.setattr(loop, "time", lambda: now)  # a host that stands still for a moment closes nothing
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(BODY % 40)
        for sent in range(2, 42, 2):
            writer.write(b"ab")
            while app.received < sent:  # noqa: ASYNC110 (a sleep has no end while this clock stands)
                await asyncio.sleep(0)
            now += 0.9 * SHORT.body
            for _ in range(3):  # what is due is done before the next bytes are there
                await asyncio.sleep(0)
        assert (await reader.read()).endswith(b"\r\n\r\n40")
    writer.close()


async def test_a_head_beyond_its_size_is_closed() -> None:
    async with serving(replace(SHORT, head=60)) as (_, port):
        assert await talk(port, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 5000 + b"\r\n\r\n") == b""
        assert b"200 OK" in await talk(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


async def test_who_does_not_read_an_answer_gives_its_place_back(served: tuple[EchoApp, int]) -> None:
    app, port = served

    async def streams(count: int) -> bool:
        return app.streaming == count

    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.setblocking(False)
        await asyncio.get_running_loop().sock_connect(stalled, ("127.0.0.1", port))
        stalled.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: streams(1))
        await until(lambda: streams(0))
        assert app.streamed <= 2**20, "little is made for who does not read"
        watched = select.poll()
        watched.register(stalled, select.POLLHUP)

        async def told() -> bool:
            return bool(watched.poll(0))

        await until(told)


def taken_by_the_kernel() -> int:
    """Bytes of an answer that a client who never reads can be sent, with the buffers of this module's connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        ours, _ = listener.accept()
        with ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
            ours.setblocking(False)
            taken = 0
            while select.select([], [ours], [], 0.3)[1]:
                taken += ours.send(bytes(2**20))
            return taken


async def test_who_does_not_read_the_end_of_an_answer_is_closed_too(served: tuple[EchoApp, int]) -> None:
    """What the kernel does not take is less than asyncio would hold without a word (64 kB)."""
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", served[1]))
        stalled.send(b"GET /long?%d HTTP/1.1\r\nHost: x\r\n\r\n" % (taken_by_the_kernel() + 32 * 1024))
        watched = select.poll()
        watched.register(stalled, select.POLLHUP)

        async def told() -> bool:
            return bool(watched.poll(0))

        await until(told)


async def test_half_open_connections_beyond_the_limit_do_not_keep_others_out(served: tuple[EchoApp, int]) -> None:
    held = []
    for _ in range(SHORT.connections + 10):
        half = socket.create_connection(("127.0.0.1", served[1]))
        half.send(b"GET / HTTP/1.1\r\n")
        held.append(half)

    async def answered() -> bool:
        return b"200 OK" in await talk(served[1], b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    await until(answered)
    for half in held:
        half.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        half.close()
