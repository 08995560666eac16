"""The native API under /localmind/v1: what our own command line and terminal app need.

Plain JSON for questions that are answered at once, server-sent events (see events.py) for everything
that takes a while. No state of its own.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind import __version__
from localmind.api.backend import Backend
from localmind.api.chat_messages import ChatMessage
from localmind.api.openai_chat import asker
from localmind.api.streams import JSON, EventStream, native_sse, started, unless_gone
from localmind.catalog import ModelSpec
from localmind.errors import FolderNotFound, InvalidRequest
from localmind.events import Done, Event, Progress, TextDelta
from localmind.models.store import Store
from localmind.store.transcript import Transcript
from localmind.workers.request import Request as Generation


class SearchRequest(BaseModel):
    query: str = Field(min_length=1, max_length=10_000)
    limit: int = Field(10, ge=1, le=100)
    folder: str | None = None


class FolderRequest(BaseModel):
    path: str = Field(min_length=1)


class AskRequest(BaseModel):
    question: str = Field(min_length=1, max_length=100_000)
    folder: str | None = None
    model: str | None = None
    thread: str | None = None
    max_tokens: int | None = Field(None, ge=1)


class ChatTurnRequest(BaseModel):
    messages: list[ChatMessage] = Field(min_length=1)
    model: str | None = None


class PullRequest(BaseModel):
    model: str = Field(min_length=1)


def absolute(path: str) -> Path:
    """The daemon has another working directory than its clients, so only absolute paths mean anything."""
    if not os.path.isabs(path):
        raise InvalidRequest(f"{path!r} is not an absolute path")
    return Path(os.path.normpath(path))


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.get("/status")
    async def status() -> Response:
        """What runs: version, uptime, models, folders."""
        folders = await backend.knowledge.folders()
        states = {name: _brief(state) for name, state in (await backend.engines.states()).items()}
        return JSON(
            {
                "version": __version__,
                "pid": os.getpid(),
                "uptime_s": round(time.time() - backend.started_at, 1),
                "port": None if backend.tcp_problem else backend.port,
                "tcp_problem": backend.tcp_problem,
                "socket": str(backend.paths.socket),
                "models": [{**model, "engine": states.get(model["model"])} for model in backend.engines.status()],
                "folders": msgspec.to_builtins(folders),
                "workers": backend.index_workers(),
            }
        )

    @routes.post("/search")
    async def search(body: SearchRequest, request: Request) -> Response:
        """The passages that fit a query best; may be none."""
        folder = absolute(body.folder) if body.folder else None
        found = await unless_gone(request, backend.knowledge.search(body.query, limit=body.limit, folder=folder))
        return JSON({"passages": msgspec.to_builtins(found)})

    @routes.post("/ask")
    async def ask(body: AskRequest, request: Request) -> Response:
        """Answer from the watched folders, with sources."""
        events = backend.assistant.ask(
            body.question,
            folder=absolute(body.folder) if body.folder else None,
            spec=backend.engines.resolve(body.model),
            thread=body.thread,
            client=asker(request),
            max_tokens=body.max_tokens,
        )
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.post("/chat")
    async def chat(body: ChatTurnRequest, request: Request) -> Response:
        """Talk to the model alone."""
        messages = tuple(message.plain() for message in body.messages)
        asked = Generation(messages=messages, client=asker(request), explain=True)
        events = backend.engines.generate_with_progress(backend.engines.resolve(body.model), asked)
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.get("/folders")
    async def folders() -> Response:
        return JSON({"folders": msgspec.to_builtins(await backend.knowledge.folders())})

    @routes.post("/folders")
    async def add_folder(body: FolderRequest, request: Request) -> Response:
        """Watch a folder; the events say how far its first indexing is."""
        folder = await backend.knowledge.add_folder(absolute(body.path))
        return EventStream(native_sse(await unless_gone(request, started(_until_indexed(backend, folder.id)))))

    @routes.delete("/folders")
    async def remove_folder(path: str) -> Response:
        """Stop watching a folder and forget what was read in it."""
        await backend.knowledge.remove_folder(absolute(path))
        return JSON({})

    @routes.get("/folders/why")
    async def why(path: str) -> Response:
        """Whether a file is in the index, and by which rule it is not."""
        if not Path(path).exists():
            raise FolderNotFound(f"{path} does not exist")
        return JSON({"path": path, "reason": await backend.knowledge.why(absolute(path))})

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

    @routes.get("/threads")
    async def threads(limit: int = Query(50, ge=1, le=1000), offset: int = Query(0, ge=0)) -> Response:
        """Threads, the one used last first."""
        found = await asyncio.to_thread(lambda: backend.threads.recent(limit=limit, offset=offset))
        return JSON({"threads": msgspec.to_builtins(found)})

    @routes.get("/threads/{prefix}")
    async def thread(prefix: str) -> Response:
        """Everything said in a thread, with sources; named by its id or the beginning of it."""
        found = await asyncio.to_thread(lambda: backend.threads.get(backend.threads.find(prefix).id))
        return JSON(_transcript(found))

    @routes.delete("/threads/{prefix}")
    async def forget(prefix: str) -> Response:
        """Delete a thread for good."""
        found = await asyncio.to_thread(backend.threads.find, prefix)
        await asyncio.to_thread(backend.threads.delete, found.id)
        return JSON({"thread": msgspec.to_builtins(found)})

    return routes


def _transcript(found: Transcript) -> dict[str, Any]:
    said = [
        {
            "role": message.role,
            "content": message.content,
            "state": message.state,
            "model": message.model,
            "error": message.error.message if message.error else None,
            "created_at": message.created_at,
            "sources": msgspec.to_builtins(message.sources),
        }
        for turn in found.turns
        for message in turn.messages
    ]
    return {"thread": msgspec.to_builtins(found.thread), "messages": said}


async def _until_indexed(backend: Backend, folder_id: int) -> AsyncIterator[Event]:
    async with contextlib.aclosing(backend.knowledge.progress(folder_id)) as steps:
        async for step in steps:
            yield step
    yield Done()


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


def _brief(state: dict[str, Any]) -> dict[str, Any]:
    """An engine's state without its single sequences: numbers for a line of `localmind status`."""
    return {key: value for key, value in state.items() if isinstance(value, int | float | str)}
