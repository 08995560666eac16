"""How answers leave: server-sent events that end properly, and JSON that is not computed for nobody.

Owns three promises: a client that hangs up cancels its generation at once; every stream ends with a
last event, also when something failed or the daemon stops; a stream that is silent for long sends a
comment, so that proxies and clients do not give up on it. No task is made per event: at 250 tokens a
second that would cost more than the JSON.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from localmind.api.security import error_body
from localmind.errors import Cancelled, InternalError, LocalmindError, QueueFull, row
from localmind.events import Event, Failed, encode

KEEPALIVE_S = 15.0
T = TypeVar("T")
_json = msgspec.json.Encoder()


def to_json(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return _json.encode(value)


def sse(value: Any) -> bytes:
    """One server-sent event with a JSON payload."""
    return b"data: " + _json.encode(value) + b"\n\n"


class JSON(Response):
    """A JSON answer through msgspec."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return to_json(content)


def error_response(error: LocalmindError) -> Response:
    """The OpenAI form of an error with its status and whether a retry makes sense."""
    headers = {"x-should-retry": "true" if row(error).retry else "false"}
    if isinstance(error, QueueFull):
        headers["retry-after"] = str(error.retry_after_s)
    return JSON(error_body(error), row(error).status, headers)


class EventStream(Response):
    """Server-sent events from an async generator of bytes, which is closed when the client hangs up."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._chunks = chunks
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pump = asyncio.create_task(self._pump(send))
        others = {asyncio.create_task(wait_gone(receive)), asyncio.create_task(self._keep_alive(send))}
        try:
            await asyncio.wait({pump, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, *others):
                task.cancel()
            await asyncio.wait({pump, *others})
        if not pump.cancelled() and (problem := pump.exception()) is not None and not isinstance(problem, OSError):
            raise problem

    async def _pump(self, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        async with contextlib.aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                self._sent_at = clock()
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _keep_alive(self, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        self._sent_at = clock()
        while True:
            idle = clock() - self._sent_at
            if idle >= KEEPALIVE_S:
                self._sent_at = clock()
                await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
                idle = 0.0
            await asyncio.sleep(KEEPALIVE_S - idle)


async def wait_gone(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled as soon as the client hangs up. Raises Cancelled then."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(wait_gone(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Cancelled("the client went away")
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.wait({task, gone})


async def ending(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """The same events, with a failure turned into a last Failed event."""
    try:
        async for event in events:
            yield event
    except LocalmindError as problem:
        yield Failed.of(problem)
    finally:
        if (close := getattr(events, "aclose", None)) is not None:
            await close()


async def started(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """The stream once its first event is there.

    Nothing has been sent by then, so a stream that fails before its first event raises its error here
    and the client gets a status instead of a stream.
    """
    stream = ending(events)
    try:
        first = await anext(stream)
    except StopAsyncIteration:
        raise InternalError("the answer had no events") from None
    if isinstance(first, Failed):
        await stream.aclose()
        raise first.exception()

    async def whole() -> AsyncGenerator[Event, None]:
        async with contextlib.aclosing(stream):
            yield first
            async for event in stream:
                yield event

    return whole()


async def native_sse(events: AsyncGenerator[Event, None]) -> AsyncGenerator[bytes, None]:
    """The native API's form: each event under its tag."""
    async with contextlib.aclosing(events):
        async for event in events:
            yield sse(encode(event))
