"""OpenAI's text completions: raw prompts without a template, several at once, with echo, suffix and old logprobs.

A prompt is taken as it is, control tokens included, because editors write fill-in-the-middle prompts by
hand; with `suffix` the engine does that by the vocabulary's own tokens. Token ids are the model's own.
"""

import codecs
import itertools
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from localmind.api.answers import Answer, collected, written
from localmind.api.asking import answers, asker, target_of
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.choices import together
from localmind.api.error_forms import openai_error
from localmind.api.fields import MOST_CHOICES, GenerationFields
from localmind.api.openai_chat import StreamOptions, nothing_more
from localmind.api.openai_forms import FINGERPRINT, finite, text_reason, timings_json, usage_json
from localmind.api.streams import JSON, EventStream, sse, unless_gone
from localmind.catalog import ModelSpec
from localmind.errors import InvalidRequest
from localmind.events import Done, Event, Failed, TextDelta, TokenLogprob
from localmind.messages import Usage
from localmind.workers.request import Infill
from localmind.workers.request import Request as Generation

MOST_PROMPTS = 256
MOST_AT_ONCE = 256
"""Prompts times choices in one request."""

TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
Prompt = str | TokenIds | Annotated[list[str | TokenIds], Field(min_length=1, max_length=MOST_PROMPTS)]


class CompletionRequest(GenerationFields):
    """The body of a text completion."""

    model: str = "default"
    prompt: Prompt
    suffix: str | None = None
    max_tokens: int | None = Field(16, ge=-1, le=10_000_000)
    n_predict: int | None = Field(None, ge=-1, le=10_000_000)
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    best_of: int | None = Field(None, ge=1, le=MOST_CHOICES)
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: dict[str, Any] | None = None

    @property
    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        prompts = [each for each in self.prompt if not isinstance(each, int)]
        return prompts or [[each for each in self.prompt if isinstance(each, int)]]

    @property
    def limit(self) -> int:
        limit = self.n_predict if self.n_predict is not None else self.max_tokens
        return 16 if limit is None else limit

    @property
    def scored(self) -> bool:
        """How likely the prompt was is wanted too; or, without any answer, nothing but the prompt."""
        return bool(self.echo) and (self.logprobs is not None or self.limit == 0)

    def generations(self, request: Request) -> list[Generation]:
        """One a choice, prompt by prompt. Raises InvalidRequest."""
        n = self.n or 1
        if self.best_of is not None and self.best_of > n:
            raise InvalidRequest("best_of above n is not supported by localmind", hint="leave out 'best_of'")
        if len(self.prompts) * n > MOST_AT_ONCE:
            raise InvalidRequest(f"{len(self.prompts)} prompts with n = {n} are more than {MOST_AT_ONCE} answers")
        if self.scored and self.suffix:
            raise InvalidRequest("echo with logprobs is for prompts without a suffix", hint="leave out 'logprobs'")
        limit = self.limit
        params = self.sampling(limit=1 if self.scored and not limit else limit, logprobs=self.logprobs)
        base = Generation(
            sampling=msgspec.structs.replace(params, max_tokens=0) if self.scored and not limit else params,
            scored=self.scored,
            client=asker(request),
            priority=self.priority_of(request),
            format=self.constraint(self.response_format),
            adapters=self.adapters(),
        )
        return [self._continuing(base, prompt).choice(index) for prompt in self.prompts for index in range(n)]

    def _continuing(self, base: Generation, prompt: str | list[int]) -> Generation:
        if self.suffix:
            if not isinstance(prompt, str):
                raise InvalidRequest("suffix needs the prompt as text")
            return msgspec.structs.replace(base, infill=Infill(prompt, self.suffix))
        if isinstance(prompt, str):
            if not prompt:
                raise InvalidRequest("the prompt is empty")
            return msgspec.structs.replace(base, prompt=prompt)
        return msgspec.structs.replace(base, tokens=tuple(prompt))


