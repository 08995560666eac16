"""OpenAI's chat completions and model list, over our own requests and events.

Field names, chunk order and error form follow the OpenAI API reference and what the official SDKs
parse. A parameter that we cannot honour yet is a 400 that names it: silence would be a wrong answer.
"""

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.security import error_body
from localmind.api.streams import JSON, EventStream, sse, started, unless_gone
from localmind.errors import InvalidRequest
from localmind.events import Done, Event, Failed, TextDelta
from localmind.messages import Message, SamplingParams, Timings, Usage

ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class TextPart(BaseModel):
    type: str
    text: str = ""


class ChatMessage(BaseModel):
    role: str
    content: str | list[TextPart] | None = None

    def plain(self) -> Message:
        if self.role not in ROLES:
            raise InvalidRequest(f"messages: role {self.role!r} is not one of {', '.join(ROLES)}")
        if isinstance(self.content, list):
            for part in self.content:
                if part.type not in ("text", "input_text"):
                    raise InvalidRequest(f"messages: content of type {part.type!r} needs a model that sees or hears")
            return Message(ROLES[self.role], "".join(part.text for part in self.content))
        return Message(ROLES[self.role], self.content or "")


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of a chat completion. Fields that are not named here are ignored, as other servers do."""

    model_config = ConfigDict(extra="ignore")

    model: str = "default"
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=1_000_000)
    min_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=-1, le=10_000_000)
    max_completion_tokens: int | None = Field(None, ge=-1, le=10_000_000)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), le=2**64)
    ignore_eos: bool = False
    n: int | None = None
    logprobs: bool | None = None
    tools: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None

    @field_validator("stop")
    @classmethod
    def _bounded(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and (len(value) > 16 or any(not stop or len(stop) > 1000 for stop in value)):
            raise ValueError("at most 16 stop strings of 1 to 1,000 characters")
        return value

    def refuse_what_we_cannot(self) -> None:
        """Raise InvalidRequest for a parameter that would change the answer and is not honoured."""
        kind = (self.response_format or {}).get("type", "text")
        for name, asked in (
            ("tools", bool(self.tools)),
            ("n", self.n not in (None, 1)),
            ("logprobs", bool(self.logprobs)),
            ("response_format", kind != "text"),
            ("frequency_penalty", bool(self.frequency_penalty)),
            ("presence_penalty", bool(self.presence_penalty)),
        ):
            if asked:
                raise InvalidRequest(
                    f"{name} is not supported by this version of localmind", hint=f"leave out {name!r}"
                )

    def sampling(self) -> SamplingParams:
        default = SamplingParams()
        limit = self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens
        if limit == 0:
            raise InvalidRequest("max_tokens must be at least 1")
        stop = self.stop or ()
        return SamplingParams(
            temperature=default.temperature if self.temperature is None else self.temperature,
            top_k=default.top_k if self.top_k is None else max(self.top_k, 0),
            top_p=default.top_p if self.top_p is None else self.top_p,
            min_p=default.min_p if self.min_p is None else self.min_p,
            max_tokens=None if limit is None or limit < 0 else limit,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            seed=None if self.seed is None else self.seed % 2**32,
            ignore_eos=self.ignore_eos,
        )


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def timings_json(timings: Timings) -> dict[str, float]:
    return {
        "queue_ms": round(timings.queue_ms, 1),
        "prefill_ms": round(timings.prefill_ms, 1),
        "decode_ms": round(timings.decode_ms, 1),
    }


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.post("/chat/completions")
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """OpenAI chat completions: `stream=true` for server-sent events."""
        body.refuse_what_we_cannot()
        messages = [message.plain() for message in body.messages]
        spec = backend.engines.resolve(body.model)
        events = backend.engines.generate(spec, messages=messages, sampling=body.sampling(), client=asker(request))
        stream = await unless_gone(request, started(events))
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": spec.name}
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            return EventStream(chunks(stream, head, with_usage))
        return JSON(await unless_gone(request, whole(stream, head)))

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
    events: AsyncGenerator[Event, None], head: dict[str, Any], with_usage: bool
) -> AsyncGenerator[bytes, None]:
    """The streamed form: role, content, finish reason, usage if asked for, `[DONE]`."""
    base = {**head, "object": "chat.completion.chunk"} | ({"usage": None} if with_usage else {})

    def chunk(delta: dict[str, str], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse({**base, "choices": [choice], **more})

    async with contextlib.aclosing(events):
        yield chunk({"role": "assistant", "content": ""})
        async for event in events:
            match event:
                case TextDelta(text):
                    yield chunk({"content": text})
                case Done(reason, usage, timings):
                    yield chunk({}, reason, timings=timings_json(timings))
                    if with_usage:
                        yield sse({**base, "choices": [], "usage": usage_json(usage)})
                case Failed():
                    yield sse(error_body(event.exception()))
        yield b"data: [DONE]\n\n"


async def whole(events: AsyncGenerator[Event, None], head: dict[str, Any]) -> dict[str, Any]:
    """The whole answer as one object. Raises the stream's error."""
    parts: list[str] = []
    async with contextlib.aclosing(events):
        async for event in events:
            match event:
                case TextDelta(text):
                    parts.append(text)
                case Failed():
                    raise event.exception()
                case Done(reason, usage, timings):
                    message = {"role": "assistant", "content": "".join(parts), "refusal": None}
                    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
                    return {
                        **head,
                        "object": "chat.completion",
                        "choices": [choice],
                        "usage": usage_json(usage),
                        "timings": timings_json(timings),
                    }
    raise AssertionError("a stream ends with Done or Failed")
