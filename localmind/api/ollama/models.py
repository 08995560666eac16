"""Ollama's routes about models: what is here, what it can do, what is loaded; pull, copy and delete.

Pickers build on `tags` and `show` alone: Roo drops a whole list for one entry without details, Zed for one `show`
that fails, Copilot any model without capabilities. So everything is answered from files, and nothing is loaded.
"""

import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import PlainTextResponse, Response

from localmind.api.answers import written
from localmind.api.asking import FILES
from localmind.api.backend import Backend
from localmind.api.cards import Card, card_named, cards, removable, timestamp
from localmind.api.choices import At, begun
from localmind.api.error_forms import ollama_error
from localmind.api.ollama.forms import ModelBody, as_ollama_says, details
from localmind.api.ollama.modelfile import go_template, modelfile, parameter_lines
from localmind.api.streams import JSON, LineStream, line, unless_gone
from localmind.catalog import ModelSpec
from localmind.errors import InvalidRequest
from localmind.events import Done, Event, Failed, Progress
from localmind.models.made import Made

VERSION = "0.33.0"
"""Of the Ollama whose API this is; Copilot wants at least 0.6.4 and takes nothing but numbers."""
FOREVER_S = 100 * 365 * 86400.0
"""Ollama shows a model that stays as one that expires in a lifetime."""


class PullBody(ModelBody):
    stream: bool | None = None


class CopyBody(BaseModel):
    source: str = Field(min_length=1, max_length=400)
    destination: str = Field(min_length=1, max_length=400)


class ShowBody(ModelBody):
    verbose: bool | None = None


def router(backend: Backend) -> APIRouter:
    routes = APIRouter()

    @routes.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def greeting() -> Response:
        """JetBrains and others look for these words."""
        return PlainTextResponse("Ollama is running")

    @routes.get("/api/version")
    @routes.head("/api/version", include_in_schema=False)
    async def version() -> Response:
        """The version of Ollama's API that is spoken here."""
        return JSON({"version": VERSION})

    @routes.get("/api/tags")
    @routes.head("/api/tags", include_in_schema=False)
    async def tags() -> Response:
        """The models on this machine."""
        return JSON({"models": [_tag(card) for card in await cards(backend)]})

    @routes.get("/api/ps")
    async def ps() -> Response:
        """The models in memory."""
        loaded = [card for card in await cards(backend) if card.loaded and not card.files and card.made is None]
        return JSON({"models": [_running(card) for card in loaded]})

    @routes.post("/api/show")
    async def show(body: ShowBody) -> Response:
        """What a model is and can do."""
        with as_ollama_says(body.wanted):
            card = await card_named(backend, body.wanted)
        made = card.made
        parameters = made.parameters if made else {}
        return JSON(
            {
                "license": made.licence if made and made.licence else card.spec.licence,
                "modelfile": modelfile(card.name, made),
                "parameters": parameter_lines({"num_ctx": card.context} | parameters),
                "template": card.made.template if card.made and card.made.template else go_template(card),
                **({"system": made.system} if made and made.system else {}),
                "details": details(card),
                "messages": [{"role": each.role, "content": each.content} for each in made.messages] if made else [],
                "model_info": _info(card),
                "capabilities": card.capabilities,
                "modified_at": card.when,
            }
        )

    @routes.post("/api/pull")
    async def pull(body: PullBody, request: Request) -> Response:
        """Fetch a model: lines of progress, then success. Hanging up stops it, unless someone else waits too."""
        with as_ollama_says(body.wanted):
            spec = backend.catalog.find(body.wanted)
            events = await begun(request.receive, _once(backend.pulls.pull(spec)))
        if body.stream is not False:
            return LineStream(written(events, PullWriter(spec)))
        await unless_gone(request, _to_the_end(events))
        return JSON({"status": "success"})

    @routes.post("/api/copy")
    async def copy(body: CopyBody) -> Response:
        """A second name for a model. It takes no room."""
        with as_ollama_says(body.source):
            card = await card_named(backend, body.source)
        if card.files:
            raise InvalidRequest("a name with +files cannot be copied", hint="copy the plain model")
        backend.made.add(msgspec.structs.replace(made_of(card), name=free_name(backend, body.destination)))
        return Response()

    @routes.delete("/api/delete")
    async def delete(body: ModelBody) -> Response:
        """Remove a model's files, unless it is answering right now; of a made one only the name."""
        if backend.made.remove(body.wanted):
            return Response()
        if FILES in body.wanted:
            raise InvalidRequest("a name with +files is not a model of its own", hint="localmind folders rm DIR")
        with as_ollama_says(body.wanted):  # by its own name alone: "gpt-4o" and "default" mean a model only to be asked
            spec = removable(backend, body.wanted)
            await backend.engines.unload(spec)
            backend.store.remove(spec.name)
        return Response()

    @routes.post("/api/push")
    async def push(body: ModelBody) -> Response:
        """Refused: nothing leaves this machine."""
        raise InvalidRequest("localmind sends no models anywhere")

    return routes


