"""OpenAI's speech dialect: text to sound in every format, whole, as bytes that come while they are made, or as events.

Owns the body's fields and the answer's shape; the daemon's ReadAloud does the speaking. Where no voice is installed
that is a 501 with what to type; OpenAI's names of voices and models mean the one that is here.
"""

import base64
from collections.abc import AsyncGenerator
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.streams import JSON, EventStream, sse, unless_gone
from localmind.errors import InternalError, LocalmindError

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
MEDIA: dict[str, str] = {
    "mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav",
    "pcm": "audio/pcm",
}  # fmt: skip


class Named(BaseModel):
    """A voice as newer clients name it."""

    id: str = Field(max_length=200)


class SpeechRequest(BaseModel):
    """The body of /v1/audio/speech. `instructions` are how to say it, which no voice here understands."""

    input: str = Field(min_length=1, max_length=1_000_000)
    model: str = Field("tts-1", max_length=200)
    voice: str | Named = "default"
    instructions: str | None = Field(None, max_length=100_000)
    response_format: SpeechFormat = "mp3"
    speed: float = Field(1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"

    @property
    def voice_name(self) -> str:
        return self.voice.id if isinstance(self.voice, Named) else self.voice


class SoundStream(EventStream):
    """Bytes as they are made; nothing can be said in a silence."""

    keepalive = None

    def __init__(self, chunks: AsyncGenerator[bytes, None], media_type: str) -> None:
        self.media_type = media_type
        super().__init__(chunks)


def router(backend: Backend) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/audio/speech")
    async def speech(body: SpeechRequest, request: Request) -> Response:
        """A text read aloud by an installed Piper or Kokoro voice."""
        return await spoken(backend, body, request)

    @routes.get("/v1/audio/voices")
    async def voices() -> Response:
        """The voices that are here; Open WebUI and others ask for this list."""
        return JSON({"voices": listed(backend)})

    return routes


async def spoken(backend: Backend, body: SpeechRequest, request: Request) -> Response:
    """The answer. Its first piece is awaited here, so that what fails early is a status and not a broken stream."""
    pieces = backend.read_aloud.speak(
        body.input, body.response_format, voice=body.voice_name, model=body.model, speed=body.speed
    )
    first = await unless_gone(request, _first(pieces))
    if body.stream_format == "sse":
        return EventStream(_events(first, pieces))
    return SoundStream(_bytes(first, pieces), MEDIA[body.response_format])


def listed(backend: Backend) -> list[dict[str, Any]]:
    return [
        {"id": each.name, "name": each.name, "engine": each.engine, "language": each.language}
        for each in backend.read_aloud.voices()
    ]


async def _first(pieces: AsyncGenerator[bytes, None]) -> bytes:
    try:
        return await anext(pieces)
    except StopAsyncIteration:
        raise InternalError("the voice said nothing", hint="send the request again") from None
    except BaseException:
        await pieces.aclose()
        raise


async def _bytes(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        async for piece in pieces:
            yield piece
    finally:
        await pieces.aclose()


async def _events(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """speech.audio.delta for each piece, then speech.audio.done; an error in the middle is an event too."""
    try:
        async for piece in _bytes(first, pieces):
            yield sse({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
        yield sse({"type": "speech.audio.done", "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}})
    except LocalmindError as problem:
        from localmind.api.error_forms import openai_error

        yield sse({"type": "error", **openai_error(problem)})