@dataclass(slots=True, frozen=True)
class Shape:
    """How the choices of an answer are grouped, and what stands before their text."""

    n: int
    echoes: tuple[str, ...]
    """One a choice."""
    scored: bool = False
    """Log probabilities begin with the echo's."""

    def begins(self, index: int) -> int:
        """Where the first token that has a log probability begins in the text."""
        return 0 if self.scored else len(self.echoes[index])

    def usage(self, ends: Sequence[Done]) -> Usage:
        """A prompt counts once for its n answers."""
        groups = [together(ends[start : start + self.n])[0] for start in range(0, len(ends), self.n)]
        return Usage(
            sum(group.prompt_tokens for group in groups),
            sum(group.completion_tokens for group in groups),
            sum(group.cached_tokens for group in groups),
        )


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(route_class=BodyRoute)

    @routes.post("/v1/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        """OpenAI text completions: `stream=true` for server-sent events."""
        return await complete(backend, body, request)

    return routes


async def complete(
    backend: Backend, body: CompletionRequest, request: Request, more: Callable[[Done], dict[str, Any]] = nothing_more
) -> Response:
    """A text completion. `more` is what a dialect of OpenAI's adds at the end of an answer."""
    target = await target_of(backend, body.model, body)
    asked = body.generations(request)
    n = body.n or 1
    texts = [await _echo(backend, target.spec, each) if body.echo else "" for each in body.prompts]
    shape = Shape(n, tuple(text for text in texts for _ in range(n)), body.scored)
    events = await answers(request, backend, target, asked, stream=bool(body.stream))
    head = {"id": f"cmpl-{secrets.token_hex(12)}", "object": "text_completion", "created": int(time.time())}
    head |= {"model": target.name, "system_fingerprint": FINGERPRINT}
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        return EventStream(written(events, TextWriter(head, shape, with_usage, more)))
    return JSON(whole(await unless_gone(request, collected(events, len(asked))), head, shape, more))


async def _echo(backend: Backend, spec: ModelSpec, prompt: str | list[int]) -> str:
    return prompt if isinstance(prompt, str) else str(await backend.engines.ask(spec, "detokenize", tokens=prompt))


class TextWriter:
    """Pieces of text, each choice's finish reason, usage if asked for, `[DONE]`."""

    def __init__(
        self, head: dict[str, Any], shape: Shape, with_usage: bool, more: Callable[[Done], dict[str, Any]]
    ) -> None:
        self._base = {**head} | ({"usage": None} if with_usage else {})
        self._shape = shape
        self._with_usage = with_usage
        self._more = more
        self._ends: dict[int, Done] = {}
        self._lengths = [shape.begins(index) for index in range(len(shape.echoes))]

    def begin(self) -> bytes:
        return b"".join(self._chunk(index, text) for index, text in enumerate(self._shape.echoes) if text)

    def event(self, choice: int, event: Event) -> bytes:
        match event:
            case TextDelta(text, logprobs):
                begins = self._lengths[choice]
                self._lengths[choice] = offsets(logprobs, begins)[-1] if logprobs else begins + len(text)
                return self._chunk(choice, text, logprobs=legacy_logprobs(logprobs, begins))
            case Done():
                self._ends[choice] = event
                timings = timings_json(event.usage, event.timings)
                return self._chunk(choice, "", text_reason(event.finish_reason), timings=timings, **self._more(event))
            case Failed():
                return sse(openai_error(event.exception()))
        return b""

    def end(self) -> bytes:
        last = b"data: [DONE]\n\n"
        if not (self._with_usage and len(self._ends) == len(self._shape.echoes)):
            return last
        usage = self._shape.usage([done for _, done in sorted(self._ends.items())])
        return sse({**self._base, "choices": [], "usage": usage_json(usage)}) + last

    def _chunk(self, index: int, text: str, finish: str | None = None, logprobs: Any = None, **more: Any) -> bytes:
        choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}
        return sse({**self._base, "choices": [choice], **more})


def whole(
    found: Sequence[Answer], head: dict[str, Any], shape: Shape, more: Callable[[Done], dict[str, Any]]
) -> dict[str, Any]:
    """The whole answer as one object."""
    ends = [answer.done for answer in found]
    usage = shape.usage(ends)
    return {
        **head,
        "choices": [
            {
                "text": echo + answer.text,
                "index": index,
                "logprobs": legacy_logprobs(answer.logprobs, shape.begins(index)),
                "finish_reason": text_reason(answer.done.finish_reason),
            }
            for index, (answer, echo) in enumerate(zip(found, shape.echoes, strict=True))
        ],
        "usage": usage_json(usage),
        "timings": timings_json(usage, together(ends)[1]),
        **more(found[0].done),
    }


def legacy_logprobs(tokens: Sequence[TokenLogprob], offset: int) -> dict[str, Any] | None:
    """The form of text completions: parallel lists; `offset` is where the first token's text begins. Null is what the
    first token of a prompt has, with nothing before it."""
    if not tokens:
        return None
    known = [not math.isnan(each.chosen.logprob) for each in tokens]
    tops = [{other.token: finite(other.logprob) for other in each.top} for each in tokens]
    likely = [finite(each.chosen.logprob) for each in tokens]
    return {
        "tokens": [each.chosen.token for each in tokens],
        "token_logprobs": [one if there else None for one, there in zip(likely, known, strict=True)],
        "top_logprobs": [top if there else None for top, there in zip(tops, known, strict=True)],
        "text_offset": offsets(tokens, offset)[:-1],
    }


def offsets(tokens: Sequence[TokenLogprob], begins: int) -> list[int]:
    """Where each token's text begins, and where the last one's ends; a token may end inside a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    lengths = [len(decoder.decode(each.chosen.bytes)) for each in tokens]
    return list(itertools.accumulate(lengths, initial=begins))
