"""The native route that says how a model would be laid on this machine, or on one that somebody describes."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.plans import PlanQuestion, answer
from localmind.api.streams import JSON


class PlanRequest(BaseModel):
    model: str = Field(min_length=1, max_length=300)
    context: int | None = Field(None, ge=256, le=1 << 24)
    gpu_layers: int | None = Field(None, ge=0, le=100_000)
    kv_type: Literal["f16", "q8_0", "q4_0"] | None = None
    machine: dict[str, Any] | None = None


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.post("/plan")
    async def plan(body: PlanRequest) -> Response:
        """Layers, context and bytes by device, with a sentence for each choice. Loads nothing."""
        return JSON(
            await answer(backend, PlanQuestion(body.model, body.context, body.gpu_layers, body.kv_type, body.machine))
        )

    return routes
