"""`/api/create`: a model made of another by a system text, parameters and first messages; and the blobs it may name.

Both forms are taken: the fields of today and a Modelfile. Nothing is copied, so it takes no time and no room. Files
of a model's weights come in by `localmind models import`, which checks them; what Ollama's client uploads is refused.
"""

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter
from pydantic import Field, ValidationError
from starlette.responses import Response

from localmind.api.asking import jinja_of
from localmind.api.backend import Backend
from localmind.api.cards import card_named
from localmind.api.chat_messages import ChatMessage
from localmind.api.ollama.forms import ModelBody, Options, as_ollama_says
from localmind.api.ollama.modelfile import LONGEST, Recipe, go_template, parse
from localmind.api.ollama.models import free_name
from localmind.api.streams import JSON, LineStream, line
from localmind.errors import InvalidRequest, NotFound
from localmind.models.made import Made
from localmind.workers.elsewhere import RemoteModel

STEPS = ("reading model metadata", "creating system layer", "writing manifest", "success")
IMPORT = "localmind models import FILE.gguf"


class CreateBody(ModelBody):
    stream: bool | None = None
    from_: str | None = Field(None, alias="from", max_length=400)
    modelfile: str | None = Field(None, max_length=LONGEST)
    system: str | None = Field(None, max_length=LONGEST)
    template: str | None = Field(None, max_length=LONGEST)
    license: str | list[str] | None = None
    parameters: dict[str, Any] | None = None
    messages: list[ChatMessage] | None = None
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    quantize: str | None = None

    def recipe(self) -> Recipe:
        """Raises InvalidRequest."""
        for name in ("files", "adapters", "quantize"):
            if getattr(self, name):
                raise InvalidRequest(f"{name} is not supported by create", hint=IMPORT)
        recipe = parse(self.modelfile) if self.modelfile else Recipe()
        recipe.base = self.from_ or recipe.base
        recipe.system = self.system or recipe.system
        recipe.template = self.template or recipe.template
        recipe.parameters |= self.parameters or {}
        recipe.messages += [message.plain() for message in self.messages or ()]
        recipe.licence += [self.license] if isinstance(self.license, str) else self.license or []
        if not recipe.base:
            raise InvalidRequest("neither 'from' nor 'modelfile' was given")
        if recipe.base.startswith(("/", "./", "~")) or recipe.base.lower().endswith(".gguf"):
            raise InvalidRequest("FROM a file is not supported by create", hint=IMPORT)
        return recipe


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.post("/create")
    async def create(body: CreateBody) -> Response:
        """Make a model of another: lines of progress, then success."""
        name = free_name(backend, body.wanted)
        recipe = body.recipe()
        with as_ollama_says(recipe.base):
            card = await card_named(backend, recipe.base)
        if card.files or card.spec.role != "chat":
            raise InvalidRequest(f"{card.name} is no model to make others of", hint="choose a chat model")
        template = "" if recipe.template.strip() == go_template(card).strip() else recipe.template
        if template and isinstance(card.spec, RemoteModel):
            raise InvalidRequest(f"{card.name} is on another server, which lays conversations out itself")
        if template:
            jinja_of(template)  # says what it does not understand
        base = card.made or Made(name=name, base=card.spec.name)
        made = Made(
            name=name,
            base=base.base,
            system=recipe.system or base.system,
            template=template or base.template,
            parameters={**base.parameters, **checked(recipe.parameters)},
            messages=tuple(recipe.messages) or base.messages,
            licence="\n".join(recipe.licence) or base.licence,
        )
        backend.made.add(made)
        if body.stream is False:
            return JSON({"status": "success"})

        async def steps() -> AsyncGenerator[bytes, None]:
            for step in STEPS:
                yield line({"status": step})

        return LineStream(steps())

    @routes.post("/blobs/{digest}")
    @routes.head("/blobs/{digest}", include_in_schema=False)
    async def blob(digest: str) -> Response:
        """Refused: files come in by `localmind models import`."""
        raise NotFound("this server keeps no uploaded blobs", hint=IMPORT)

    return routes


def checked(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters that the API takes as options. Raises InvalidRequest for a value that it would refuse."""
    try:
        Options.model_validate(parameters).sampling(limit=None)
    except ValidationError as problem:
        first = problem.errors()[0]
        raise InvalidRequest(f"parameter {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from problem
    return parameters
