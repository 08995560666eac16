"""Native routes of speech: a file on this machine to text, and live sound to text while somebody speaks.

Live is three calls, so that any HTTP client can do it: POST /listen answers with events for as long as it is open,
its first one names the listening; POST /listen/ID/sound brings more sound; POST /listen/ID/end says that this was
all. Hanging up on the events cancels.
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from localmind.api.backend import Backend
from localmind.api.native.path import absolute
from localmind.api.openai_speech import SpeechRequest, listed, spoken
from localmind.api.streams import JSON, EventStream, native_sse, started, unless_gone
from localmind.errors import Cancelled, TooLarge
from localmind.speech import RecognizeOptions, Task

MOST_SOUND = 4 << 20
"""Bytes in one call: two minutes."""


class How(BaseModel):
    """What transcribing and listening have in common."""

    model: str | None = None
    language: str | None = Field(None, max_length=10)
    prompt: str | None = Field(None, max_length=10_000)
    task: Task = "transcribe"

    def options(self, **more: Any) -> RecognizeOptions:
        language = self.language.lower().partition("-")[0] if self.language else None
        return RecognizeOptions(language=language, task=self.task, prompt=self.prompt, **more)


class TranscribeRequest(How):
    path: str = Field(min_length=1, max_length=10_000)
    words: bool = False
    gate: bool = True


class ListenRequest(How):
    silence_s: float | None = Field(1.2, ge=0.3, le=60)
    patience_s: float | None = Field(None, ge=1, le=3600)
    longest_s: float = Field(1800, gt=0, le=24 * 3600)
    continuous: bool = False
    partial: bool = True


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(prefix="/localmind/v1")

    @routes.post("/transcribe")
    async def transcribe(body: TranscribeRequest, request: Request) -> Response:
        """Text of a sound file: Progress and Segments as they come, then the Transcript."""
        path = absolute(body.path)
        options = body.options(words=body.words, gate=body.gate)
        spec = backend.voice.resolve(body.model, options.language, translate=body.task == "translate")
        events = backend.voice.transcribe(path, options, spec)
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.post("/listen")
    async def listen(body: ListenRequest, request: Request) -> Response:
        """Begin to listen. The events: Listening, Heard while somebody speaks, a Transcript, Done."""
        options = body.options()
        spec = backend.voice.resolve(body.model, options.language, translate=body.task == "translate")
        live = {
            "recognize": msgspec.to_builtins(options),
            "silence_s": body.silence_s,
            "patience_s": body.patience_s,
            "longest_s": body.longest_s,
            "continuous": body.continuous,
            "partial": body.partial,
        }
        events = backend.voice.listen(live, spec)
        return EventStream(native_sse(await unless_gone(request, started(events))))

    @routes.post("/listen/{key}/sound")
    async def sound(key: str, request: Request) -> Response:
        """More sound: 16 kHz, one channel, 16 bits, little-endian."""
        pcm = bytearray()
        try:
            async for chunk in request.stream():
                pcm += chunk
                if len(pcm) > MOST_SOUND:
                    raise TooLarge(f"more than {MOST_SOUND >> 20} MB of sound in one call", hint="send it in pieces")
        except ClientDisconnect as problem:
            raise Cancelled("the client went away while it was sending") from problem
        await backend.voice.hear(key, bytes(pcm))
        return JSON({})

    @routes.post("/listen/{key}/end")
    async def end(key: str) -> Response:
        """No more sound: the text follows among the events."""
        await backend.voice.finish(key)
        return JSON({})

    @routes.post("/speak")
    async def speak(body: SpeechRequest, request: Request) -> Response:
        """Text as sound, in the form of /v1/audio/speech, which needs no HTTP dialect of its own."""
        return await spoken(backend, body, request)

    @routes.get("/voices")
    async def voices() -> Response:
        """The voices that are here and read aloud."""
        return JSON({"voices": listed(backend)})

    @routes.get("/voice")
    async def voice() -> Response:
        """Which speech models are here, what runs, and which microphone the user chose."""
        return JSON(
            {
                **backend.voice.status(),
                "models": [spec.name for spec in backend.voice.installed()],
                "microphone": backend.microphone,
            }
        )

    return routes
