"""LM Studio's `/api/v0`: OpenAI's forms with its own statistics, for Zed, Cline and JetBrains."""

import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from localmind.api import embeddings, openai_chat, openai_text
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.cards import Card, card_named, cards
from localmind.api.embeddings import EmbeddingsRequest
from localmind.api.openai_chat import ChatRequest
from localmind.api.openai_text import CompletionRequest
from localmind.api.streams import JSON
from localmind.events import Done

REASONS = {
    "stop": "eosFound",
    "length": "maxPredictedTokensReached",
    "tool_calls": "toolCalls",
    "cancelled": "userStopped",
}


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/api/v0", route_class=BodyRoute)

    @routes.get("/models")
    async def models() -> Response:
        """The models on this machine, and which are loaded."""
        return JSON({"object": "list", "data": [entry(card) for card in await cards(backend)]})

    @routes.get("/models/{name:path}")
    async def model(name: str) -> Response:
        """One of them."""
        return JSON(entry(await card_named(backend, name)))

    @routes.post("/chat/completions")
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """A chat completion with LM Studio's statistics."""
        return await openai_chat.complete(backend, body, request, _statistics(await card_named(backend, body.model)))

    @routes.post("/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        """A text completion with LM Studio's statistics."""
        return await openai_text.complete(backend, body, request, _statistics(await card_named(backend, body.model)))

    @routes.post("/embeddings")
    async def embed(body: EmbeddingsRequest, request: Request) -> Response:
        """OpenAI embeddings."""
        return await embeddings.embedded(backend, body, request)

    return routes


def entry(card: Card) -> dict[str, Any]:
    """One model as LM Studio lists it; Zed drops a list with any of the first seven missing."""
    return {
        "id": card.name,
        "object": "model",
        "type": "embeddings" if card.spec.role == "embed" else "vlm" if "vision" in card.capabilities else "llm",
        "publisher": "localmind",
        "arch": card.traits.architecture,
        "compatibility_type": "gguf",
        "quantization": card.traits.quantisation,
        "state": "loaded" if card.loaded else "not-loaded",
        "max_context_length": card.traits.context,
        **({"loaded_context_length": card.context} if card.loaded else {}),
        "capabilities": ["tool_use"] if "tools" in card.capabilities else [],
    }


def _statistics(card: Card) -> Callable[[Done], dict[str, Any]]:
    began = time.monotonic()

    def of(done: Done) -> dict[str, Any]:
        decode_s = done.timings.decode_ms / 1e3
        return {
            "stats": {
                "tokens_per_second": round(done.usage.completion_tokens / decode_s, 3) if decode_s else 0.0,
                "time_to_first_token": round((done.timings.queue_ms + done.timings.prefill_ms) / 1e3, 3),
                "generation_time": round(time.monotonic() - began, 3),
                "stop_reason": "stopStringFound" if done.stop else REASONS[done.finish_reason],
            },
            "model_info": {
                "arch": card.traits.architecture,
                "quant": card.traits.quantisation,
                "format": "gguf",
                "context_length": card.context,
            },
            "runtime": {"name": "llama.cpp", "version": "localmind", "supported_formats": ["gguf"]},
        }

    return of
