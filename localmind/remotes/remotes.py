"""The servers of the settings: what they have, and one request to one of them. Implements workers' Elsewhere.

A key goes to the server it stands beside and nowhere else: no redirect is followed, and a proxy is used only where
the connection to the server itself is encrypted. Lists of models are asked for in the background and remembered.
"""

import array
import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from localmind.errors import (
    Cancelled,
    ContextTooLong,
    InvalidRequest,
    LocalmindError,
    ModelNotFound,
    QueueFull,
    RemoteFailed,
    RemoteUnreachable,
)
from localmind.events import Event
from localmind.remotes.body import body_of
from localmind.remotes.entries import model_of
from localmind.remotes.reading import Reader, data_of, said
from localmind.settings import Remote
from localmind.workers.elsewhere import RemoteModel
from localmind.workers.request import Request

CONNECT_S = 10.0
SILENCE_S = 600.0
"""A server may read a long prompt for minutes before its first token."""
LIST_S = 5.0
LISTED_FOR_S = 60.0
MOST_BODY = 64 << 20
MOST_MODELS = 1000


@dataclass(slots=True)
class Server:
    """One remote."""

    name: str
    remote: Remote
    http: httpx2.AsyncClient
    models: list[RemoteModel] = field(default_factory=list)
    problem: str | None = None
    listed_at: float = 0.0

    @property
    def host(self) -> str:
        return urlsplit(self.remote.url).netloc

    @property
    def fresh(self) -> bool:
        """What it has was asked a short while ago."""
        return self.listed_at > 0 and time.monotonic() - self.listed_at <= LISTED_FOR_S


