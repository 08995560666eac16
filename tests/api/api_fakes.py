"""The application over an engine that says what its script says."""

import atexit
import dataclasses
import functools
import json
import os
import struct
from collections.abc import AsyncGenerator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import httpx2
import msgspec

from localmind import catalog
from localmind.api.app import create_app
from localmind.api.backend import Backend
from localmind.api.security import App, Gatekeeper
from localmind.catalog import ModelSpec
from localmind.errors import ModelNotFound
from localmind.events import Done, Event, TextDelta
from localmind.messages import Usage
from localmind.models.made import MadeModels
from localmind.store.responses import Responses
from localmind.workers.outside import Outside
from localmind.workers.request import Request
from localmind.workers.tally import Tally

BUNDLED = catalog.bundled()
HEAD = {"authorization": "Bearer t", "host": "localhost:1"}


class FakeEngines:
    """Answers every chat with its script."""

    elsewhere = None
    outside = Outside(None)

    def __init__(self, *script: Event | Exception) -> None:
        self.asked: list[Request] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.open = 0
        self.parts: dict[str, Any] = {}
        """Of the backend, where a test needs real ones."""
        self.live: dict[str, dict[str, Any]] = {}
        self.tally = Tally()
        self.script = script or (TextDelta("Hel"), TextDelta("lo"), Done("stop", Usage(3, 2)))

    def resolve(self, name: str | None) -> ModelSpec:
        if name == "unknown":
            raise ModelNotFound("no model named 'unknown' in the catalog", hint="localmind models list")
        return BUNDLED[0]

    def embedder(self, name: str | None) -> ModelSpec:
        spec = BUNDLED[1]
        gguf = BUNDLED[0].files
        return (
            spec if name == spec.name else msgspec.structs.replace(spec, name="tiny-embed", format="gguf", files=gguf)
        )

    async def embed(self, spec: ModelSpec, texts: Sequence[str]) -> tuple[list[bytes], int]:
        return [struct.pack("<4f", 0.5, 0.5, 0.5, 0.5)] * len(texts), 3 * len(texts)

    async def rerank(self, spec: ModelSpec, query: str, documents: Sequence[str]) -> list[float]:
        return [float(len(document)) for document in documents]

    async def ask(self, spec: ModelSpec, method: str, **params: Any) -> Any:
        """A token a word, numbered by its length."""
        self.calls.append((method, params))
        match method:
            case "tokenize":
                return [len(word) for word in params["text"].split()]
            case "detokenize":
                return [b"x" * token for token in params["tokens"]] if params.get("apart") else "x x"
            case "count":
                return sum(len(message["content"].split()) for message in params["messages"])
            case "apply_template":
                return {"prompt": " ".join(f"<{each['role']}> {each['content']}" for each in params["messages"])}
        raise AssertionError(method)

    async def load(self, spec: ModelSpec, keep_alive: float | None = None) -> None:
        self.calls.append(("load", {"keep_alive": keep_alive}))

    async def unload(self, spec: ModelSpec) -> None:
        self.calls.append(("unload", {}))

    async def states(self) -> dict[str, dict[str, Any]]:
        return self.live

    def status(self) -> list[dict[str, Any]]:
        return [{"model": name, "state": "loaded", "load": {"n_ctx_seq": 4096}, "plan": {}} for name in self.live]

    def tallies(self) -> dict[str, Tally]:
        return {"smollm2:135m": self.tally}

    def installed(self) -> list[str]:
        return ["smollm2:135m"]

    async def generate(self, spec: ModelSpec, request: Request, brake: Any = None) -> AsyncGenerator[Event, None]:
        self.asked.append(request)
        self.open += 1
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.open -= 1

    generate_with_progress = generate


_asked: ContextVar[FakeEngines] = ContextVar("asked")


class FakeEnginesInTurn:
    """The engines that the request at hand was meant for: making an application takes longer than most answers."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_asked.get(), name)


class Meant:
    """An application for requests to these engines."""

    def __init__(self, app: App, engines: FakeEngines) -> None:
        self._app = app
        self._engines = engines

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        before = _asked.set(self._engines)
        try:
            await self._app(scope, receive, send)
        finally:
            _asked.reset(before)


def app_with(engines: FakeEngines, port: int = 1, origins: frozenset[str] = frozenset()) -> App:
    """The application over these engines. Those with parts of their own get one of their own, made once."""
    if engines.parts:
        return _app(engines, port, origins)
    return Meant(_app(_IN_TURN, port, origins), engines)


@functools.cache
def _app(engines: "FakeEngines | FakeEnginesInTurn", port: int, origins: frozenset[str]) -> App:
    missing = cast(Any, None)
    responses = Responses(Path(os.environ["LOCALMIND_HOME"]) / "responses.db")
    atexit.register(responses.close)  # the application is there for all tests
    backend = Backend(
        paths=missing,
        port=port,
        tcp_problem=None,
        second=None,
        catalog=catalog.Catalog(BUNDLED),
        store=missing,
        pulls=missing,
        engines=cast(Any, engines),
        knowledge=missing,
        grounded=missing,
        threads=missing,
        chats=missing,
        responses=responses,
        made=MadeModels(Path("/nowhere/made_models.json")),
        running=missing,
        read_aloud=missing,
        machine=missing,
        voice=missing,
        index_workers=list,
    )
    parts = engines.parts if isinstance(engines, FakeEngines) else {}
    return create_app(dataclasses.replace(backend, **parts), Gatekeeper(port, "t", origins))


_IN_TURN = FakeEnginesInTurn()


async def post(
    engines: FakeEngines,
    body: Any,
    path: str = "/v1/chat/completions",
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=cast(Any, app_with(engines)), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:1") as http:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = HEAD | {"content-type": "application/json"} | (headers or {})
        return await http.request(method, path, content=content, headers=sent)
