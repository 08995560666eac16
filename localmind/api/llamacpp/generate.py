"""`/infill` and `/completion`: text with a hole, and raw prompts as texts, token ids or a mixture.

The prefix, the suffix and the other files go to the engine as an Infill; the vocabulary's own tokens put
them together. A request for nothing (`n_predict` 0) fills the cache in the background, before the one that counts.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from localmind.api.answers import Answer, collected, written
from localmind.api.asking import answers, asker, target_of
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.error_forms import llamacpp_error
from localmind.api.fields import MOST_CHOICES, GenerationFields
from localmind.api.native.engine import MOST_TEXT, ExtraFile
from localmind.api.openai_forms import logprobs_json, timings_json
from localmind.api.streams import JSON, EventStream, sse, unless_gone
from localmind.catalog import ModelSpec
from localmind.errors import InvalidRequest
from localmind.events import Done, Event, Failed, TextDelta, TokenLogprob
from localmind.workers.request import Infill
from localmind.workers.request import Request as Generation

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Mixed = Annotated[list[TokenId | str], Field(min_length=1, max_length=1_000_000)]


class NamedFile(ExtraFile):
    filename: str = Field("", max_length=4096)


class RawFields(GenerationFields):
    """What both share."""

    model: str = "default"
    n_predict: int | None = Field(None, ge=-1, le=10_000_000)
    max_tokens: int | None = Field(None, ge=-1, le=10_000_000)
    n_probs: int | None = Field(None, ge=0, le=20)
    n_cmpl: int | None = Field(None, ge=1, le=MOST_CHOICES)
    stream: bool | None = None
    return_tokens: bool | None = None
    response_fields: list[str] | None = Field(None, max_length=100)

    @property
    def warms(self) -> bool:
        """Nothing is wanted but the prompt in the cache."""
        return self.limit == 0

    @property
    def limit(self) -> int | None:
        return self.n_predict if self.n_predict is not None else self.max_tokens

    @property
    def _logprobs(self) -> int | None:
        """The ids of sampled tokens come with their probabilities."""
        return self.n_probs or (0 if self.return_tokens else None)

    def raw(self, request: Request) -> Generation:
        """As the engine takes it, without what is to be continued. Nothing wanted is one token: it must be run."""
        return Generation(
            sampling=self.sampling(limit=1 if self.warms else self.limit, logprobs=self._logprobs),
            client=asker(request),
            priority="background" if self.warms else self.priority_of(request),
            format=self.constraint(),
            adapters=self.adapters(),
        )


class InfillRequest(RawFields):
    """The body of `/infill`. `prompt` is what was typed after the prefix."""

    input_prefix: str = Field("", max_length=MOST_TEXT)
    input_suffix: str = Field("", max_length=MOST_TEXT)
    input_extra: list[NamedFile] | None = Field(None, max_length=1000)
    prompt: str = Field("", max_length=MOST_TEXT)

    def infill(self) -> Infill:
        extra = tuple((each.filename or each.name, each.text) for each in self.input_extra or ())
        return Infill(self.input_prefix + self.prompt, self.input_suffix, extra)


class CompletionBody(RawFields):
    """The body of `/completion`."""

    prompt: str | Mixed


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(route_class=BodyRoute)

    @routes.post("/infill")
    async def infill(body: InfillRequest, request: Request) -> Response:
        """llama.cpp's infill: the text between a prefix and a suffix."""
        asked = msgspec.structs.replace(body.raw(request), infill=body.infill())
        return await _answered(backend, body, request, asked)

    @routes.post("/completion")
    @routes.post("/completions", include_in_schema=False)
    async def completion(body: CompletionBody, request: Request) -> Response:
        """llama.cpp's completion: a raw prompt, continued."""
        asked = body.raw(request)
        if isinstance(body.prompt, str):
            asked = msgspec.structs.replace(asked, prompt=body.prompt)
        else:
            spec = (await target_of(backend, body.model)).spec
            tokens = await unless_gone(request, _tokens(backend, spec, body.prompt))
            asked = msgspec.structs.replace(asked, tokens=tuple(tokens))
        return await _answered(backend, body, request, asked)

    return routes


async def _tokens(backend: Backend, spec: ModelSpec, mixed: list[int | str]) -> list[int]:
    """Token ids and texts in one row. Raises InvalidRequest for what is several prompts."""
    if len(mixed) > 1 and all(isinstance(part, str) for part in mixed):
        raise InvalidRequest("several prompts at once are not supported here", hint="POST /v1/completions")
    found: list[int] = []
    for place, part in enumerate(mixed):
        if isinstance(part, str):
            found += await backend.engines.ask(spec, "tokenize", text=part, add_special=place == 0)
        else:
            found.append(part)
    return found


async def _answered(backend: Backend, body: RawFields, request: Request, asked: Generation) -> Response:
    target = await target_of(backend, body.model, body)
    n = body.n_cmpl or 1
    wanted = [asked.choice(index) for index in range(n)]
    events = await answers(request, backend, target, wanted, stream=bool(body.stream))
    if body.stream:
        return EventStream(written(events, RawWriter(target.name)))
    found = await unless_gone(request, collected(events, n))
    whole = [
        _picked(_whole(answer, index, target.name, body), body.response_fields) for index, answer in enumerate(found)
    ]
    return JSON(whole if n > 1 else whole[0])


class RawWriter:
    """Events with pieces of `content`; the last one says how it ended."""

    def __init__(self, model: str) -> None:
        self._model = model

    def begin(self) -> bytes:
        return b""

    def event(self, choice: int, event: Event) -> bytes:
        match event:
            case TextDelta(text, logprobs):
                return sse({"index": choice, "content": text, "tokens": [], "stop": False, **_probabilities(logprobs)})
            case Done():
                return sse({"content": "", "tokens": [], **_end(event, choice, self._model)})
            case Failed():
                return sse(llamacpp_error(event.exception()))
        return b""

    def end(self) -> bytes:
        return b""


def _whole(answer: Answer, index: int, model: str, body: RawFields) -> dict[str, Any]:
    tokens = [each.chosen.id for each in answer.logprobs] if body.return_tokens else []
    return {
        "content": "" if body.warms else answer.text,
        "tokens": tokens,
        **_end(answer.done, index, model),
        **(_probabilities(answer.logprobs) if body.n_probs else {}),
    }


def _end(done: Done, index: int, model: str) -> dict[str, Any]:
    return {
        "id_slot": 0,
        "index": index,
        "model": model,
        "stop": True,
        "stop_type": "limit" if done.finish_reason == "length" else "word" if done.stop else "eos",
        "stopping_word": done.stop,
        "tokens_predicted": done.usage.completion_tokens,
        "tokens_evaluated": done.usage.prompt_tokens,
        "tokens_cached": done.usage.prompt_tokens + done.usage.completion_tokens,
        "truncated": False,
        "timings": timings_json(done.usage, done.timings),
    }


def _probabilities(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    if not tokens:
        return {}
    listed = logprobs_json(tokens)
    assert listed is not None
    return {"completion_probabilities": listed["content"]}


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
