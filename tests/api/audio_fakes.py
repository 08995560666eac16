"""A hearer and a reader aloud that follow a script, and the application over them."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import httpx2
from api_fakes import HEAD, FakeEngines

from localmind import catalog
from localmind.api.app import create_app
from localmind.api.backend import Backend
from localmind.api.security import Gatekeeper
from localmind.catalog import ModelSpec
from localmind.errors import LocalmindError, ModelNotFound, VoiceMissing
from localmind.events import Done, Event, Progress
from localmind.paths import Paths
from localmind.speech import RecognizeOptions, Segment, Transcript, Word
from localmind.voice.voices import Speaker

HELLO = Segment(0, 0.0, 1.25, " Hello there.", tokens=(1, 2), words=(Word(0.0, 0.5, " Hello", 0.9),))
BYE = Segment(1, 61.5, 3661.004, " Bye --> now.")
LIMIT = 1 << 20


class FakeVoice:
    """Hears the same in every file."""

    def __init__(self) -> None:
        self.begin()

    def begin(self, *script: Event | Exception) -> None:
        self.script = script or (
            Progress("transcribe", 0),
            HELLO,
            BYE,
            Transcript("Hello there. Bye now.", "en", 1.0, 3661.0),
        )
        self.heard: list[tuple[bytes, str | None, RecognizeOptions]] = []
        self.closed = 0
        self.started = asyncio.Event()
        self.waiting: asyncio.Event | None = None

    def resolve(self, name: str | None = None, language: str | None = None, *, translate: bool = False) -> ModelSpec:
        if name == "unknown":
            raise ModelNotFound("no model named 'unknown'", hint="localmind models list")
        return catalog.Catalog(catalog.bundled()).find("whisper:tiny.en")

    async def transcribe(
        self, path: Path, options: RecognizeOptions, spec: ModelSpec, *, name: str | None = None
    ) -> AsyncGenerator[Event, None]:
        self.heard.append((path.read_bytes(), name, options))
        self.started.set()
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                yield step
            if self.waiting is not None:
                await self.waiting.wait()
            yield Done(model=spec.name)
        finally:
            self.closed += 1


class FakeReadAloud:
    """Says two pieces, or what it is told to fail with: first, or after the first piece."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.asked: list[tuple[str, str, str | None, float]] = []
        self.early: LocalmindError | None = VoiceMissing(
            "no voice is installed", hint="localmind models pull piper:joe"
        )
        self.late: LocalmindError | None = None

    def voices(self) -> list[Speaker]:
        return [] if self.early else [Speaker("en_US-joe", "piper", Path("a"), Path("b"), "en", 22050)]

    async def speak(
        self, text: str, form: str, *, voice: str | None = None, model: str | None = None, speed: float = 1.0
    ) -> AsyncGenerator[bytes, None]:
        self.asked.append((text, form, voice, speed))
        if self.early is not None:
            raise self.early
        yield b"one"
        if self.late is not None:
            raise self.late
        yield b"two"


class Served:
    """The application with a FakeVoice, and where it keeps uploads."""

    def __init__(self, home: Path, voice: FakeVoice) -> None:
        self.voice = voice
        self.aloud = FakeReadAloud()
        paths = Paths.find({"LOCALMIND_HOME": str(home)})
        self.uploads = paths.cache / "uploads"
        missing = cast(Any, None)
        known = {
            "paths": paths,
            "voice": voice,
            "read_aloud": self.aloud,
            "upload_limit": LIMIT,
            "port": 1,
            "index_workers": list,
            "catalog": catalog.Catalog(catalog.bundled()),
            "engines": FakeEngines(),
        }
        fields = {field: known.get(field, missing) for field in _required()}
        self.app = create_app(Backend(**fields, upload_limit=LIMIT), Gatekeeper(1, "t"))
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=cast(Any, self.app), raise_app_exceptions=False),
            base_url="http://localhost:1",
            headers=HEAD,
        )

    async def post(
        self, data: dict[str, Any] | None = None, *, file: bytes = b"sound", what: str = "transcriptions"
    ) -> Any:
        files = {"file": ("speech.mp3", file, "audio/mpeg")}
        return await self.http.post(f"/v1/audio/{what}", data=data or {}, files=files)

    def left(self) -> list[Path]:
        return list(self.uploads.iterdir()) if self.uploads.exists() else []


def _required() -> list[str]:
    return [
        field.name
        for field in dataclasses.fields(Backend)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
