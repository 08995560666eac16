"""`/v1/responses`: make one, look one up, delete it. An answer is stored before its last event leaves, so that a
follow-up finds it, unless the client said `store: false`.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from localmind.api.answers import written
from localmind.api.asking import FILES, Target, answers, target_of
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.choices import At
from localmind.api.openai_responses.bodies import ResponsesBody
from localmind.api.openai_responses.writer import ResponseWriter
from localmind.api.streams import JSON, EventStream, unless_gone
from localmind.errors import InvalidRequest
from localmind.events import Failed
from localmind.store.responses import StoredResponse

EVERYWHERE = ("files", "all", "default")
"""Vector stores that mean every watched folder; any other is a folder's name."""


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/v1", route_class=BodyRoute)

    @routes.post("/responses")
    async def create(body: ResponsesBody, request: Request) -> Response:
        """OpenAI's responses: `stream=true` for server-sent events, `previous_response_id` to go on."""
        target = await _target(backend, body)
        before = await asyncio.to_thread(_before, backend, body.previous_response_id)
        asked = body.generation(request, before)
        query = next((each.content for each in asked.messages[::-1] if each.role == "user"), "") if target.files else ""
        writer = ResponseWriter(
            _head(body, target),
            custom=body.custom,
            query=query if body.search is not None else None,
            results="file_search_call.results" in (body.include or ()),
        )
        events = await answers(request, backend, target, [asked], stream=bool(body.stream))
        if body.stream:
            return EventStream(_kept(written(events, writer), writer, backend, body))
        await unless_gone(request, _filled(events, writer))
        await _keep(writer, backend, body)
        return JSON(writer.response)

    @routes.get("/responses/{response_id}")
    async def show(response_id: str) -> Response:
        """A stored response."""
        found = await asyncio.to_thread(backend.responses.get, response_id)
        return JSON(found.body)

    @routes.get("/responses/{response_id}/input_items")
    async def input_items(response_id: str) -> Response:
        """What a stored response answered."""
        found = await asyncio.to_thread(backend.responses.get, response_id)
        items = [{"id": f"in_{number}_{found.id}", **_item(each)} for number, each in enumerate(found.input)]
        ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {"first_id": "", "last_id": ""}
        return JSON({"object": "list", "data": items, "has_more": False, **ends})

    @routes.delete("/responses/{response_id}")
    async def delete(response_id: str) -> Response:
        """Forget a stored response; those that go on from it cannot any more."""
        await asyncio.to_thread(backend.responses.remove, response_id)
        return JSON({"id": response_id, "object": "response", "deleted": True})

    return routes


async def _target(backend: Backend, body: ResponsesBody) -> Target:
    """The model, and with `file_search` the folders; cited in annotations, hence not in the text."""
    if body.search is None:
        return await target_of(backend, body.model, body)
    named = [store for store in body.search if store not in EVERYWHERE]
    if len(named) > 1:
        raise InvalidRequest("file_search looks in one folder or in all", hint='vector_store_ids: ["files"]')
    base = body.model.partition(FILES)[0]
    suffix = FILES + (f":{named[0]}" if named else "")
    return replace(await target_of(backend, base + suffix, body), in_text=False)


def _before(backend: Backend, previous: str | None) -> list[dict[str, Any]]:
    """All items of the conversation so far. Raises NotFound."""
    chain = backend.responses.chain(previous) if previous else []
    return [item for response in chain for item in (*response.input, *response.body["output"])]


def _head(body: ResponsesBody, target: Target) -> dict[str, Any]:
    """The response before anything is said, with the settings that the client asked for."""
    wanted = body.text.format if body.text else None
    return {
        "id": f"resp_{secrets.token_hex(16)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": target.name,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        "store": body.store is not False,
        "temperature": body.temperature,
        "text": {"format": wanted or {"type": "text"}},
        "tool_choice": body.tool_choice or "auto",
        "tools": [tool.model_dump(exclude_none=tool.type != "function") for tool in body.tools or ()],
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
    }


async def _filled(events: AsyncGenerator[At, None], writer: ResponseWriter) -> None:
    """The whole response into the writer. Raises the stream's error."""
    writer.begin()
    async with contextlib.aclosing(events):
        async for at in events:
            if isinstance(at.event, Failed):
                raise at.event.exception()
            writer.event(at.choice, at.event)


async def _kept(
    pieces: AsyncGenerator[bytes, None], writer: ResponseWriter, backend: Backend, body: ResponsesBody
) -> AsyncGenerator[bytes, None]:
    kept = False
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            if not kept and writer.response["status"] in ("completed", "incomplete"):
                kept = True
                await _keep(writer, backend, body)
            yield piece


async def _keep(writer: ResponseWriter, backend: Backend, body: ResponsesBody) -> None:
    if body.store is False:
        return
    response = writer.response
    stored = StoredResponse(response["id"], body.previous_response_id, body.items, response)
    await asyncio.to_thread(backend.responses.add, stored)


def _item(item: dict[str, Any]) -> dict[str, Any]:
    """An input item in its long form."""
    content = item.get("content")
    if (item.get("type") or "message") != "message" or not isinstance(content, str):
        return item
    kind = "output_text" if item.get("role") == "assistant" else "input_text"
    return {**item, "type": "message", "content": [{"type": kind, "text": content}]}
