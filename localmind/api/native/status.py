"""What runs in the daemon, in one answer: version, models in memory, folders, workers."""

import os
import time
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from localmind import __version__
from localmind.api.backend import Backend
from localmind.api.streams import JSON


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.get("/status")
    async def status() -> Response:
        """What runs: version, uptime, models, folders."""
        folders = await backend.knowledge.folders()
        states = {name: _brief(state) for name, state in (await backend.engines.states()).items()}
        return JSON(
            {
                "version": __version__,
                "pid": os.getpid(),
                "uptime_s": round(time.monotonic() - backend.started_at, 1),
                "port": None if backend.tcp_problem else backend.port,
                "tcp_problem": backend.tcp_problem,
                "ollama_port": msgspec.to_builtins(backend.second),
                "socket": str(backend.paths.socket),
                "remotes": backend.engines.elsewhere.status() if backend.engines.elsewhere is not None else [],
                "memory": backend.engines.residence.devices(),
                "models": [{**model, "engine": states.get(model["model"])} for model in backend.engines.status()],
                "folders": msgspec.to_builtins(folders),
                "workers": backend.index_workers(),
            }
        )

    return routes


def _brief(state: dict[str, Any]) -> dict[str, Any]:
    """An engine's state without its single sequences: numbers for a line of `localmind status`."""
    return {key: value for key, value in state.items() if isinstance(value, int | float | str)}
