"""Text to tokens and back, and conversations to prompts: what editors plan their room with."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from localmind.api.asking import dressed, target_of
from localmind.api.backend import Backend
from localmind.api.native.engine import MOST_TEXT, MOST_TOKENS
from localmind.api.openai_chat import ChatRequest
from localmind.api.streams import JSON, unless_gone


class TokenizeBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: str = "default"
    content: str = Field("", max_length=MOST_TEXT)
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: str = "default"
    tokens: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(default_factory=list, max_length=MOST_TOKENS)


def router(backend: Backend) -> APIRouter:
    routes = APIRouter()

    @routes.post("/tokenize")
    async def tokenize(body: TokenizeBody, request: Request) -> Response:
        """The model's token ids of a text, with `with_pieces` each with its own text."""
        spec = (await target_of(backend, body.model)).spec
        given = {"text": body.content, "add_special": body.add_special, "parse_special": body.parse_special}
        tokens = await unless_gone(request, backend.engines.ask(spec, "tokenize", **given))
        if not body.with_pieces:
            return JSON({"tokens": tokens})
        pieces = await unless_gone(request, backend.engines.ask(spec, "detokenize", tokens=tokens, apart=True))
        return JSON(
            {"tokens": [{"id": token, "piece": _shown(piece)} for token, piece in zip(tokens, pieces, strict=True)]}
        )

    @routes.post("/detokenize")
    async def detokenize(body: DetokenizeBody, request: Request) -> Response:
        """The text of token ids."""
        spec = (await target_of(backend, body.model)).spec
        return JSON(
            {"content": await unless_gone(request, backend.engines.ask(spec, "detokenize", tokens=body.tokens))}
        )

    @routes.post("/apply-template")
    async def apply_template(body: ChatRequest, request: Request) -> Response:
        """The prompt that a conversation becomes."""
        target = await target_of(backend, body.model, body)
        asked = dressed(target, body.generation(request))
        await backend.engines.outside.permit_images(target.spec, asked.messages)
        given = {
            "messages": msgspec.to_builtins(asked.messages),
            "tools": msgspec.to_builtins(asked.tools),
            "thinking": asked.thinking,
            "template_kwargs": asked.template_kwargs,
            "template": asked.template,
        }
        return JSON(await unless_gone(request, backend.engines.ask(target.spec, "apply_template", **given)))

    return routes


def _shown(piece: bytes) -> Any:
    """Text, or the bytes of half a character."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
