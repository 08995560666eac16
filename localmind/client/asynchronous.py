"""The client of the terminal app: the same calls without blocking, and answers followed from a position.

httpx2 is loaded by the first call, in a thread, since it takes 0.15 s that the first picture need not wait
for. Calls raise LocalmindError subclasses only; closing an iterator hangs up.
"""

import asyncio
import contextlib
import json
import urllib.parse
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from localmind.client.start import ensure_daemon
from localmind.client.wire import API, by_tcp, event, raise_for, unreachable, uses_tcp, went_away
from localmind.events import Event
from localmind.paths import Paths

if TYPE_CHECKING:
    import httpx2


class AsyncClient:
    """Native API calls. A daemon that is gone raises DaemonUnreachable; `ensure` brings one up."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._http: httpx2.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def ensure(self) -> None:
        """Make sure that a daemon answers; starts one if need be. Raises DaemonUnreachable with the reason."""
        await asyncio.to_thread(ensure_daemon, self.paths)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def get(self, path: str, /, **query: Any) -> Any:
        """GET of the native API; `path` without its prefix."""
        return await self._answer("GET", path, query=query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self._answer("POST", path, body=body or {})

    async def send(self, path: str, content: bytes) -> None:
        """POST of bytes as they are."""
        http = await self._open()
        with self._reaching():
            reply = await http.post(path, content=content)
        raise_for(reply.status_code, reply.content)

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._answer("PATCH", path, body=body)

    async def delete(self, path: str, /, **query: Any) -> Any:
        return await self._answer("DELETE", path, query=query)

    async def text(self, path: str, /, **query: Any) -> str:
        """GET of something that is not JSON."""
        content = await self._content("GET", path, query=query)
        return content.decode("utf-8", "replace")

    async def content(self, path: str) -> bytes:
        """GET of bytes as they are."""
        return await self._content("GET", path)

    async def status(self) -> dict[str, Any]:
        status: dict[str, Any] = await self.get("/status")
        return status

    async def begin(
        self,
        question: str,
        *,
        thread: str | None = None,
        mode: str | None = None,
        folder: str | None = None,
        model: str | None = None,
        attachments: Sequence[Mapping[str, str]] = (),
        images: Sequence[Mapping[str, str]] = (),
        beside: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Have a question stored and answered by the daemon; `follow` its answer, the last of the messages."""
        body: dict[str, Any] = {"question": question, "thread": thread, "mode": mode, "folder": folder, "model": model}
        body |= {"attachments": list(attachments), "images": list(images), "beside": beside, "options": options}
        begun: dict[str, Any] = await self.post("/turns", body)
        return begun

    async def follow(self, message_id: int, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """The events of an answer from position `after` on, Done or Failed last; NotFound when it ended long ago."""
        position = after
        async with contextlib.aclosing(self._lines("GET", f"/messages/{message_id}/events?after={after}")) as lines:
            async for line in lines:
                if line.startswith("id:"):
                    position = int(line[3:])
                elif (each := event(line)) is not None:
                    yield position, each

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Event, None]:
        """POST and yield the events, the last one (Done or Failed) included."""
        async with contextlib.aclosing(self._lines("POST", path, body)) as lines:
            async for line in lines:
                if (each := event(line)) is not None:
                    yield each

    async def _lines(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> AsyncGenerator[str, None]:
        http = await self._open()
        with self._reaching():
            async with http.stream(method, path, json=body) as reply:
                if reply.status_code >= 400:
                    raise_for(reply.status_code, await reply.aread())
                async for line in reply.aiter_lines():
                    yield line

    async def _answer(self, method: str, path: str, **more: Any) -> Any:
        return json.loads(await self._content(method, path, **more))

    async def _content(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> bytes:
        given = {key: value for key, value in (query or {}).items() if value is not None}
        http = await self._open()
        with self._reaching():
            reply = await http.request(method, urllib.parse.quote(path), params=given, json=body)
        raise_for(reply.status_code, reply.content)
        return reply.content

    async def _open(self) -> "httpx2.AsyncClient":
        async with self._opening:
            if self._http is None:
                self._http = await asyncio.to_thread(self._connected)
        return self._http

    def _connected(self) -> "httpx2.AsyncClient":
        import httpx2

        if not uses_tcp():
            transport = httpx2.AsyncHTTPTransport(verify=False, uds=str(self.paths.socket))
            return httpx2.AsyncClient(base_url="http://localhost" + API, timeout=None, transport=transport)
        from localmind.client.proof import proving_pool

        port, token = by_tcp(self.paths)
        transport = httpx2.AsyncHTTPTransport(verify=False)
        transport._pool = proving_pool(port, token)  # httpx2 has no argument for it
        headers = {"Authorization": f"Bearer {token}"}
        return httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}{API}", headers=headers, timeout=None, transport=transport
        )

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn a failed connection, or one that broke, into DaemonUnreachable."""
        import httpx2

        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as problem:
            raise unreachable(self.paths) from problem
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError) as problem:
            raise went_away(self.paths) from problem
