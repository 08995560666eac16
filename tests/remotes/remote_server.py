"""A server elsewhere for tests, with the faults that servers have: real HTTP on loopback, scripted bytes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeRemote:
    """`pieces` follow the status line; None ends the connection without a proper end."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Sequence[bytes | None] = ()
    listed: Any = None
    hold: asyncio.Event | None = None
    """The pieces behind the first wait for it."""
    seen: list[Seen] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:]) if key}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.seen.append(Seen(method, path, headers, json.loads(body) if body else None))
        if path.endswith("/models"):
            data = json.dumps(self.listed).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + data)
            await writer.drain()
            return
        more = "".join(f"{key}: {value}\r\n" for key, value in self.headers.items())
        writer.write(f"HTTP/1.1 {self.status} X\r\ntransfer-encoding: chunked\r\n{more}\r\n".encode())
        for number, piece in enumerate(self.pieces):
            if number and self.hold is not None:
                gone = asyncio.create_task(reader.read(1))
                held = asyncio.create_task(self.hold.wait())
                done, waiting = await asyncio.wait({gone, held}, return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()
                if gone in done:
                    self.hung_up.set()
                    return
            if piece is None:
                return
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()


@contextlib.asynccontextmanager
async def serving(remote: FakeRemote) -> AsyncIterator[FakeRemote]:
    server = await asyncio.start_server(remote.answer, "127.0.0.1", 0)
    remote.port = server.sockets[0].getsockname()[1]
    async with server:
        yield remote


def sse(*chunks: Any, done: bool = True) -> bytes:
    data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    return data + (b"data: [DONE]\n\n" if done else b"")


def delta(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


Script = Callable[..., FakeRemote]
