"""A route whose request is one JSON body, read at once into its model.

FastAPI reads such a body into objects first, solves dependencies that are not there, and then looks at the objects
again: half a millisecond before the first word. Here the bytes go into the model in one step. The OpenAPI document and
the form of errors stay as they are; a route with anything else in its signature is left to FastAPI.
"""

import inspect
import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from localmind.errors import Cancelled


class BodyRoute(APIRoute):
    """For APIRouter(route_class=…)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Also called by FastAPI when a router is included in another."""
        names = _names(self.endpoint)
        if names is None:
            return super().get_route_handler()
        endpoint = self.endpoint
        (body_name, model), request_name = names

        async def answer(request: Request) -> Response:
            try:
                body = model.model_validate_json(_utf8(await request.body()))
            except ClientDisconnect:
                raise Cancelled("the client went away") from None
            except ValidationError as problem:
                raise RequestValidationError(problem.errors(include_url=False, include_input=False)) from problem
            more = {request_name: request} if request_name is not None else {}
            response: Response = await endpoint(**{body_name: body}, **more)
            return response

        return answer


def _utf8(body: bytes) -> bytes:
    """The same, where Windows' tools wrote it with a mark at its beginning or in UTF-16."""
    encoding = json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    return body.decode(encoding, "replace").encode()


def _names(endpoint: Callable[..., Any]) -> tuple[tuple[str, type[BaseModel]], str | None] | None:
    """Of the parameter that takes the body, with its model, and of the one that takes the request. None for another
    signature."""
    bodies: list[tuple[str, type[BaseModel]]] = []
    requests: list[str] = []
    for name, parameter in inspect.signature(endpoint, eval_str=True).parameters.items():
        kind = parameter.annotation
        if not isinstance(kind, type):
            return None
        if issubclass(kind, BaseModel) and parameter.default is parameter.empty:
            bodies.append((name, kind))
        elif issubclass(kind, Request):
            requests.append(name)
        else:
            return None
    if len(bodies) != 1 or len(requests) > 1 or not inspect.iscoroutinefunction(endpoint):
        return None
    return bodies[0], requests[0] if requests else None
