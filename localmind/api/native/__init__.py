"""The native API under /localmind/v1: what our own command line and terminal app need, one file a room.

Plain JSON for questions that are answered at once, server-sent events (see events.py) for everything
that takes a while. No state of its own.
"""

from fastapi import APIRouter

from localmind.api.backend import Backend
from localmind.api.native import (
    engine,
    folders,
    history,
    memory,
    model_pulls,
    models,
    plan,
    recommended,
    search,
    status,
    turns,
    voice,
)


def router(backend: Backend) -> APIRouter:
    """All native routes."""
    routes = APIRouter()
    for room in (
        status,
        folders,
        search,
        models,
        model_pulls,
        plan,
        recommended,
        turns,
        history,
        engine,
        memory,
        voice,
    ):
        routes.include_router(room.router(backend))
    return routes
