"""Native route of searching the watched folders, without a model's words.

`explain` adds what every stage of the search found, for `localmind eval` and for whoever asks why a
passage is not there.
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.native.filtering import Filtered
from localmind.api.native.path import absolute
from localmind.api.streams import JSON, unless_gone
from localmind.knowledge.retrieve import Trace

# Chunks of a stage that an explanation names.
EXPLAINED = 50


class SearchRequest(Filtered):
    query: str = Field(min_length=1, max_length=10_000)
    limit: int = Field(10, ge=1, le=100)
    folder: str | None = None
    explain: bool = False


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.post("/search")
    async def search(body: SearchRequest, request: Request) -> Response:
        """The passages that fit a query best; may be none."""
        folder = absolute(body.folder) if body.folder else None
        asked = backend.knowledge.trace(body.query, limit=body.limit, folder=folder, filters=body.filters())
        trace = await unless_gone(request, asked)
        answer = {"passages": msgspec.to_builtins(trace.passages)}
        if body.explain:
            answer["trace"] = await _explained(backend, trace)
        return JSON(answer)

    return routes


async def _explained(backend: Backend, trace: Trace) -> dict[str, Any]:
    stages: dict[str, Any] = {}
    for name in ("keyword", "dense", "fused", "shown", "unranked"):
        found = await backend.knowledge.chunks(getattr(trace, name)[:EXPLAINED])
        stages[name] = msgspec.to_builtins(found)
    return {
        "stages": stages,
        "evidence": round(trace.evidence, 4),
        "floor": trace.floor,
        "keyword_weight": trace.query.keyword_weight,
        "terms": list(trace.query.terms),
        "reranked": trace.reranked,
        "ms": trace.ms,
    }
