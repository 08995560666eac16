"""Native routes of conversations: asking the folders, talking to the model, what was said before.

Plain JSON for what is answered at once, server-sent events (see events.py) for what takes a while.
"""

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.asking import asker
from localmind.api.backend import Backend
from localmind.api.chat_messages import ChatMessage
from localmind.api.native.path import absolute
from localmind.api.streams import JSON, EventStream, native_sse, started, unless_gone
from localmind.store.transcript import Transcript
from localmind.workers.request import Request as Generation


class AskRequest(BaseModel):
    question: str = Field(min_length=1, max_length=100_000)
    folder: str | None = None
    model: str | None = None
    thread: str | None = None
    max_tokens: int | None = Field(None, ge=1)


class ChatTurnRequest(BaseModel):
    messages: list[ChatMessage] = Field(min_length=1)
    model: str | None = None


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

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
