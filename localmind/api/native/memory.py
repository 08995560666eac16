"""Native routes of models in memory: what is there and what it takes, load and unload, pins and keep_alive."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.streams import JSON, EventStream, native_sse, started, unless_gone
from localmind.catalog import ModelSpec
from localmind.durations import seconds
from localmind.errors import InvalidRequest
from localmind.events import Done, Event


class MemoryRequest(BaseModel):
    model: str = Field("default", max_length=200)


class LoadRequest(MemoryRequest):
    keep_alive: float | str | None = None
    """From now on, for this model; null leaves what is set."""
    pin: bool = False


class PinRequest(MemoryRequest):
    pinned: bool = True


class KeepRequest(MemoryRequest):
    keep_alive: float | str | None = None
    """Null: as all other models."""


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")
    engines = backend.engines

    @routes.get("/memory")
    async def memory() -> Response:
        """Bytes by device, and every model that is in memory, on its way or waited for."""
        return JSON({"devices": engines.residence.devices(), "models": engines.residence.accounts()})

    @routes.post("/memory/load")
    async def load(body: LoadRequest, request: Request) -> Response:
        """Bring a model into memory; the events say how far it is, or whom it waits for."""
        spec = _loadable(backend, body.model)
        events = _loaded(backend, spec, _seconds(body.keep_alive), pin=body.pin)
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.post("/memory/unload")
    async def unload(body: MemoryRequest) -> Response:
        """Take a model out of memory, pinned or not, unless it is answering."""
        spec = _loadable(backend, body.model)
        await (backend.voice.unload(spec) if spec.role == "speech" else engines.unload(spec))
        return JSON({"model": spec.name})

    @routes.post("/memory/pin")
    async def pin(body: PinRequest) -> Response:
        """A pinned model is never taken out of memory for another, nor by time."""
        spec = _loadable(backend, body.model)
        await engines.pin(spec, body.pinned)
        return JSON({"model": spec.name, "pinned": body.pinned})

    @routes.post("/memory/keep_alive")
    async def keep_alive(body: KeepRequest) -> Response:
        """How long a model stays when requests do not say."""
        spec = _loadable(backend, body.model)
        await engines.keep(spec, _seconds(body.keep_alive))
        return JSON({"model": spec.name, "keep_alive": body.keep_alive})

    return routes


def _loadable(backend: Backend, name: str) -> ModelSpec:
    """The installed model of that name, for speech or for an engine. Raises ModelNotFound and the like."""
    spec = backend.catalog.get(name)
    return backend.voice.resolve(name) if spec is not None and spec.role == "speech" else backend.engines.loadable(name)


async def _loaded(backend: Backend, spec: ModelSpec, keep_s: float | None, *, pin: bool) -> AsyncIterator[Event]:
    if keep_s is not None:
        await backend.engines.keep(spec, keep_s)
    async for step in backend.voice.load(spec) if spec.role == "speech" else backend.engines.loading(spec):
        yield step
    if pin:
        await backend.engines.pin(spec, True)
    yield Done(model=spec.name)


def _seconds(value: Any) -> float | None:
    try:
        return None if value is None else seconds(value)
    except ValueError as problem:
        raise InvalidRequest(f"keep_alive: {problem}") from problem
