"""Ollama's API, for everything that only knows Ollama: chat, generate, embeddings, and the care of models.

One file a room. Answers are lines of JSON, times are nanoseconds, errors are `{"error": text}`. The form follows
Ollama 0.33 and what its clients parse: ollama-python, Zed's strict reader, Continue, Roo, Copilot, llm.el.
"""

from fastapi import APIRouter

from localmind.api.backend import Backend
from localmind.api.ollama import chat, create, embed, models


def router(backend: Backend) -> APIRouter:
    """All routes under /api, and the greeting at /."""
    routes = APIRouter()
    for room in (models, chat, embed, create):
        routes.include_router(room.router(backend))
    return routes
