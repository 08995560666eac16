"""Native routes of questions: of turns that the daemon owns (ask and leave, come back and follow, stop, write again,
branch), and of a question that is kept nowhere.

A question is answered by a task of the daemon. `POST /turns` stores it and returns at once; the answer is
followed at `GET /messages/{id}/events?after=N`, whose events carry their position as SSE ids. Closing that
stream ends nothing. An answer that ended too long ago to be followed is 404 there and whole in its thread.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.native.filtering import Filtered
from localmind.api.native.path import absolute
from localmind.api.streams import JSON, EventStream, native_sse, sse, started, unless_gone
from localmind.assistant.running import Question, Run
from localmind.catalog import ModelSpec
from localmind.events import Event, encode
from localmind.images import MOST, check_together, from_base64
from localmind.messages import ResponseFormat
from localmind.store.images import Picture
from localmind.store.threads import Threads
from localmind.store.transcript import Attachment, Mode, Options, StoredMessage, Turn


class AttachmentBody(BaseModel):
    path: str = Field(min_length=1, max_length=4096)
    text: str = Field(max_length=2_000_000)


class ImageBody(BaseModel):
    """An image as it is, or one that a stored question has already."""

    name: str = Field(min_length=1, max_length=400)
    data: str | None = Field(None, max_length=30_000_000)
    """In base64."""
    sha256: str | None = Field(None, max_length=64)


class OptionsBody(BaseModel):
    model: str | None = None
    system: str | None = Field(None, max_length=100_000)
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    thinking: bool | None = None


class AskRequest(Filtered):
    question: str = Field(min_length=1, max_length=2_000_000)
    mode: Mode | None = None
    """Left out, a question goes on about what was attached to the one before it, else it is about the folders."""
    folder: str | None = None
    model: str | None = None
    attachments: list[AttachmentBody] = Field(default_factory=list, max_length=100)
    images: list[ImageBody] = Field(default_factory=list, max_length=MOST)
    """For models that see."""
    options: OptionsBody | None = None
    """For this question alone."""
    json_schema: dict[str, Any] | None = None
    """What the answer must look like; `{}` is any JSON object."""

    def question_of(self, threads: Threads, thread: str | None = None, beside: int | None = None) -> Question:
        """Raises InvalidRequest, NotFound. Blocking."""
        return Question(
            text=self.question,
            thread=thread,
            mode=self.mode,
            folder=absolute(self.folder) if self.folder else None,
            filters=self.filters(),
            attachments=tuple(Attachment(each.path, each.text) for each in self.attachments),
            pictures=self._pictures(threads),
            beside=beside,
            options=Options(**self.options.model_dump()) if self.options else None,
            format=ResponseFormat(json_schema=self.json_schema),
        )

    def _pictures(self, threads: Threads) -> tuple[Picture, ...]:
        found = tuple(
            Picture(each.name, threads.image(each.sha256) if each.sha256 else from_base64(each.data or "", each.name))
            for each in self.images
        )
        check_together([len(each.image.data) for each in found])
        return found


class TurnRequest(AskRequest):
    thread: str | None = None
    beside: int | None = Field(None, ge=0, lt=2**63)
    """The turn that this question is another wording of."""


class AgainRequest(BaseModel):
    model: str | None = None


class ThreadChange(BaseModel):
    title: str | None = Field(None, max_length=1000)
    options: OptionsBody | None = None


RowId = Annotated[int, Path(ge=0, lt=2**63)]
"""SQLite counts no further."""


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")
    running, threads = backend.running, backend.threads

    @routes.post("/ask")
    async def ask(body: AskRequest, request: Request) -> Response:
        """Answer a question that is kept nowhere. Hanging up ends it."""
        question = await asyncio.to_thread(body.question_of, threads)
        events = running.unstored(question, spec(body.model))
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.post("/turns")
    async def turn(body: TurnRequest) -> Response:
        """Store a question and begin its answer, in a new thread unless one is named."""
        thread = (await asyncio.to_thread(threads.find, body.thread)).id if body.thread else None
        question = await asyncio.to_thread(body.question_of, threads, thread, body.beside)
        return await begun(await running.ask(question, spec(body.model)))

    @routes.post("/messages/{message_id}/again")
    async def again(message_id: RowId, body: AgainRequest) -> Response:
        """Write another answer to the same question."""
        return await begun(await running.again(message_id, spec(body.model)))

    def spec(model: str | None) -> ModelSpec | None:
        return backend.engines.resolve(model) if model else None

    async def begun(turn: Turn) -> Response:
        thread = await asyncio.to_thread(threads.thread_of, turn.question.id)
        return JSON({"thread": msgspec.to_builtins(thread), "messages": messages_json(turn)})

    @routes.get("/messages/{message_id}/events")
    async def follow(message_id: RowId, after: int = Query(0, ge=0, lt=2**63)) -> Response:
        """The events of an answer from a position on, to its end."""
        running.find(message_id)
        return EventStream(_numbered(running.follow(message_id, after)))

    @routes.post("/messages/{message_id}/stop")
    async def stop(message_id: RowId) -> Response:
        """End an answer; its text stays."""
        return JSON({"stopped": await running.stop(message_id)})

    @routes.get("/images/{sha256}")
    async def image(sha256: str) -> Response:
        """An image that some question has."""
        found = await asyncio.to_thread(threads.image, sha256)
        return Response(found.data, media_type=found.media_type, headers={"x-content-type-options": "nosniff"})

    @routes.get("/messages/{message_id}")
    async def message(message_id: RowId) -> Response:
        """The turn of a message."""
        return await begun(await asyncio.to_thread(threads.turn, message_id))

    @routes.get("/messages/{message_id}/attachments")
    async def attachments(message_id: RowId) -> Response:
        """The files that went with the question of a message, with their texts as they were then."""
        found = await asyncio.to_thread(threads.turn, message_id)
        return JSON({"attachments": msgspec.to_builtins(found.question.attachments)})

    @routes.post("/messages/{message_id}/choose")
    async def choose(message_id: RowId) -> Response:
        """Let the thread go on along the branch of this message."""
        return JSON({"thread": await asyncio.to_thread(threads.choose, message_id)})

    @routes.delete("/messages/{message_id}")
    async def forget(message_id: RowId) -> Response:
        """Delete a message and everything that was said after it, for good."""
        thread = await asyncio.to_thread(threads.thread_of, message_id)
        await running.stop_thread(thread.id)
        return JSON({"thread": await asyncio.to_thread(threads.delete_branch, message_id)})

    @routes.get("/running")
    async def answering() -> Response:
        """The answers that are being written now."""
        return JSON({"running": [_run(run) for run in running.list()]})

    @routes.patch("/threads/{prefix}")
    async def change(prefix: str, body: ThreadChange) -> Response:
        """Rename a thread, or set how it is answered."""
        found = await asyncio.to_thread(threads.find, prefix)
        if body.title is not None:
            found = await asyncio.to_thread(threads.rename, found.id, body.title)
        if body.options is not None:
            if body.options.model is not None:
                backend.engines.resolve(body.options.model)
            found = await asyncio.to_thread(threads.set_options, found.id, Options(**body.options.model_dump()))
        return JSON({"thread": msgspec.to_builtins(found)})

    return routes


def messages_json(turn: Turn) -> list[dict[str, Any]]:
    """The messages of a turn as clients get them; `branches` are the message's siblings, itself included."""
    return [
        _message(message, turn, branches)
        for message, branches in zip(turn.messages, (turn.questions, turn.answers), strict=False)
    ]


def _message(message: StoredMessage, turn: Turn, branches: tuple[int, ...]) -> dict[str, Any]:
    return {
        "id": message.id,
        "turn": turn.id,
        "number": turn.number,
        "mode": turn.mode,
        "folder": turn.folder,
        "filters": msgspec.json.decode(turn.filters) if turn.filters else None,
        "branches": branches,
        "role": message.role,
        "content": message.content,
        "reasoning": message.reasoning,
        "attachments": [attached.path for attached in message.attachments],
        "images": msgspec.to_builtins(message.images),
        "state": message.state,
        "model": message.model,
        "finish_reason": message.finish_reason,
        "error": message.error.message if message.error else None,
        "hint": message.error.hint if message.error else None,
        "usage": msgspec.to_builtins(message.usage),
        "timings": msgspec.to_builtins(message.timings),
        "created_at": message.created_at,
        "finished_at": message.finished_at,
        "sources": msgspec.to_builtins(message.sources),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "thread": run.thread_id,
        "turn": run.turn_id,
        "message": run.message_id,
        "model": run.model,
        "events": len(run.events),
    }


async def _numbered(events: AsyncGenerator[tuple[int, Event], None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(events):
        async for position, event in events:
            yield b"id: %d\n" % position + sse(encode(event))
