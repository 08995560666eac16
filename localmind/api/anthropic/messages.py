"""`/v1/messages` and `count_tokens`: events with names and indices, exactly in the order that the SDK insists on.

`message_start` carries the length of the prompt, so a stream counts it first. A signature stands behind each
thought because clients send thoughts back with it; nobody here reads it.
"""

import secrets
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from localmind.api.answers import Answer, as_object, collected, new_call_id, written
from localmind.api.anthropic.bodies import CountBody, MessagesBody
from localmind.api.asking import Target, answers, dressed, target_of
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.error_forms import anthropic_error
from localmind.api.openai_forms import sources_json
from localmind.api.streams import JSON, EventStream, named_sse, unless_gone
from localmind.events import Done, Event, Failed, ReasoningDelta, Sources, TextDelta, ToolCallDelta
from localmind.messages import Usage
from localmind.workers.request import Request as Generation

SIGNATURE = "bG9jYWxtaW5k"
REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "cancelled": "max_tokens"}


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(route_class=BodyRoute)

    @routes.post("/v1/messages")
    async def messages(body: MessagesBody, request: Request) -> Response:
        """Anthropic's messages: `stream=true` for server-sent events."""
        target = await target_of(backend, body.model, body)
        asked = body.generation(request)
        length = await unless_gone(request, _count(backend, target, asked)) if body.stream else 0
        events = await answers(request, backend, target, [asked], stream=bool(body.stream))
        head = {"id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant", "model": target.name}
        if body.stream:
            return EventStream(written(events, MessageWriter(head, length)))
        (answer,) = await unless_gone(request, collected(events))
        return JSON(whole(answer, head))

    @routes.post("/v1/messages/count_tokens")
    async def count_tokens(body: CountBody, request: Request) -> Response:
        """How many tokens the prompt of a message would have."""
        target = await target_of(backend, body.model, body)
        asked = Generation(messages=body.conversation(), tools=body.use())
        return JSON({"input_tokens": await unless_gone(request, _count(backend, target, asked))})

    @routes.api_route("/api/hello", methods=["GET", "HEAD"], include_in_schema=False)
    @routes.post("/api/event_logging/batch", include_in_schema=False)
    async def nothing() -> Response:
        """Claude Code knocks and reports here; nobody listens to the reports."""
        return JSON({})

    return routes


async def _count(backend: Backend, target: Target, asked: Generation) -> int:
    asked = dressed(target, asked)
    await backend.engines.outside.permit_images(target.spec, asked.messages)
    given = {"messages": msgspec.to_builtins(asked.messages), "tools": msgspec.to_builtins(asked.tools)}
    return int(await backend.engines.ask(target.spec, "count", **given, template=asked.template))


def usage_json(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }


def reason_json(done: Done) -> dict[str, Any]:
    reason = "stop_sequence" if done.stop and done.finish_reason == "stop" else REASONS[done.finish_reason]
    return {"stop_reason": reason, "stop_sequence": done.stop or None}


def whole(answer: Answer, head: dict[str, Any]) -> dict[str, Any]:
    """The whole message as one object."""
    content: list[dict[str, Any]] = []
    if answer.reasoning:
        content.append({"type": "thinking", "thinking": answer.reasoning, "signature": SIGNATURE})
    if answer.text or not answer.calls:
        content.append({"type": "text", "text": answer.text})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": as_object(call.arguments)}
        for call in answer.calls
    ]
    usage = {"usage": usage_json(answer.done.usage)}
    return {**head, "content": content, **reason_json(answer.done), **usage, **sources_json(answer.sources)}


class MessageWriter:
    """The streamed form: one block after the other, each opened, filled and closed."""

    def __init__(self, head: dict[str, Any], length: int) -> None:
        self._head = head
        self._length = length
        self._index = -1
        self._open: object = None
        """What the open block is of: "text", "thinking", the index of a call, or None."""
        self._sources: dict[str, Any] = {}

    def begin(self) -> bytes:
        usage = usage_json(Usage(prompt_tokens=self._length))
        message = {**self._head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        return _event("message_start", message=message) + _event("ping")

    def event(self, choice: int, event: Event) -> bytes:
        match event:
            case TextDelta(""):
                return b""
            case TextDelta(text):
                opened = self._opened("text", {"type": "text", "text": ""})
                return opened + self._delta({"type": "text_delta", "text": text})
            case ReasoningDelta(text):
                opened = self._opened("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                return opened + self._delta({"type": "thinking_delta", "thinking": text})
            case ToolCallDelta(index, call_id, name, arguments):
                call = {"type": "tool_use", "id": call_id or new_call_id(), "name": name, "input": {}}
                opened = self._opened(index, call)
                return opened + (
                    self._delta({"type": "input_json_delta", "partial_json": arguments}) if arguments else b""
                )
            case Sources(passages):
                self._sources = sources_json(passages)
            case Done():
                empty = self._opened("text", {"type": "text", "text": ""}) if self._index < 0 else b""
                usage = usage_json(event.usage)
                last = _event("message_delta", delta=reason_json(event), usage=usage, **self._sources)
                return empty + self._closed() + last + _event("message_stop")
            case Failed():
                return named_sse("error", anthropic_error(event.exception()))
        return b""

    def end(self) -> bytes:
        return b""

    def _opened(self, kind: object, block: dict[str, Any]) -> bytes:
        """Nothing if such a block is open, else the end of the open one and the start of this."""
        if self._open == kind:
            return b""
        closed = self._closed()
        self._open = kind
        self._index += 1
        return closed + _event("content_block_start", index=self._index, content_block=block)

    def _closed(self) -> bytes:
        if self._open is None:
            return b""
        signed = self._delta({"type": "signature_delta", "signature": SIGNATURE}) if self._open == "thinking" else b""
        self._open = None
        return signed + _event("content_block_stop", index=self._index)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)


def _event(name: str, **fields: Any) -> bytes:
    return named_sse(name, {"type": name, **fields})
