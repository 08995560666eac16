"""How answers leave: streams that end properly, and JSON that is not computed for nobody.

Owns three promises: a client that hangs up cancels its generation at once; every stream ends with a
last event, also when something failed or the daemon stops; server-sent events that are silent for long send
a comment, so that proxies and clients do not give up on them. No task is made per event: at 250 tokens a
second that would cost more than the JSON.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Any, ClassVar, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from localmind.api.error_forms import form_of, headers_of
from localmind.errors import Cancelled, InternalError, LocalmindError, row
from localmind.events import Event, Failed, encode

KEEPALIVE_S = 15.0
KEEPALIVE = b": still here\n\n"
"""Not ": ping": Continue takes that for the end."""

T = TypeVar("T")
log = logging.getLogger("localmind.api")
_json = msgspec.json.Encoder()


def to_json(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return _json.encode(value)


def sse(value: Any) -> bytes:
    """One server-sent event with a JSON payload."""
    return b"data: " + _json.encode(value) + b"\n\n"


def named_sse(name: str, value: Any) -> bytes:
    """The same under an event name, as Anthropic's and OpenAI's newer clients want it."""
    return b"event: " + name.encode() + b"\n" + sse(value)


def line(value: Any) -> bytes:
    """One line of JSON."""
    return _json.encode(value) + b"\n"


class JSON(Response):
    """A JSON answer through msgspec."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return to_json(content)


def error_response(path: str, error: LocalmindError) -> Response:
    """An error in the form of the dialect that `path` belongs to, with its status and whether to try again."""
    return JSON(form_of(path)(error), row(error).status, headers_of(error))


class EventStream(Response):
    """Server-sent events from an async generator of bytes, which is closed when the client hangs up."""

    media_type = "text/event-stream"
    keepalive: ClassVar[bytes | None] = KEEPALIVE
    """Sent into long silence; None where the form has no comments."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._chunks = chunks
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pump = asyncio.create_task(self._pump(send))
        others = {asyncio.create_task(wait_gone(receive))}
        if self.keepalive is not None:
            others.add(asyncio.create_task(self._keep_alive(send, self.keepalive)))
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

    async def _keep_alive(self, send: Send, comment: bytes) -> None:
        clock = asyncio.get_running_loop().time
        self._sent_at = clock()
        while True:
            idle = clock() - self._sent_at
            if idle >= KEEPALIVE_S:
                self._sent_at = clock()
                await send({"type": "http.response.body", "body": comment, "more_body": True})
                idle = 0.0
            await asyncio.sleep(KEEPALIVE_S - idle)


class LineStream(EventStream):
    """Lines of JSON. An empty line breaks ollama-python and Zed, so nothing is sent into silence."""

    media_type = "application/x-ndjson"
    keepalive = None


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
        gone.cancel()  # nobody waits for its end, which would take two turns of the loop
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def ending(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    """The same events, with a failure turned into a last Failed event."""
    try:
        async for event in events:
            yield event
    except LocalmindError as problem:
        yield Failed.of(problem)
    except Exception as problem:
        yield unforeseen(problem)
    finally:
        if (close := getattr(events, "aclose", None)) is not None:
            await close()


def unforeseen(problem: Exception) -> Failed:
    """The last event where nobody knows what went wrong: a stream has one all the same."""
    log.exception("unforeseen error in a stream", exc_info=problem)
    return Failed.of(InternalError("something went wrong in the daemon", hint="localmind doctor"))


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
