"""llama.cpp's own `/infill`, which llama.vim and llama.vscode complete code with, and its list of adapters.

The prefix, the suffix and the other files go to the engine as an Infill; the vocabulary's own tokens put
them together. Field names and the answer's form are llama-server's, `response_fields` included, since
llama.vim asks for "timings/prompt_n" and reads exactly that key.
"""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.choices import At, begun, side_by_side
from localmind.api.fields import GenerationFields
from localmind.api.native.engine import MOST_TEXT, ExtraFile
from localmind.api.openai_chat import asker
from localmind.api.openai_forms import Answer, timings_json
from localmind.api.security import error_body
from localmind.api.streams import JSON, EventStream, sse, unless_gone
from localmind.events import Done, Failed, TextDelta
from localmind.workers.request import Infill
from localmind.workers.request import Request as Generation


class NamedFile(ExtraFile):
    filename: str = Field("", max_length=4096)


class InfillRequest(GenerationFields):
    """The body of `/infill`. `prompt` is what was typed after the prefix."""

    model: str = "default"
    input_prefix: str = Field("", max_length=MOST_TEXT)
    input_suffix: str = Field("", max_length=MOST_TEXT)
    input_extra: list[NamedFile] | None = Field(None, max_length=1000)
    prompt: str = Field("", max_length=MOST_TEXT)
    n_predict: int | None = Field(None, ge=-1, le=10_000_000)
    stream: bool | None = None
    response_fields: list[str] | None = Field(None, max_length=100)

    def generation(self, request: Request) -> Generation:
        """As the engine takes it. Nothing wanted (`n_predict` 0) is one token: the prompt is then in the cache."""
        limit = 1 if self.n_predict == 0 else self.n_predict
        extra = tuple((each.filename or each.name, each.text) for each in self.input_extra or ())
        return Generation(
            infill=Infill(self.input_prefix + self.prompt, self.input_suffix, extra),
            sampling=self.sampling(limit=limit),
            client=asker(request),
            priority="background" if self.n_predict == 0 else self.priority_of(request),
            format=self.constraint(),
            adapters=self.adapters(),
        )


def router(backend: Backend) -> APIRouter:
    routes = APIRouter()

    @routes.post("/infill")
    async def infill(body: InfillRequest, request: Request) -> Response:
        """llama.cpp's infill: the text between a prefix and a suffix."""
        spec = backend.engines.resolve(body.model)
        stream = backend.engines.generate(spec, body.generation(request))
        events = await unless_gone(request, begun(side_by_side([stream])))
        quiet = body.n_predict == 0
        if body.stream:
            return EventStream(_chunks(events, spec.name))
        return JSON(_picked(await unless_gone(request, _whole(events, spec.name, quiet)), body.response_fields))

    @routes.get("/lora-adapters")
    async def adapters(model: str = "default") -> Response:
        """The adapters by number. The scale is 0 for all: here a request chooses, with `lora`."""
        found = await backend.engines.adapters(backend.engines.resolve(model))
        return JSON([{"id": number, "path": each["path"], "scale": 0.0} for number, each in enumerate(found)])

    return routes


def _end(done: Done, model: str) -> dict[str, Any]:
    return {
        "id_slot": 0,
        "index": 0,
        "model": model,
        "stop": True,
        "stop_type": "limit" if done.finish_reason == "length" else "eos",
        "stopping_word": "",
        "tokens_predicted": done.usage.completion_tokens,
        "tokens_evaluated": done.usage.prompt_tokens,
        "tokens_cached": done.usage.prompt_tokens + done.usage.completion_tokens,
        "truncated": False,
        "timings": timings_json(done.usage, done.timings),
    }


async def _whole(events: AsyncGenerator[At, None], model: str, quiet: bool) -> dict[str, Any]:
    answer = Answer()
    async with contextlib.aclosing(events):
        async for at in events:
            if isinstance(at.event, Failed):
                raise at.event.exception()
            answer.take(at.event)
    return {"content": "" if quiet else answer.text, **_end(answer.done, model)}


async def _chunks(events: AsyncGenerator[At, None], model: str) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(events):
        async for at in events:
            match at.event:
                case TextDelta(text):
                    yield sse({"index": 0, "content": text, "stop": False})
                case Done() as done:
                    yield sse({"content": "", **_end(done, model)})
                case Failed() as failed:
                    yield sse(error_body(failed.exception()))


def _picked(answer: dict[str, Any], fields: list[str] | None) -> dict[str, Any]:
    """Only the wanted fields; "a/b" reaches into an object and keeps its name, as llama-server does."""
    if fields is None:
        return answer
    found: dict[str, Any] = {}
    for field in fields:
        value: Any = answer
        for part in field.split("/"):
            value = value.get(part, _ABSENT) if isinstance(value, dict) else _ABSENT
        if value is not _ABSENT:
            found[field] = value
    return found


_ABSENT = object()
