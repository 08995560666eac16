"""Native routes by which models come: fetched from a hub or an index, or taken in from other programs' caches.

A pull's events are its progress, with rate and time left. It belongs to those who read them: when the last one hangs up
it stops. Pausing and cancelling is for everybody. What a command's own environment says of hubs and tokens counts for
the pull that it asks for, since the daemon may have been started by somebody who knew less.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.native.path import absolute
from localmind.api.streams import JSON, EventStream, native_sse, started, unless_gone
from localmind.catalog import ModelSpec, PathSource
from localmind.errors import InvalidRequest, LocalmindError, ModelNotFound
from localmind.events import Done, Event, Progress, TextDelta
from localmind.models.hub_config import PASSED, HubConfig
from localmind.models.imports import Found, caches, named, places
from localmind.models.names import find_model, find_newest
from localmind.models.pip_config import IndexConfig


class PullRequest(BaseModel):
    model: str = Field(min_length=1, max_length=2000)
    """A name of the catalog, `hf.co/ORG/REPO[:QUANT]`, or the address of a GGUF file."""
    projector: bool = False
    """Take a repository's projector for images as well."""
    update: bool = False
    """Take what the Hub has now in place of what is here."""
    environ: dict[str, str] = {}
    """Variables of the asker that say which hub or index to use, instead of the daemon's."""


class NameRequest(BaseModel):
    model: str = Field(min_length=1)


class ImportRequest(BaseModel):
    paths: list[str] = []
    """Files and folders, absolute. Empty: the caches of Hugging Face, Ollama and LM Studio."""
    names: list[str] = []
    """Which of what is found there; empty: all."""
    copy_files: bool = Field(False, alias="copy")
    """Copy instead of linking."""


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.post("/models/pull")
    async def pull(body: PullRequest, request: Request) -> Response:
        """Fetch a model; the events are the progress. Hanging up stops it, unless someone else waits too."""
        return EventStream(native_sse(await unless_gone(request, started(_pulled(backend, body)))))

    @routes.get("/models/pulls")
    async def pulls() -> Response:
        """What is being fetched, and how far it is."""
        running = backend.pulls.running()
        return JSON({"pulls": [{"model": name, "progress": _step(step)} for name, step in running.items()]})

    @routes.post("/models/pull/pause")
    async def pause(body: NameRequest) -> Response:
        """Let a pull rest; its followers stay and see the stage "paused"."""
        return JSON({"model": backend.pulls.pause(body.model)})

    @routes.post("/models/pull/resume")
    async def resume(body: NameRequest) -> Response:
        """Go on with a paused pull where it stopped."""
        return JSON({"model": backend.pulls.resume(body.model)})

    @routes.post("/models/pull/cancel")
    async def cancel(body: NameRequest) -> Response:
        """End a pull for all who follow it. What came is kept for the next one."""
        return JSON({"model": await backend.pulls.cancel(body.model)})

    @routes.post("/models/prune")
    async def prune() -> Response:
        """Delete what stopped downloads left, and files that no model needs."""
        if running := backend.pulls.running():
            names = ", ".join(running)
            raise InvalidRequest(f"{names} is being fetched", hint=f"localmind models cancel {next(iter(running))}")
        return JSON({"freed_bytes": await asyncio.to_thread(backend.store.prune)})

    @routes.post("/models/importable")
    async def importable(body: ImportRequest) -> Response:
        """What an import would take in."""
        found = await asyncio.to_thread(_found, backend, body)
        return JSON({"models": [_shown(backend, one, spec) for one, spec in found]})

    @routes.post("/models/import")
    async def import_(body: ImportRequest, request: Request) -> Response:
        """Take models in; a TextDelta names each that is here now, or why it is not."""
        return EventStream(native_sse(await unless_gone(request, started(_imported(backend, body)))))

    return routes


def asked_with(environ: dict[str, str]) -> dict[str, Any]:
    """How a pull is to be made, by what the asker's environment says; of the rest, the daemon's own counts."""
    passed = {name: value for name, value in environ.items() if name in PASSED}
    if not passed:
        return {}
    ours = {name: value for name, value in os.environ.items() if name not in PASSED}
    return {"hub": HubConfig.find(ours | passed), "config": IndexConfig.find(ours | passed)}


async def _pulled(backend: Backend, body: PullRequest) -> AsyncIterator[Event]:
    how = asked_with(body.environ)
    hub = how.get("hub") or HubConfig.find()
    known = backend.catalog.get(body.model)
    if body.update and known is not None and backend.store.get(known.name) is not None:
        spec, how = await find_newest(body.model, backend.catalog, hub), how | {"update": True}
    else:
        spec = await find_model(body.model, backend.catalog, hub, with_projector=body.projector)
    async with contextlib.aclosing(backend.pulls.pull(spec, **how)) as events:
        async for event in events:
            yield event


def _found(backend: Backend, body: ImportRequest) -> list[tuple[Found, ModelSpec]]:
    """Models to take in with the specs they get, each content once. Raises ModelNotFound when there are none."""
    if body.paths:
        found: list[Found] = []
        for path in map(absolute, body.paths):
            if not path.exists():
                raise ModelNotFound(f"{path} does not exist", hint=f"ls {path.parent}")
            here = list(places(path, backend.catalog))
            if not here:
                raise ModelNotFound(
                    f"{path} holds no model that could be used", hint="a GGUF file, or a folder of them"
                )
            found += here
    else:
        found = list(caches())
    listed = {(spec := named(one, backend.catalog)).name: (one, spec) for one in reversed(found)}
    chosen = [pair for name, pair in reversed(listed.items()) if not body.names or name in body.names]
    for name in body.names:
        if name not in listed:
            raise ModelNotFound(f"{name} is not among what could be imported", hint="localmind models import --list")
    return [(one, _with_way(spec, "copy") if body.copy_files else spec) for one, spec in chosen]


def _with_way(spec: ModelSpec, way: str) -> ModelSpec:
    sources = [
        PathSource(source.paths, source.names, "copy") if isinstance(source, PathSource) else source
        for source in spec.sources
    ]
    return msgspec.structs.replace(spec, sources=tuple(sources))


async def _imported(backend: Backend, body: ImportRequest) -> AsyncIterator[Event]:
    """One after the other; one that cannot be taken in does not stop the others."""
    problems: list[LocalmindError] = []
    found = await asyncio.to_thread(_found, backend, body)
    for one, spec in found:
        how: dict[str, Any] = {"local": True}
        if one.wheels is not None:
            how["config"] = IndexConfig((), (one.wheels,))
        try:
            async with contextlib.aclosing(backend.pulls.pull(spec, **how)) as events:
                async for event in events:
                    if isinstance(event, Progress):
                        yield event
            yield TextDelta(f"{spec.name} is here, from {one.program}\n")
        except LocalmindError as problem:
            problems.append(problem)
            yield TextDelta(f"{spec.name} was not taken in: {problem.message}\n")
    if problems and len(problems) == len(found):
        raise problems[0]
    yield Done()


def _shown(backend: Backend, found: Found, spec: ModelSpec) -> dict[str, Any]:
    source = next((source for source in spec.sources if isinstance(source, PathSource)), None)
    return {
        "name": spec.name,
        "program": found.program,
        "size": found.size,
        "path": source.paths[0] if source else str(found.wheels or Path()),
        "installed": backend.store.get(spec.name) is not None,
    }


def _step(step: Progress | None) -> dict[str, Any] | None:
    return None if step is None else msgspec.to_builtins(step)
