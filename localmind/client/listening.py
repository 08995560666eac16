"""Live sound to the daemon and text back: what `localmind listen` and the microphone of the terminal app call.

`pieces` is where sound comes from: 16 kHz, one channel, 16 bits, little-endian, at the speed of speech. Its end says
that the speaker has finished; the text follows. Closing the iterator of events cancels, and nothing is kept.
"""

import asyncio
import contextlib
import http.client
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from localmind.client.blocking import Client
from localmind.client.wire import API, connection, raise_for
from localmind.errors import LocalmindError, NotFound
from localmind.events import Event, Failed
from localmind.speech import Listening

if TYPE_CHECKING:
    from localmind.client.asynchronous import AsyncClient


def listen(client: Client, pieces: Iterator[bytes], how: Mapping[str, Any]) -> Iterator[Event]:
    """The events of one listening: Progress while the model loads, Listening, Heard, Transcript, Done.

    `how` is the body of POST /listen. Raises LocalmindError, also one that `pieces` raises.
    """
    pump: _Pump | None = None
    try:
        for event in client.events("/listen", dict(how)):
            if isinstance(event, Listening):
                pump = _Pump(client, event.id, pieces)
                pump.start()
            yield event
        if pump is not None and pump.problem is not None:
            raise pump.problem
    except LocalmindError as problem:
        raise (pump.problem if pump is not None and pump.problem is not None else problem) from None
    finally:
        if pump is not None:
            pump.over.set()


class _Pump(threading.Thread):
    """Carries sound over a connection of its own, which stays open."""

    def __init__(self, client: Client, key: str, pieces: Iterator[bytes]) -> None:
        super().__init__(name="sound", daemon=True)
        self._client = client
        self._path = f"{API}/listen/{key}"
        self._pieces = pieces
        self.over = threading.Event()
        self.problem: LocalmindError | None = None

    def run(self) -> None:
        link, headers = connection(self._client.paths)
        with contextlib.closing(link):
            try:
                for piece in self._pieces:
                    if self.over.is_set():
                        return
                    self._post(link, headers, "sound", piece)
            except NotFound:
                return  # it has heard enough
            except LocalmindError as problem:
                self.problem = problem
            except (OSError, http.client.HTTPException):
                return  # the events end for the same reason, and say it
            with contextlib.suppress(LocalmindError, OSError, http.client.HTTPException):
                self._post(link, headers, "end", b"")

    def _post(self, link: http.client.HTTPConnection, headers: dict[str, str], what: str, body: bytes) -> None:
        link.request("POST", f"{self._path}/{what}", body, headers | {"Content-Type": "application/octet-stream"})
        reply = link.getresponse()
        raise_for(reply.status, reply.read())


async def listen_async(
    client: "AsyncClient", pieces: AsyncIterator[bytes], how: Mapping[str, Any]
) -> AsyncGenerator[Event, None]:
    """The same for the terminal app. A Failed event is raised as its error."""
    pump: asyncio.Task[None] | None = None
    try:
        async with contextlib.aclosing(client.events("/listen", how)) as events:
            async for event in events:
                if isinstance(event, Failed):
                    problem = pump.exception() if pump is not None and pump.done() and not pump.cancelled() else None
                    raise problem or event.exception()
                if isinstance(event, Listening):
                    pump = asyncio.create_task(_carry(client, event.id, pieces), name="sound")
                yield event
        if pump is not None and pump.done() and not pump.cancelled() and (problem := pump.exception()) is not None:
            raise problem
    finally:
        if pump is not None:
            pump.cancel()
            await asyncio.wait({pump})


async def _carry(client: "AsyncClient", key: str, pieces: AsyncIterator[bytes]) -> None:
    try:
        async for piece in pieces:
            await client.send(f"/listen/{key}/sound", piece)
    except NotFound:
        return
    finally:
        with contextlib.suppress(LocalmindError):
            await client.send(f"/listen/{key}/end", b"")
