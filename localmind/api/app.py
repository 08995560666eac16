"""The application: every dialect's routes behind the gate, and one form for every error."""

import asyncio
import logging

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from localmind import __version__
from localmind.api import (
    anthropic,
    embeddings,
    fim,
    llamacpp,
    lmstudio,
    metrics,
    native,
    ollama,
    openai_audio,
    openai_chat,
    openai_models,
    openai_responses,
    openai_speech,
    openai_text,
)
from localmind.api.backend import Backend
from localmind.api.body_limit import BodyLimit
from localmind.api.documented import Documented
from localmind.api.mcp_route import McpRoute
from localmind.api.native import proof
from localmind.api.security import App, Gate, Gatekeeper
from localmind.api.streams import JSON, error_response
from localmind.api.tidy import Tidy
from localmind.errors import InternalError, InvalidRequest, LocalmindError, NotFound

NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI can put request bodies into traces and, by an environment variable, send them away. Ours stay here."""

DIALECTS = (
    openai_chat,
    openai_text,
    fim,
    openai_responses,
    openai_models,
    embeddings,
    openai_audio,
    openai_speech,
    ollama,
    anthropic,
    llamacpp,
    lmstudio,
    native,
    metrics,
)

log = logging.getLogger("localmind.api")


def create_app(backend: Backend, keeper: Gatekeeper) -> App:
    """The ASGI application."""
    app = Documented(title="localmind", version=__version__, openapi_url=None, telemetry=NO_TELEMETRY)
    app.add_middleware(Tidy)
    for dialect in DIALECTS:
        app.include_router(dialect.router(backend))
    app.include_router(proof.router(keeper.token))

    @app.get("/health")
    async def health() -> Response:
        """Public: says only that the daemon answers."""
        return JSON({"status": "ok"})

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        """What can be asked here. Made in a thread at the first request: it takes longer than a token."""
        return JSON(await asyncio.to_thread(app.openapi))

    @app.exception_handler(LocalmindError)
    async def ours(request: Request, problem: LocalmindError) -> Response:
        return error_response(request.url.path, problem)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, problem: RequestValidationError) -> Response:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        return error_response(request.url.path, InvalidRequest(f"{where}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def http(request: Request, problem: HTTPException) -> Response:
        error: LocalmindError
        if problem.status_code == 404:
            error = NotFound(f"there is no {request.method} {request.url.path} here")
        else:
            error = InvalidRequest(f"{request.method} {request.url.path}: {problem.detail}")
        response = error_response(request.url.path, error)
        response.status_code = problem.status_code
        response.headers.update(problem.headers or {})
        return response

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, problem: Exception) -> Response:
        log.exception("unforeseen error in %s %s", request.method, request.url.path, exc_info=problem)
        problem_of_ours = InternalError("something went wrong in the daemon", hint="localmind doctor")
        return error_response(request.url.path, problem_of_ours)

    inner: App = BodyLimit(McpRoute(app, backend.paths))
    return Gate(readable(inner, keeper.origins) if keeper.origins else inner, keeper)


def readable(app: App, origins: frozenset[str]) -> App:
    """The same with the headers that let the pages of these origins read its answers. Without any there are none."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("*",),
        allow_headers=("*",),
        allow_private_network=True,
        expose_headers=("x-should-retry", "retry-after"),
    )