def _tag(card: Card) -> dict[str, Any]:
    return {
        "name": card.name,
        "model": card.name,
        "modified_at": card.when,
        "size": card.size,
        "digest": card.sha256,
        "details": details(card),
        "capabilities": card.capabilities,
    }


def _running(card: Card) -> dict[str, Any]:
    assert card.loaded is not None
    left = card.loaded.get("expires_in_s")
    layers = int(card.traits.header.get(f"{card.traits.architecture}.block_count") or 0) + 1
    on_gpu = min(int((card.loaded.get("plan") or {}).get("n_gpu_layers") or 0), layers)
    return {
        "name": card.name,
        "model": card.name,
        "size": card.size,
        "digest": card.sha256,
        "details": details(card),
        "expires_at": timestamp(time.time() + (FOREVER_S if left is None else left)),
        "size_vram": card.size * on_gpu // layers,
        "context_length": card.context,
    }


def _info(card: Card) -> dict[str, Any]:
    """The header; the first length of a context in it is the one that counts here, since clients plan with it."""
    info = dict(card.traits.header)
    info["general.basename"] = card.name
    info[f"{card.traits.architecture}.context_length"] = card.context
    return info


def made_of(card: Card) -> Made:
    """A made model that is the card's own."""
    return card.made or Made(name=card.name, base=card.spec.name)


def free_name(backend: Backend, name: str) -> str:
    """The name, unless a model of the catalog has it. Raises InvalidRequest."""
    if backend.catalog.get(name) is not None or FILES in name:
        raise InvalidRequest(f"{name!r} is the name of a model already", hint="choose another name")
    return name


async def _once(events: AsyncGenerator[Event, None]) -> AsyncGenerator[At, None]:
    async with contextlib.aclosing(events):
        async for event in events:
            yield At(0, event)


async def _to_the_end(events: AsyncGenerator[At, None]) -> None:
    async with contextlib.aclosing(events):
        async for at in events:
            if isinstance(at.event, Failed):
                raise at.event.exception()


class PullWriter:
    """Lines of a pull, each with the part under way; `ollama pull` draws its bars from digest and total."""

    def __init__(self, spec: ModelSpec) -> None:
        self._digest = f"sha256:{spec.files[0].sha256}" if spec.files else "sha256:" + "0" * 64

    def begin(self) -> bytes:
        return line({"status": "pulling manifest"})

    def event(self, choice: int, event: Event) -> bytes:
        match event:
            case Progress(stage, done, total, "B"):
                part = {"digest": self._digest, "completed": int(done)}
                return line({"status": stage, **part} | ({} if total is None else {"total": int(total)}))
            case Progress(stage):
                return line({"status": stage})
            case Done():
                return line({"status": "success"})
            case Failed():
                return line(ollama_error(event.exception()))
        return b""

    def end(self) -> bytes:
        return b""
