"""OpenAI's chat completions: the body into a Generation, the events into chunks or one object.

Field names, chunk order and error form follow the OpenAI API reference and what the official SDKs
parse. Beyond it: llama.cpp's sampling fields and timings, `reasoning_content`, and a priority.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.answers import Answer, collected, written
from localmind.api.asking import answers, asker, target_of
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.chat_messages import ChatMessage
from localmind.api.chat_tools import ToolFields
from localmind.api.choices import together
from localmind.api.error_forms import openai_error
from localmind.api.fields import MOST_CHOICES, GenerationFields
from localmind.api.openai_forms import (
    FINGERPRINT,
    CallChunks,
    choice_json,
    logprobs_json,
    sources_json,
    timings_json,
    usage_json,
)
from localmind.api.streams import JSON, EventStream, sse, unless_gone
from localmind.errors import InvalidRequest
from localmind.events import Done, Event, Failed, ReasoningDelta, Sources, TextDelta, ToolCallDelta
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
    routes = APIRouter(route_class=BodyRoute)

    @routes.post("/v1/chat/completions")
    @routes.post("/chat/completions", include_in_schema=False)
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """OpenAI chat completions: `stream=true` for server-sent events."""
        return await complete(backend, body, request)

    return routes


def nothing_more(done: Done) -> dict[str, Any]:
    return {}


async def complete(
    backend: Backend, body: ChatRequest, request: Request, more: Callable[[Done], dict[str, Any]] = nothing_more
) -> Response:
    """A chat completion. `more` is what a dialect of OpenAI's adds at the end of an answer."""
    target = await target_of(backend, body.model, body)
    asked = body.generation(request)
    n = body.n or 1
    wanted = [asked.choice(index) for index in range(n)]
    events = await answers(request, backend, target, wanted, stream=bool(body.stream))
    head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": target.name}
    head["system_fingerprint"] = FINGERPRINT
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        writer = ChatWriter(head, n, with_usage=with_usage, legacy=body.legacy, more=more)
        return EventStream(written(events, writer))
    return JSON(whole(await unless_gone(request, collected(events, n)), head, legacy=body.legacy, more=more))


class ChatWriter:
    """The streamed form: role, pieces, finish reason, usage if asked for, `[DONE]`.

    A chunk holds one kind of thing: Continue drops tool calls that come with content, and reads whatever
    comes with usage last. A call's name is in its first piece alone, since a second one starts a new call
    for gptel.
    """

    def __init__(
        self, head: dict[str, Any], n: int, *, with_usage: bool, legacy: bool, more: Callable[[Done], dict[str, Any]]
    ) -> None:
        self._base = {**head, "object": "chat.completion.chunk"} | ({"usage": None} if with_usage else {})
        self._with_usage = with_usage
        self._more = more
        self._calls = [CallChunks(legacy) for _ in range(n)]
        self._ends: list[Done] = []
        self._sources: dict[str, Any] = {}

    def begin(self) -> bytes:
        return b"".join(self._chunk(index, {"role": "assistant", "content": ""}) for index in range(len(self._calls)))

    def event(self, choice: int, event: Event) -> bytes:
        match event:
            case TextDelta(text, logprobs):
                return self._chunk(choice, {"content": text}, logprobs=logprobs_json(logprobs))
            case ReasoningDelta(text):
                return self._chunk(choice, {"reasoning_content": text})
            case ToolCallDelta():
                return self._chunk(choice, self._calls[choice].delta(event))
            case Sources(passages):
                self._sources = sources_json(passages)
            case Done():
                self._ends.append(event)
                timings = timings_json(event.usage, event.timings)
                reason = self._calls[choice].reason(event.finish_reason)
                return self._chunk(choice, {}, reason, timings=timings, **self._sources, **self._more(event))
            case Failed():
                return sse(openai_error(event.exception()))
        return b""

    def end(self) -> bytes:
        last = b"data: [DONE]\n\n"
        if not (self._with_usage and len(self._ends) == len(self._calls)):
            return last
        usage, _ = together(self._ends)
        return sse({**self._base, "choices": [], "usage": usage_json(usage)}) + last

    def _chunk(
        self, index: int, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None, **more: Any
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return sse({**self._base, "choices": [choice], **more})


def whole(
    found: Sequence[Answer],
    head: dict[str, Any],
    *,
    legacy: bool = False,
    more: Callable[[Done], dict[str, Any]] = nothing_more,
) -> dict[str, Any]:
    """The whole answer as one object."""
    usage, timings = together([answer.done for answer in found])
    return {
        **head,
        "object": "chat.completion",
        "choices": [choice_json(answer, index, legacy=legacy) for index, answer in enumerate(found)],
        "usage": usage_json(usage),
        "timings": timings_json(usage, timings),
        **sources_json(found[0].sources),
        **more(found[0].done),
    }
