"""The native API's look into the engines: a generation with its explanation, and the sequences as they stand.

`/localmind/v1/generate` takes what a chat completion takes, or another thing to continue, and streams our
own events, whose Done says why so much of the prompt had to be evaluated. No other dialect has a place
for that.
"""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.chat_messages import ChatMessage
from localmind.api.native.path import absolute
from localmind.api.openai_chat import AnswerFields
from localmind.api.streams import JSON, EventStream, native_sse, started, unless_gone
from localmind.errors import InvalidRequest
from localmind.workers.request import Infill
from localmind.workers.request import Request as Generation

MOST_TEXT = 20_000_000
"""Characters of a raw prompt."""

MOST_TOKENS = 10_000_000

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Tokens = Annotated[list[TokenId], Field(min_length=1, max_length=MOST_TOKENS)]


class ExtraFile(BaseModel):
    name: str = Field("", max_length=4096)
    text: str = Field(max_length=MOST_TEXT)


class InfillFields(BaseModel):
    """Text with a hole."""

    prefix: str = Field("", max_length=MOST_TEXT)
    suffix: str = Field("", max_length=MOST_TEXT)
    extra: list[ExtraFile] = Field(default_factory=list, max_length=1000)

    def plain(self) -> Infill:
        return Infill(self.prefix, self.suffix, tuple((each.name, each.text) for each in self.extra))


class GenerateRequest(AnswerFields):
    """Exactly one of the four is continued."""

    messages: list[ChatMessage] | None = Field(None, min_length=1)
    prompt: str | None = Field(None, min_length=1, max_length=MOST_TEXT)
    tokens: Tokens | None = None
    infill: InfillFields | None = None
    explain: bool = True

    def generation(self, request: Request) -> Generation:
        """As the engine takes it. Raises InvalidRequest."""
        given = [each for each in (self.messages, self.prompt, self.tokens, self.infill) if each is not None]
        if len(given) != 1:
            raise InvalidRequest("exactly one of messages, prompt, tokens and infill is wanted")
        return msgspec.structs.replace(
            self.answer(request),
            messages=tuple(message.plain() for message in self.messages or ()),
            prompt=self.prompt,
            tokens=tuple(self.tokens) if self.tokens is not None else None,
            infill=self.infill.plain() if self.infill is not None else None,
            explain=self.explain,
        )


class AdapterRequest(BaseModel):
    model: str = "default"
    name: str = Field(min_length=1, max_length=200)
    path: str = Field(min_length=1, max_length=4096)


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.post("/generate")
    async def generate(body: GenerateRequest, request: Request) -> Response:
        """One generation as our own events; the last one has usage, timings and the cache's explanation."""
        asked = body.generation(request)
        events = backend.engines.generate_with_progress(backend.engines.resolve(body.model), asked)
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.get("/engine/sequences")
    async def sequences() -> Response:
        """Of every live engine: who is served and who waits for what, cells, queue, cache."""
        states = await backend.engines.states()
        return JSON({"engines": [{"model": model, **state} for model, state in states.items()]})

    @routes.get("/engine/adapters")
    async def adapters(model: str = "default") -> Response:
        """The LoRA adapters that a request may choose by `lora`."""
        spec = backend.engines.resolve(model)
        return JSON({"model": spec.name, "adapters": await backend.engines.adapters.listed(spec)})

    @routes.post("/engine/adapters")
    async def load_adapter(body: AdapterRequest, request: Request) -> Response:
        """Load a GGUF adapter from a file of this user; loads the model too if it is not in memory."""
        spec = backend.engines.resolve(body.model)
        path = absolute(body.path)
        return JSON(await unless_gone(request, backend.engines.adapters.load(spec, body.name, path)))

    @routes.delete("/engine/adapters")
    async def unload_adapter(name: str, model: str = "default") -> Response:
        """Requests can no longer choose it."""
        await backend.engines.adapters.unload(backend.engines.resolve(model), name)
        return JSON({})

    return routes
