"""llama-server's own API: infill and completion, tokens, templates, and what it tells of itself.

llama.vim and llama.vscode complete code with it. Field names and forms are llama-server's, `response_fields`
included, since llama.vim asks for "timings/prompt_n" and reads exactly that key.
"""

from fastapi import APIRouter

from localmind.api.backend import Backend
from localmind.api.llamacpp import about, generate, tokens


def router(backend: Backend) -> APIRouter:
    """All its routes."""
    routes = APIRouter()
    for room in (generate, tokens, about):
        routes.include_router(room.router(backend))
    return routes
