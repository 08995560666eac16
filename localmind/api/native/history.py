"""Native routes of what was said before: the list of threads, one of them in windows, search, export, delete."""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.native.turns import messages_json
from localmind.api.streams import JSON
from localmind.store.export import as_markdown
from localmind.store.transcript import Transcript


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")
    threads = backend.threads

    @routes.get("/threads")
    async def recent(limit: int = Query(50, ge=1, le=1000), offset: int = Query(0, ge=0, lt=2**63)) -> Response:
        """Threads, the one used last first."""
        found = await asyncio.to_thread(lambda: threads.recent(limit=limit, offset=offset))
        busy = {run.thread_id for run in backend.running.list()}
        return JSON({"threads": [msgspec.to_builtins(each) | {"answering": each.id in busy} for each in found]})

    @routes.get("/threads/search")
    async def search(
        q: str = Query(max_length=1000), limit: int = Query(50, ge=1, le=500), once: bool = False
    ) -> Response:
        """Full-text search over everything ever said; `once`: of each thread what is nearest only."""
        hits = await asyncio.to_thread(lambda: threads.search(q, limit=limit, once=once))
        return JSON({"hits": msgspec.to_builtins(hits)})

    @routes.get("/threads/{prefix}")
    async def thread(
        prefix: str,
        limit: int | None = Query(None, ge=1, le=100_000),
        start: int | None = Query(None, ge=0, lt=2**31),
        around: int | None = Query(None, ge=0, lt=2**63),
    ) -> Response:
        """A thread along its branch, with sources; named by its id or the beginning of it.

        `limit` turns of it: from `start` on, or around a message, or else the last ones.
        """
        found = await asyncio.to_thread(
            lambda: threads.get(threads.find(prefix).id, start=start, limit=limit, around=around)
        )
        return JSON(_transcript(found))

    @routes.get("/threads/{prefix}/export")
    async def export(prefix: str, form: Literal["markdown", "json"] = "markdown") -> Response:
        """The whole thread as a document, with its images."""
        found = await asyncio.to_thread(lambda: threads.get(threads.find(prefix).id))
        pictures = await asyncio.to_thread(threads.contents, found.turns)
        if form == "json":
            return JSON(_with_images(_transcript(found), pictures))
        return Response(as_markdown(found, pictures), media_type="text/markdown; charset=utf-8")

    @routes.delete("/threads/{prefix}")
    async def forget(prefix: str) -> Response:
        """Delete a thread for good."""
        found = await asyncio.to_thread(threads.find, prefix)
        await backend.running.stop_thread(found.id)
        await asyncio.to_thread(threads.delete, found.id)
        return JSON({"thread": msgspec.to_builtins(found)})

    return routes


def _with_images(transcript: dict[str, Any], pictures: Mapping[str, bytes]) -> dict[str, Any]:
    for message in transcript["messages"]:
        for each in message["images"]:
            each["data"] = base64.b64encode(pictures[each["sha256"]]).decode()
    return transcript


def _transcript(found: Transcript) -> dict[str, Any]:
    return {
        "thread": msgspec.to_builtins(found.thread),
        "start": found.start,
        "total": found.total,
        "messages": [message for turn in found.turns for message in messages_json(turn)],
    }
