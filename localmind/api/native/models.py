"""Native routes of models: the catalog, what is here, checking and removing. How models come is in model_pulls.py.

Plain JSON for what is answered at once, server-sent events (see events.py) for what takes a while.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.cards import removable
from localmind.api.native.model_pulls import asked_with
from localmind.api.streams import JSON, EventStream, native_sse, started, unless_gone
from localmind.catalog import ModelSpec
from localmind.events import Done, Event, Progress, TextDelta


class VerifyRequest(BaseModel):
    model: str = Field(min_length=1)
    repair: bool = False
    """Fetch damaged and missing files again, from where the model came."""
    environ: dict[str, str] = {}
    """As for a pull."""


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.get("/models")
    async def models() -> Response:
        """The catalog, and what of it is on this machine; under `remote` what the servers of the settings have."""
        remotes = backend.engines.elsewhere
        remote = [
            {
                "name": model.name,
                "role": model.role,
                "host": model.host,
                "files": model.reads_files,
                "context": model.context,
                "sees": model.sees,
            }
            for model in (remotes.models() if remotes is not None else ())
        ]
        return JSON({"models": [_listed(backend, spec) for spec in backend.catalog.models], "remote": remote})

    @routes.post("/models/verify")
    async def verify(body: VerifyRequest, request: Request) -> Response:
        """Hash a model's files; each TextDelta names a damaged one. With `repair` those are fetched again."""
        events = _verified(backend, backend.catalog.find(body.model), body)
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.get("/models/show")
    async def show(name: str) -> Response:
        return JSON(_listed(backend, backend.catalog.find(name)))

    @routes.delete("/models")
    async def remove(name: str) -> Response:
        """Remove a model's files, unless it is answering right now."""
        spec = removable(backend, name)
        await backend.engines.unload(spec)
        removed = await asyncio.to_thread(backend.store.remove, spec.name)
        return JSON({"freed_bytes": removed.freed})

    return routes


async def _verified(backend: Backend, spec: ModelSpec, body: VerifyRequest) -> AsyncIterator[Event]:
    loop = asyncio.get_running_loop()
    steps: asyncio.Queue[int | None] = asyncio.Queue()
    installed = backend.store.show(spec.name)

    def moved(read: int) -> None:
        loop.call_soon_threadsafe(steps.put_nowait, read)

    reading = loop.run_in_executor(None, backend.store.verify, spec.name, moved)
    reading.add_done_callback(lambda _: steps.put_nowait(None))
    while (read := await steps.get()) is not None:
        yield Progress("verify", read, installed.size, "B", spec.name)
    problems = await reading
    for problem in problems:
        yield TextDelta(f"{problem.file}: {problem.text}")
    if problems and body.repair:
        again = backend.pulls.pull(installed.spec or spec, **asked_with(body.environ))
        async with contextlib.aclosing(again) as events:
            async for event in events:
                yield event
        return
    yield Done()


def _listed(backend: Backend, spec: ModelSpec) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(spec),
        "size": spec.size,
        "size_known": bool(spec.files),
        "installed": backend.store.get(spec.name) is not None,
        "memory": backend.engines.memory(spec),
    }
