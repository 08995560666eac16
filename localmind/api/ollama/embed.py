"""`/api/embed` and the older `/api/embeddings`: texts to unit vectors."""

import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from localmind.api.asking import embedder_of
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.embeddings import MOST_TEXTS, Text, floats, shortened, vectors_of
from localmind.api.ollama.forms import ModelBody, as_ollama_says, times
from localmind.api.streams import JSON, unless_gone
from localmind.errors import InvalidRequest
from localmind.messages import Timings, Usage


class EmbedBody(ModelBody):
    input: Text | list[Text] = Field(default_factory=list)
    truncate: bool | None = None
    dimensions: int | None = Field(None, ge=0, le=65536)

    def texts(self) -> list[str]:
        """Raises InvalidRequest."""
        texts = [self.input] * bool(self.input) if isinstance(self.input, str) else self.input
        if len(texts) > MOST_TEXTS:
            raise InvalidRequest(f"input may hold at most {MOST_TEXTS} texts")
        if not all(texts):
            raise InvalidRequest("input: a text is empty")
        return texts


class EmbeddingsBody(ModelBody):
    prompt: Text = ""


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/api", route_class=BodyRoute)

    @routes.post("/embed")
    async def embed(body: EmbedBody, request: Request) -> Response:
        """Ollama's embeddings: a unit vector a text. Texts too long are cut unless `truncate` is false."""
        began = time.monotonic()
        vectors, tokens = await _vectors(backend, request, body.wanted, body.texts(), body.truncate is not False)
        if body.dimensions:
            vectors = [shortened(vector, body.dimensions) for vector in vectors]
        said = times(began, Usage(prompt_tokens=tokens), Timings())
        taken = {key: said[key] for key in ("total_duration", "load_duration", "prompt_eval_count")}
        return JSON({"model": body.wanted, "embeddings": [floats(vector) for vector in vectors], **taken})

    @routes.post("/embeddings")
    async def embeddings(body: EmbeddingsBody, request: Request) -> Response:
        """One text's vector, in the form that came before `/api/embed`."""
        vectors, _ = await _vectors(backend, request, body.wanted, [body.prompt] * bool(body.prompt), True)
        found: list[Any] = floats(vectors[0]) if vectors else []
        return JSON({"embedding": found})

    return routes


async def _vectors(
    backend: Backend, request: Request, name: str, texts: list[str], truncate: bool
) -> tuple[list[bytes], int]:
    with as_ollama_says(name):
        spec = embedder_of(backend, name)
        if not texts:
            return [], 0
        return await unless_gone(request, vectors_of(backend, spec, texts, truncate=truncate))