class Remotes:
    def __init__(self, settings: Mapping[str, Remote]) -> None:
        self._servers = {name: Server(name, remote, _client(remote)) for name, remote in settings.items()}
        self._listing: asyncio.Task[None] | None = None

    def find(self, name: str) -> RemoteModel | None:
        remote, slash, model = name.partition("/")
        server = self._servers.get(remote.strip().lower())
        if server is None or not slash or not model:
            return None
        known = next((each for each in server.models if each.model == model), None)
        return known or _model(server, model)

    def models(self) -> list[RemoteModel]:
        """As last listed; asks again in the background when that was a while ago."""
        if not all(each.fresh for each in self._servers.values()) and (self._listing is None or self._listing.done()):
            self._listing = asyncio.create_task(self.list_all(), name="models of remotes")
        return [model for server in self._servers.values() for model in server.models]

    def status(self) -> list[dict[str, Any]]:
        return [
            {
                "name": server.name,
                "url": server.remote.url,
                "models": [model.name for model in server.models],
                "files": server.remote.files,
                "problem": server.problem,
                "listed": server.listed_at > 0,
            }
            for server in self._servers.values()
        ]

    async def sees(self, model: RemoteModel) -> bool | None:
        server = self._servers[model.remote]
        if model.sees is None and not server.fresh:
            await self._list(server)
        return (self.find(model.name) or model).sees

    async def list_all(self) -> None:
        """Ask every server what it has. One that does not answer keeps what it had, and why."""
        await asyncio.gather(*(self._list(server) for server in self._servers.values()))

    async def close(self) -> None:
        if self._listing is not None:
            self._listing.cancel()
            await asyncio.wait({self._listing})
        for server in self._servers.values():
            await server.http.aclose()

    # --- asking

    async def generate(self, model: RemoteModel, request: Request) -> AsyncGenerator[Event, None]:
        route, body = body_of(model, request)
        reader = Reader(model.name)
        async with self._reply(model, route, body) as reply:
            async for payload in data_of(reply.aiter_bytes()):
                for event in reader.feed(payload):
                    yield event
        yield reader.end()

    async def embed(self, model: RemoteModel, texts: Sequence[str]) -> tuple[list[bytes], int]:
        answer = await self._answer(model, "/embeddings", {"model": model.model, "input": list(texts)})
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = [_unit(row["embedding"]) for row in rows]
            tokens = int((answer.get("usage") or {}).get("prompt_tokens") or 0)
        except (KeyError, TypeError, ValueError) as problem:
            raise RemoteFailed(f"{model.name}: its server sent no embeddings") from problem
        if len(vectors) != len(texts):
            raise RemoteFailed(f"{model.name}: {len(vectors)} vectors came for {len(texts)} texts")
        return vectors, tokens

    async def rerank(self, model: RemoteModel, query: str, documents: Sequence[str]) -> list[float]:
        body = {"model": model.model, "query": query, "documents": list(documents)}
        answer = await self._answer(model, "/rerank", body)
        try:
            scores = {int(row["index"]): float(row["relevance_score"]) for row in answer["results"]}
            return [scores[index] for index in range(len(documents))]
        except (KeyError, TypeError, ValueError) as problem:
            raise RemoteFailed(f"{model.name}: its server sent no scores") from problem

    async def _list(self, server: Server) -> None:
        try:
            async with asyncio.timeout(LIST_S):
                async with self._request(server, "GET", "/models") as reply:
                    answer = msgspec.json.decode(await _whole(reply))
            entries = answer["data"][:MOST_MODELS]
            named = [each for each in entries if isinstance(each["id"], str) and each["id"].isprintable()]
            more = _abilities(answer)
            server.models = [_model(server, each["id"], more.get(each["id"], {}) | each) for each in named]
            server.problem = None
        except LocalmindError as problem:
            server.problem = problem.message
        except TimeoutError:
            server.problem = f"{server.host} does not answer"
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            server.problem = f"{server.host} sent no list of models"
        server.listed_at = time.monotonic()

    async def _answer(self, model: RemoteModel, route: str, body: dict[str, Any]) -> Any:
        async with self._reply(model, route, body) as reply:
            try:
                return msgspec.json.decode(await _whole(reply))
            except msgspec.DecodeError as problem:
                raise RemoteFailed(f"{model.name}: its server sent what is no JSON") from problem

    def _reply(
        self, model: RemoteModel, route: str, body: dict[str, Any]
    ) -> contextlib.AbstractAsyncContextManager[httpx2.Response]:
        return self._request(self._servers[model.remote], "POST", route, body)

    @contextlib.asynccontextmanager
    async def _request(
        self, server: Server, method: str, route: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[httpx2.Response]:
        """The reply, its status checked. Leaving it hangs up."""
        content = msgspec.json.encode(body) if body is not None else None
        try:
            async with server.http.stream(method, server.remote.url + route, content=content) as reply:
                if reply.status_code != 200:
                    raise _refused(server, reply, await _whole(reply))
                yield reply
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as problem:
            raise RemoteUnreachable(
                f"{server.name} does not answer at {server.host}: {problem}",
                hint=f"is it running? see [remotes.{server.name}] in settings.toml",
            ) from problem
        except httpx2.TimeoutException as problem:
            raise RemoteFailed(f"{server.name} at {server.host} was silent for {SILENCE_S:.0f} s") from problem
        except httpx2.HTTPError as problem:
            raise RemoteFailed(f"{server.name} at {server.host} broke off: {problem}", hint="ask again") from problem


def _client(remote: Remote) -> httpx2.AsyncClient:
    headers = {"content-type": "application/json", "user-agent": "localmind"}
    if key := remote.key.get_secret_value():
        headers["authorization"] = f"Bearer {key}"
    return httpx2.AsyncClient(
        headers=headers,
        timeout=httpx2.Timeout(SILENCE_S, connect=CONNECT_S),
        follow_redirects=False,
        trust_env=remote.url.startswith("https://"),
    )


def _model(server: Server, name: str, told: Mapping[str, Any] | None = None) -> RemoteModel:
    return model_of(server.name, server.host, server.remote, name, told)


def _abilities(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What llama-server says of its models in a second list, in Ollama's form, by their names."""
    listed = answer.get("models")
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {
        each["name"]: {"capabilities": each["capabilities"]}
        for each in found[:MOST_MODELS]
        if isinstance(each.get("name"), str) and isinstance(each.get("capabilities"), list)
    }


async def _whole(reply: httpx2.Response) -> bytes:
    data = bytearray()
    async for chunk in reply.aiter_bytes():
        data += chunk
        if len(data) > MOST_BODY:
            raise RemoteFailed("the server sent more than can be an answer")
    return bytes(data)


def _refused(server: Server, reply: httpx2.Response, data: bytes) -> LocalmindError:
    """What a status that is not 200 means to whoever asked us."""
    try:
        text = said(msgspec.json.decode(data))
    except (msgspec.DecodeError, RecursionError):
        text = "its server does not say why"
    status, where = reply.status_code, f"{server.name} at {server.host}"
    match status:
        case 401 | 403:
            hint = f"check `key` under [remotes.{server.name}] in settings.toml"
            return RemoteFailed(f"{where} refuses the key ({status}): {text}", hint=hint)
        case 404:
            return ModelNotFound(f"{where}: {text}", hint="localmind models list")
        case 400 | 413 | 422:
            kind = ContextTooLong if b"context" in data and b"exceed" in data else InvalidRequest
            return kind(f"{where}: {text}")
        case 429:
            full = QueueFull(f"{where} is busy: {text}")
            after = reply.headers.get("retry-after", "")
            full.retry_after_s = min(3600, int(after)) if after.isdecimal() and len(after) < 8 else full.retry_after_s
            return full
        case 499:
            return Cancelled(f"{where}: {text}")
        case _ if 300 <= status < 400:
            there = urlsplit(reply.headers.get("location", "")).netloc or "another place"
            return RemoteFailed(
                f"{where} sends us on to {there[:100]}, where we do not follow", hint="name the final address in `url`"
            )
        case _:
            return RemoteFailed(f"{where} failed ({status}): {text}")


def _unit(values: Any) -> bytes:
    numbers = array.array("f", values)
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return array.array("f", [number / length for number in numbers]).tobytes()
