"""Native routes of the watched folders: add, list, remove, explain, search.

Plain JSON for what is answered at once, server-sent events (see events.py) for what takes a while.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.native.path import absolute
from localmind.api.streams import JSON, EventStream, native_sse, started, unless_gone
from localmind.errors import FolderNotFound
from localmind.events import Done, Event


class SearchRequest(BaseModel):
    query: str = Field(min_length=1, max_length=10_000)
    limit: int = Field(10, ge=1, le=100)
    folder: str | None = None


class FolderRequest(BaseModel):
    path: str = Field(min_length=1)


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.post("/search")
    async def search(body: SearchRequest, request: Request) -> Response:
        """The passages that fit a query best; may be none."""
        folder = absolute(body.folder) if body.folder else None
        found = await unless_gone(request, backend.knowledge.search(body.query, limit=body.limit, folder=folder))
        return JSON({"passages": msgspec.to_builtins(found)})

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

    return routes


async def _until_indexed(backend: Backend, folder_id: int) -> AsyncIterator[Event]:
    async with contextlib.aclosing(backend.knowledge.progress(folder_id)) as steps:
        async for step in steps:
            yield step
    yield Done()
