"""What llama-server tells of itself: properties, slots, adapters.

A slot here is a sequence of the engine that is being served; there is no fixed number of them, and nobody needs to
choose one. Reading any of it loads nothing.
"""

from pathlib import PurePath
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from localmind import __version__
from localmind.api.asking import target_of
from localmind.api.backend import Backend
from localmind.api.cards import card_named
from localmind.api.streams import JSON

SLOTS = 8
"""What clients are told of how much can be asked at once; more than that is served as well."""


def router(backend: Backend) -> APIRouter:
    routes = APIRouter()

    @routes.get("/props")
    async def props(model: str = "default") -> Response:
        """The properties of a model, as llama.vscode budgets with them."""
        card = await card_named(backend, model if model else "default")
        file = PurePath(card.spec.files[0].name).name if card.spec.files else card.name  # where it lies is nobody's
        settings = {"n_ctx": card.context, "id": 0, "id_task": -1, "is_processing": False, "params": {}}
        return JSON(
            {
                "default_generation_settings": settings,
                "total_slots": SLOTS,
                "model_alias": card.name,
                "model_path": file,
                "chat_template": card.traits.template or "",
                "modalities": {"vision": "vision" in card.capabilities, "audio": False},
                "bos_token": "",
                "eos_token": "",
                "build_info": f"localmind {__version__}",
                "is_sleeping": card.loaded is None,
            }
        )

    @routes.get("/slots")
    async def slots(model: str = "default") -> Response:
        """The sequences under way."""
        spec = (await target_of(backend, model)).spec
        state = (await backend.engines.states()).get(spec.name) or {}
        return JSON([_slot(number, each, state) for number, each in enumerate(state.get("sequences", ()))])

    @routes.get("/lora-adapters")
    async def adapters(model: str = "default") -> Response:
        """The adapters by number. The scale is 0 for all: here a request chooses, with `lora`."""
        found = await backend.engines.adapters.listed((await target_of(backend, model)).spec)
        return JSON(
            [{"id": number, "path": PurePath(each["path"]).name, "scale": 0.0} for number, each in enumerate(found)]
        )

    return routes


def _slot(number: int, sequence: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "id_task": sequence.get("number", number),
        "n_ctx": state.get("n_ctx_seq", 0),
        "is_processing": sequence.get("state") not in ("cached", "free"),
        "localmind": sequence,
    }
