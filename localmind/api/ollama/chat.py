"""`/api/chat` and `/api/generate`: the bodies into a Generation, the events into lines or one object.

A line holds one kind of thing and one call at most, whose arguments are complete: Zed reads the first call of a
line and drops its text, llm.el wants the function as a call's second key. `generate` without `raw` is a chat of
one message; its `context` are the tokens so far, which the next request brings back.
"""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from localmind.api.answers import Answer, as_object, collected, written
from localmind.api.asking import Target, answers, asker, dressed, jinja_of, target_of
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.choices import At
from localmind.api.error_forms import ollama_error
from localmind.api.ollama.forms import (
    AskBody,
    ChatBody,
    GenerateBody,
    Options,
    as_ollama_says,
    images_of,
    now,
    times,
)
from localmind.api.openai_forms import logprobs_json, sources_json
from localmind.api.streams import JSON, LineStream, line, unless_gone
from localmind.errors import InvalidRequest
from localmind.events import Done, Event, Failed, ReasoningDelta, Sources, TextDelta, TokenLogprob, ToolCallDelta
from localmind.messages import Message, ToolCall
from localmind.workers.elsewhere import RemoteModel
from localmind.workers.request import Infill
from localmind.workers.request import Request as Generation

Piece = Callable[[dict[str, Any]], dict[str, Any]]
"""Puts `content`, `thinking` or `tool_calls` where a line of this route has them."""


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/api", route_class=BodyRoute)

    @routes.post("/chat")
    async def chat(body: ChatBody, request: Request) -> Response:
        """Ollama's chat; lines of JSON unless `stream` is false. Without messages it loads or unloads the model."""
        target = await _target(backend, body)
        if not body.messages:
            return await _moved(backend, target, body, {"message": {"role": "assistant", "content": ""}})
        asked = msgspec.structs.replace(
            _asked(body, request), messages=tuple(message.plain() for message in body.messages), tools=body.use()
        )
        return await _answered(backend, target, body, request, asked, LineWriter(body.wanted, _in_message))

    @routes.post("/generate")
    async def generate(body: GenerateBody, request: Request) -> Response:
        """Ollama's completion of one prompt. Without a prompt it loads or unloads the model."""
        target = await _target(backend, body)
        images = images_of(body.images)
        if not body.prompt and not body.suffix:
            return await _moved(backend, target, body, {"response": ""})
        asked = _asked(body, request)
        context = None
        question = Message("user", body.prompt, images=images)
        await backend.engines.outside.permit_images(target.spec, [question])
        if images and (body.suffix or body.raw):
            raise InvalidRequest("images go with a prompt alone, without `suffix` and without `raw`")
        if body.suffix:
            asked = msgspec.structs.replace(asked, infill=Infill(body.prompt, body.suffix))
        elif body.raw:
            asked = msgspec.structs.replace(asked, prompt=body.prompt)
        else:
            system = [Message("system", body.system)] if body.system else []
            template = jinja_of(body.template) if body.template else None
            if template and isinstance(target.spec, RemoteModel):
                raise InvalidRequest(f"{target.name} is on another server, which lays conversations out itself")
            asked = msgspec.structs.replace(asked, messages=(*system, question), template=template)
            if not target.files and not isinstance(target.spec, RemoteModel):
                prompt = await unless_gone(request, _prompt_tokens(backend, target, asked))
                context = (*(body.context or ()), *prompt)
            if body.context and context:
                asked = msgspec.structs.replace(asked, messages=(), tokens=context)
        return await _answered(backend, target, body, request, asked, LineWriter(body.wanted, _as_response), context)

    return routes


async def _target(backend: Backend, body: AskBody) -> Target:
    body.options = body.options or Options()
    with as_ollama_says(body.wanted):
        return await target_of(backend, body.wanted, body.options)


def _asked(body: AskBody, request: Request) -> Generation:
    options = body.options or Options()
    thinking, kwargs = body.thinking
    return Generation(
        sampling=options.sampling(limit=options.limit, logprobs=body.logprobs_wanted),
        client=asker(request),
        priority=options.priority_of(request),
        format=body.constraint,
        thinking=thinking,
        template_kwargs=kwargs,
        keep_alive=body.kept_s,
    )


async def _moved(backend: Backend, target: Target, body: AskBody, empty: dict[str, Any]) -> Response:
    """Load the model, or with `keep_alive: 0` take it out of memory."""
    if body.kept_s == 0:
        await backend.engines.unload(target.spec)
    else:
        await backend.engines.load(target.spec, body.kept_s)
    reason = "unload" if body.kept_s == 0 else "load"
    return JSON({"model": body.wanted, "created_at": now(), **empty, "done": True, "done_reason": reason})


