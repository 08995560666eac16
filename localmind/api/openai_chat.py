"""OpenAI's chat completions: the body into a Generation, the events into chunks or one object.

Field names, chunk order and error form follow the OpenAI API reference and what the official SDKs
parse. Beyond it: llama.cpp's sampling fields and timings, `reasoning_content`, and a priority.
"""

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.chat_messages import ChatMessage
from localmind.api.chat_tools import ToolFields
from localmind.api.choices import At, begun, side_by_side, together
from localmind.api.fields import MOST_CHOICES, GenerationFields
from localmind.api.openai_forms import Answer, CallChunks, logprobs_json, timings_json, usage_json
from localmind.api.security import error_body
from localmind.api.streams import JSON, EventStream, sse, unless_gone
from localmind.errors import InvalidRequest
from localmind.events import Done, Event, Failed, ReasoningDelta, TextDelta, ToolCallDelta
from localmind.workers.request import Request as Generation


class StreamOptions(BaseModel):
    include_usage: bool = False


class Thinking(BaseModel):
    type: Literal["enabled", "disabled", "adaptive"]


class AnswerFields(GenerationFields, ToolFields):
    """What can be asked of an answer, whatever it continues. Fields not named here are ignored, as other servers do."""

    model: str = "default"
    max_tokens: int | None = Field(None, ge=-1, le=10_000_000)
    max_completion_tokens: int | None = Field(None, ge=-1, le=10_000_000)
    n_predict: int | None = Field(None, ge=-1, le=10_000_000)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = Field(None, max_length=20)
    enable_thinking: bool | None = None
    thinking: Thinking | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    def answer(self, request: Request) -> Generation:
        """As the engine takes it, without what is to be continued. Raises InvalidRequest."""
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequest("top_logprobs needs logprobs to be true")
        limits = (self.max_completion_tokens, self.max_tokens, self.n_predict)
        limit = next((each for each in limits if each is not None), None)
        thinks, kwargs = self._thinking()
        return Generation(
            sampling=self.sampling(limit=limit, logprobs=(self.top_logprobs or 0) if self.logprobs else None),
            client=asker(request),
            priority=self.priority_of(request),
            tools=self.use(),
            format=self.constraint(self.response_format),
            adapters=self.adapters(),
            thinking=thinks,
            template_kwargs=kwargs,
        )

    def _thinking(self) -> tuple[bool | None, dict[str, Any]]:
        """Whether the model shall think before it answers, and the variables for its template."""
        kwargs = dict(self.chat_template_kwargs or {})
        effort = self.reasoning_effort
        if effort is not None and effort != "none":
            kwargs.setdefault("reasoning_effort", effort)
        inner = kwargs.get("enable_thinking", kwargs.get("thinking"))
        if self.enable_thinking is not None:
            return self.enable_thinking, kwargs
        if isinstance(inner, bool):
            return inner, kwargs
        if self.thinking is not None:
            return {"enabled": True, "disabled": False, "adaptive": None}[self.thinking.type], kwargs
        return None if effort is None else effort != "none", kwargs


class ChatRequest(AnswerFields):
    """The body of a chat completion."""

    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)

    def generation(self, request: Request) -> Generation:
        """As the engine takes it. Raises InvalidRequest."""
        messages = tuple(message.plain() for message in self.messages)
        return msgspec.structs.replace(self.answer(request), messages=messages)


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.post("/chat/completions")
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """OpenAI chat completions: `stream=true` for server-sent events."""
        asked = body.generation(request)
        spec = backend.engines.resolve(body.model)
        streams = [backend.engines.generate(spec, asked.choice(index)) for index in range(body.n or 1)]
        events = await unless_gone(request, begun(side_by_side(streams)))
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": spec.name}
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            return EventStream(chunks(events, head, len(streams), with_usage=with_usage, legacy=body.legacy))
        return JSON(await unless_gone(request, whole(events, head, len(streams), legacy=body.legacy)))

    @routes.get("/models")
    async def models() -> Response:
        """The models that are on this machine and can chat."""
        return JSON({"object": "list", "data": [_model(entry) for entry in backend.engines.installed()]})

    @routes.get("/models/{name:path}")
    async def model(name: str) -> Response:
        spec = backend.engines.resolve(name)
        return JSON(_model(spec.name))

    return routes


def asker(request: Request) -> str:
    """Who asks, for fairness between clients: one connection is one client."""
    return f"{request.client.host}:{request.client.port}" if request.client else "unix"


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "localmind"}


async def chunks(
    events: AsyncGenerator[At, None], head: dict[str, Any], n: int, *, with_usage: bool, legacy: bool
) -> AsyncGenerator[bytes, None]:
    """The streamed form: role, pieces, finish reason, usage if asked for, `[DONE]`.

    A chunk holds one kind of thing: Continue drops tool calls that come with content, and reads whatever
    comes with usage last. A call's name is in its first piece alone, since a second one starts a new call
    for gptel.
    """
    base = {**head, "object": "chat.completion.chunk"} | ({"usage": None} if with_usage else {})
    calls = [CallChunks(legacy) for _ in range(n)]
    ends: list[Done] = []

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None, **more: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return sse({**base, "choices": [choice], **more})

    async with contextlib.aclosing(events):
        for index in range(n):
            yield chunk(index, {"role": "assistant", "content": ""})
        async for at in events:
            index = at.choice
            match at.event:
                case TextDelta(text, logprobs):
                    yield chunk(index, {"content": text}, logprobs=logprobs_json(logprobs))
                case ReasoningDelta(text):
                    yield chunk(index, {"reasoning_content": text})
                case ToolCallDelta() as piece:
                    yield chunk(index, calls[index].delta(piece))
                case Done() as done:
                    ends.append(done)
                    reason = calls[index].reason(done.finish_reason)
                    yield chunk(index, {}, reason, timings=timings_json(done.usage, done.timings))
                case Failed() as failed:
                    yield sse(error_body(failed.exception()))
        if with_usage and len(ends) == n:
            usage, _ = together(ends)
            yield sse({**base, "choices": [], "usage": usage_json(usage)})
        yield b"data: [DONE]\n\n"


async def whole(events: AsyncGenerator[At, None], head: dict[str, Any], n: int, *, legacy: bool) -> dict[str, Any]:
    """The whole answer as one object. Raises the stream's error."""
    answers = [Answer(legacy) for _ in range(n)]
    async with contextlib.aclosing(events):
        async for at in events:
            event: Event = at.event
            if isinstance(event, Failed):
                raise event.exception()
            answers[at.choice].take(event)
    usage, timings = together([answer.done for answer in answers])
    return {
        **head,
        "object": "chat.completion",
        "choices": [answer.choice(index) for index, answer in enumerate(answers)],
        "usage": usage_json(usage),
        "timings": timings_json(usage, timings),
    }
