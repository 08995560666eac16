"""Native routes of the watched folders: add, list, remove, explain.

Plain JSON for what is answered at once, server-sent events (see events.py) for what takes a while.
"""

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.native.path import absolute
from localmind.api.streams import JSON, EventStream, native_sse, sse, started, unless_gone
from localmind.errors import FolderNotFound, InvalidRequest
from localmind.events import Done, Event
from localmind.knowledge.state import FolderStatus, Indexing


class FolderRequest(BaseModel):
    path: str | None = Field(None, min_length=1)
    chats: bool = False
    """The user's own chats instead of a folder."""


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.get("/folders")
    async def folders() -> Response:
        """The watched folders with their figures, and how the index as a whole is doing."""
        return JSON(_figures(await backend.knowledge.folders(), await backend.knowledge.indexing()))

    @routes.get("/folders/follow")
    async def follow() -> Response:
        """The same as server-sent events: once at first, and then whenever something changes."""
        return EventStream(_follow(backend))

    @routes.post("/folders/pause")
    async def pause() -> Response:
        """Read and embed nothing until told to; searching goes on."""
        await backend.knowledge.pause(True)
        return JSON(msgspec.to_builtins(await backend.knowledge.indexing()))

    @routes.post("/folders/resume")
    async def resume() -> Response:
        """Go on with reading and embedding."""
        await backend.knowledge.pause(False)
        return JSON(msgspec.to_builtins(await backend.knowledge.indexing()))

    @routes.post("/folders/purge")
    async def purge() -> Response:
        """Remove every trace of deleted files from our own files; answers when it is done."""
        return JSON(msgspec.to_builtins(await backend.knowledge.purge()))

    @routes.post("/folders")
    async def add_folder(body: FolderRequest, request: Request) -> Response:
        """Watch a folder, or the user's own chats; the events say how far the first indexing is."""
        if (body.path is None) is not body.chats:
            raise InvalidRequest("name a path, or chats", hint='{"path": "/home/me/Documents"} or {"chats": true}')
        folder = await (backend.chats.add() if body.path is None else backend.knowledge.add_folder(absolute(body.path)))
        return EventStream(native_sse(await unless_gone(request, started(_until_indexed(backend, folder.id)))))

    @routes.delete("/folders")
    async def remove_folder(path: str | None = None, chats: bool = False) -> Response:
        """Stop watching a folder, or the user's own chats, and forget what was read in it."""
        if (path is None) is not chats:
            raise InvalidRequest("name a path, or chats", hint="?path=/home/me/Documents or ?chats=true")
        if path is None or absolute(path) == backend.chats.directory:
            await backend.chats.remove()
        else:
            await backend.knowledge.remove_folder(absolute(path))
        return JSON({})

    @routes.get("/folders/why")
    async def why(path: str) -> Response:
        """Whether a file is in the index, and by which rule it is not."""
        if not os.path.lexists(path):
            raise FolderNotFound(f"{path} does not exist")
        return JSON({"path": path, "reason": await backend.knowledge.why(absolute(path))})

    return routes


def _figures(folders: list[FolderStatus], indexing: Indexing) -> dict[str, Any]:
    return {"folders": msgspec.to_builtins(folders), "indexing": msgspec.to_builtins(indexing)}


async def _follow(backend: Backend) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(backend.knowledge.follow()) as changes:
        async for folders, indexing in changes:
            yield sse(_figures(folders, indexing))


async def _until_indexed(backend: Backend, folder_id: int) -> AsyncIterator[Event]:
    async with contextlib.aclosing(backend.knowledge.progress(folder_id)) as steps:
        async for step in steps:
            yield step
    yield Done()