async def _answered(
    backend: Backend,
    target: Target,
    body: AskBody,
    request: Request,
    asked: Generation,
    writer: "LineWriter",
    context: tuple[int, ...] | None = None,
) -> Response:
    """`context` are the prompt's tokens, for a route that gives them back with those of the answer."""
    events = await answers(request, backend, target, [asked])
    if context is not None:
        events = _with_context(events, backend, target, context, writer)
    if body.streams:
        return LineStream(written(events, writer))
    (answer,) = await unless_gone(request, collected(events))
    return JSON(writer.whole(answer))


async def _prompt_tokens(backend: Backend, target: Target, asked: Generation) -> list[int]:
    asked = dressed(target, asked)
    rendered = await backend.engines.ask(
        target.spec,
        "apply_template",
        messages=msgspec.to_builtins(asked.messages),
        thinking=asked.thinking,
        template_kwargs=asked.template_kwargs,
        template=asked.template,
    )
    return list(await backend.engines.ask(target.spec, "tokenize", text=rendered["prompt"]))


async def _with_context(
    events: AsyncGenerator[At, None], backend: Backend, target: Target, context: tuple[int, ...], writer: "LineWriter"
) -> AsyncGenerator[At, None]:
    said: list[str] = []
    async with contextlib.aclosing(events):
        async for at in events:
            if isinstance(at.event, TextDelta):
                said.append(at.event.text)
            elif isinstance(at.event, Done):
                answer = await backend.engines.ask(target.spec, "tokenize", text="".join(said)) if said else []
                writer.more["context"] = [*context, *answer]
            yield at


def _in_message(said: dict[str, Any]) -> dict[str, Any]:
    return {"message": {"role": "assistant", **said}}


def _as_response(said: dict[str, Any]) -> dict[str, Any]:
    return {"response": said["content"], **{key: value for key, value in said.items() if key != "content"}}


class LineWriter:
    """Lines of one answer. The last one has the reason and the times."""

    def __init__(self, model: str, put: Piece) -> None:
        self._model = model
        self._put = put
        self._began = time.monotonic()
        self._call: Answer | None = None
        self._calls = 0
        self.more: dict[str, Any] = {}
        """For the last line."""

    def begin(self) -> bytes:
        return b""

    def event(self, choice: int, event: Event) -> bytes:
        match event:
            case TextDelta(text, logprobs):
                return self._called() + self._line({"content": text}, **logprobs_field(logprobs))
            case ReasoningDelta(text):
                return self._line({"content": "", "thinking": text})
            case ToolCallDelta(_, _, name):
                finished = self._called() if name else b""
                self._call = self._call or Answer()
                self._call.take(event)
                return finished
            case Sources(passages):
                self.more |= sources_json(passages)
            case Done():
                last = {**self._end(event), **self.more}
                return self._called() + self._line({"content": ""}, **last)
            case Failed():
                return line(ollama_error(event.exception()))
        return b""

    def end(self) -> bytes:
        return b""

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The same as one object."""
        said: dict[str, Any] = {"content": answer.text}
        if answer.reasoning:
            said["thinking"] = answer.reasoning
        if answer.calls:
            said["tool_calls"] = [_call(number, call) for number, call in enumerate(answer.calls)]
        self.more |= sources_json(answer.sources)
        more = {**logprobs_field(answer.logprobs), **self._end(answer.done), **self.more}
        return self._head() | self._put(said) | more

    def _called(self) -> bytes:
        """The line of the call that is complete now, if there is one."""
        if self._call is None:
            return b""
        (call,) = self._call.calls
        self._call = None
        self._calls += 1
        return self._line({"content": "", "tool_calls": [_call(self._calls - 1, call)]})

    def _end(self, done: Done) -> dict[str, Any]:
        reason = "length" if done.finish_reason in ("length", "cancelled") else "stop"
        return {"done": True, "done_reason": reason, **times(self._began, done.usage, done.timings)}

    def _head(self) -> dict[str, Any]:
        return {"model": self._model, "created_at": now()}

    def _line(self, said: dict[str, Any], **more: Any) -> bytes:
        return line({**self._head(), **self._put(said), "done": False, **more})


def logprobs_field(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Ollama's: OpenAI's list without what is around it."""
    found = logprobs_json(tokens)
    return {} if found is None else {"logprobs": found["content"]}


def _call(number: int, call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "function": {"index": number, "name": call.name, "arguments": as_object(call.arguments)}}
