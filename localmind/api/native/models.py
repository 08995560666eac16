"""Native routes of models: the catalog, what is here, fetching, checking and removing.

Plain JSON for what is answered at once, server-sent events (see events.py) for what takes a while.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.streams import JSON, EventStream, native_sse, started, unless_gone
from localmind.catalog import ModelSpec
from localmind.events import Done, Event, Progress, TextDelta
from localmind.models.store import Store


class PullRequest(BaseModel):
    model: str = Field(min_length=1)


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.get("/models")
    async def models() -> Response:
        """The catalog, and what of it is on this machine."""
        return JSON({"models": [_listed(backend, spec) for spec in backend.catalog.models]})

    @routes.post("/models/pull")
    async def pull(body: PullRequest, request: Request) -> Response:
        """Fetch a model; the events are the progress. Hanging up stops it, unless someone else waits too."""
        events = backend.pulls.pull(backend.catalog.find(body.model))
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.post("/models/verify")
    async def verify(body: PullRequest, request: Request) -> Response:
        """Hash a model's files; each TextDelta names a damaged one."""
        events = _verified(backend.store, backend.catalog.find(body.model))
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.get("/models/show")
    async def show(name: str) -> Response:
        return JSON(_listed(backend, backend.catalog.find(name)))

    @routes.delete("/models")
    async def remove(name: str) -> Response:
        """Remove a model's files, unless it is answering right now."""
        spec = backend.catalog.find(name)
        await backend.engines.unload(spec)
        return JSON({"freed_bytes": backend.store.remove(spec.name).freed})

    return routes


async def _verified(store: Store, spec: ModelSpec) -> AsyncIterator[Event]:
    loop = asyncio.get_running_loop()
    steps: asyncio.Queue[int | None] = asyncio.Queue()

    def moved(read: int) -> None:
        loop.call_soon_threadsafe(steps.put_nowait, read)

    reading = loop.run_in_executor(None, store.verify, spec.name, moved)
    reading.add_done_callback(lambda _: steps.put_nowait(None))
    while (read := await steps.get()) is not None:
        yield Progress("verify", read, spec.size, "B", spec.name)
    for problem in await reading:
        yield TextDelta(f"{problem.file}: {problem.text}")
    yield Done()


def _listed(backend: Backend, spec: ModelSpec) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(spec),
        "size": spec.size,
        "installed": backend.store.get(spec.name) is not None,
        "memory": backend.engines.memory(spec),
    }
