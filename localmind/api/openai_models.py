"""`/v1/models` in the union of what clients look for there: OpenAI's fields, llama.cpp's, vLLM's and Anthropic's.

Nothing is loaded to answer it. llama.vscode takes a server with `meta` for llama.cpp and then asks for `/props`.
"""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.cards import Card, card_named, cards
from localmind.api.streams import JSON
from localmind.workers.elsewhere import RemoteModel


def router(backend: Backend) -> APIRouter:
    routes = APIRouter()

    @routes.get("/v1/models")
    @routes.get("/models", include_in_schema=False)
    async def models() -> Response:
        """The models that are on this machine, chat models first."""
        listed = sorted(await cards(backend), key=lambda card: card.spec.role != "chat")
        entries = [entry(card) for card in listed]
        ends = {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}
        return JSON({"object": "list", "data": entries, "has_more": False, "first_id": None, "last_id": None} | ends)

    @routes.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        """One of them."""
        return JSON(entry(await card_named(backend, name)))

    return routes


def entry(card: Card) -> dict[str, Any]:
    """One model as OpenAI lists it, and as others do."""
    taken = ["text", "image"] if "vision" in card.capabilities else ["text"]
    return {
        "id": card.name,
        "object": "model",
        "created": int(card.since),
        "owned_by": card.spec.remote if isinstance(card.spec, RemoteModel) else "localmind",
        "type": "model",
        "display_name": card.name,
        "created_at": card.when,
        "max_model_len": card.context,
        "context_length": card.context,
        "lifecycle": "active",
        "max_input_tokens": card.context,
        "architecture": {
            "modality": f"{'+'.join(taken)}->text",
            "input_modalities": taken,
            "output_modalities": ["text"],
        },
        "meta": {
            "n_ctx": card.context,
            "n_ctx_train": card.traits.context,
            "n_params": card.traits.parameters or None,
            "size": card.size,
            "capabilities": card.capabilities,
        },
    }
