"""What fits this machine best, for what, and why (see api/recommend.py for how it is found); and what else there is."""

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.recommend import USES, Pick, recommend
from localmind.api.streams import JSON
from localmind.errors import InvalidRequest
from localmind.machine.build import installed_binding
from localmind.machine.plan import Wishes


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.get("/models/recommend")
    async def recommended(use: str | None = None) -> Response:
        """The best model for each use, or for one, that this machine can run well, and why."""
        if use is not None and use not in USES:
            raise InvalidRequest(f"{use[:40]!r} is not one of {', '.join(USES)}", hint="localmind models recommend")
        picks = await asyncio.to_thread(picks_of, backend, (use,) if use else USES)
        return JSON({"picks": picks, "starter": starter_of(backend)})

    return routes


def picks_of(backend: Backend, uses: tuple[str, ...]) -> list[dict[str, Any]]:
    """For the machine as it usually is: what is free this second would name another model at every start."""
    binding = installed_binding()
    wishes = Wishes(backends=binding.backends if binding is not None else None)
    picks = recommend(backend.catalog.models, backend.machine.now().usual(), wishes, uses)
    return [_shown(backend, pick) for pick in picks]


def starter_of(backend: Backend) -> dict[str, Any] | None:
    """The chat model that can be had where no hub can be reached, for whoever has none yet."""
    spec = next((each for each in backend.catalog.models if each.starter and each.role == "chat"), None)
    if spec is None:
        return None
    here = backend.store.get(spec.name) is not None
    return {"name": spec.name, "size": spec.size, "why": "it runs everywhere", "installed": here}


def _shown(backend: Backend, pick: Pick) -> dict[str, Any]:
    return {
        "use": pick.use,
        "purpose": pick.purpose,
        "name": pick.spec.name,
        "quantisation": pick.spec.quantisation,
        "licence": pick.spec.licence,
        "size": pick.spec.size,
        "tokens_per_second": round(pick.speed, 1) if pick.speed is not None else None,
        "context": pick.plan.n_ctx if pick.plan is not None else None,
        "why": pick.why,
        "better": pick.next_why,
        "reasons": list(pick.plan.reasons) if pick.plan is not None else [],
        "installed": backend.store.get(pick.spec.name) is not None,
    }
