"""OpenAI's audio dialect: recordings to text in every response format, streamed or whole.

Owns the form's fields and the answers' shapes; the daemon's Voice does the hearing. Any name of OpenAI's means the
model that is here. A client that hangs up stops the work at its next window.
"""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from localmind.api.backend import Backend
from localmind.api.streams import JSON, EventStream, sse, unless_gone
from localmind.api.uploads import Upload, received
from localmind.catalog import ModelSpec
from localmind.errors import InternalError, InvalidRequest, LocalmindError
from localmind.events import Event
from localmind.speech import RecognizeOptions, Segment, Task, Transcript
from localmind.subtitles import srt, verbose, vtt

Format = Literal["json", "text", "srt", "verbose_json", "vtt"]


@dataclass(slots=True, frozen=True)
class Wanted:
    """A form, checked."""

    options: RecognizeOptions
    format: Format
    segments: bool
    stream: bool


def router(backend: Backend) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/audio/transcriptions")
    async def transcriptions(request: Request) -> Response:
        """What was said, in the language in which it was said."""
        return await _heard(backend, request, "transcribe")

    @routes.post("/v1/audio/translations")
    async def translations(request: Request) -> Response:
        """What was said, in English."""
        return await _heard(backend, request, "translate")

    return routes


async def _heard(backend: Backend, request: Request, task: Task) -> Response:
    keeping = contextlib.AsyncExitStack()
    async with keeping:
        upload = await keeping.enter_async_context(
            received(request, backend.paths.cache / "uploads", backend.upload_limit)
        )
        wanted = read_form(upload, task)
        spec = backend.voice.resolve(upload.one("model"), wanted.options.language, translate=task == "translate")
        events = backend.voice.transcribe(upload.path, wanted.options, spec, name=upload.name or "the file")
        if not wanted.stream:
            segments, transcript = await unless_gone(request, _whole(events))
            return _answer(wanted, segments, transcript)
        # A stream outlives this function, and the file lives as long as the stream. Its first event is awaited here,
        # so that a file that cannot be read is a status and not a stream.
        first = await unless_gone(request, _first(events))
        return EventStream(_streamed(first, events, keeping.pop_all(), spec))


def read_form(upload: Upload, task: Task) -> Wanted:
    """The fields as OpenAI documents them. Raises InvalidRequest."""
    if not upload.has_file:
        raise InvalidRequest("the form has no `file`", hint="curl -F file=@speech.mp3 -F model=whisper-1 …")
    form = upload.one("response_format") or "json"
    if form not in get_args(Format):
        raise InvalidRequest(f"response_format: {form!r} is none of {', '.join(get_args(Format))}")
    grains = upload.many("timestamp_granularities")
    if unknown := [grain for grain in grains if grain not in ("word", "segment")]:
        raise InvalidRequest(f"timestamp_granularities: {unknown[0]!r} is neither word nor segment")
    if grains and form != "verbose_json":
        raise InvalidRequest("timestamp_granularities needs response_format=verbose_json")
    stream = _flag(upload, "stream")
    if stream and form not in ("json", "text"):
        raise InvalidRequest("stream: only json and text can be streamed")
    language = upload.one("language")
    options = RecognizeOptions(
        language=None if task == "translate" and language is None else _language(language),
        task=task,
        prompt=_short(upload, "prompt"),
        hotwords=_short(upload, "hotwords"),
        temperature=_temperature(upload),
        words="word" in grains,
    )
    return Wanted(options, cast(Format, form), not grains or "segment" in grains, stream)


def _language(given: str | None) -> str | None:
    """ISO 639-1; clients send `en-US`, `EN` and `auto` as well."""
    if given is None or given.lower() == "auto":
        return None
    return given.lower().replace("_", "-").partition("-")[0]


def _temperature(upload: Upload) -> float | None:
    """0 is OpenAI's word for "as you see fit", and every SDK's default."""
    text = upload.one("temperature")
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        raise InvalidRequest(f"temperature: {text!r} is not a number") from None
    if not 0 <= value <= 1:
        raise InvalidRequest("temperature must be between 0 and 1")
    return value or None


def _flag(upload: Upload, key: str) -> bool:
    text = (upload.one(key) or "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"{key}: {text!r} is neither true nor false")
    return text in ("true", "1")


def _short(upload: Upload, key: str) -> str | None:
    text = upload.one(key)
    if text is not None and len(text) > 10_000:
        raise InvalidRequest(f"{key} is longer than 10,000 characters")
    return text


async def _whole(events: AsyncGenerator[Event, None]) -> tuple[list[Segment], Transcript]:
    segments: list[Segment] = []
    transcript: Transcript | None = None
    async with contextlib.aclosing(events):
        async for event in events:
            match event:
                case Segment():
                    segments.append(event)
                case Transcript():
                    transcript = event
    if transcript is None:
        raise InternalError("the recording ended without a transcript", hint="send the request again")
    return segments, transcript


def _answer(wanted: Wanted, segments: list[Segment], transcript: Transcript) -> Response:
    match wanted.format:
        case "text":
            return PlainTextResponse(transcript.text + "\n")
        case "srt":
            return PlainTextResponse(srt(segments))
        case "vtt":
            return PlainTextResponse(vtt(segments), media_type="text/vtt")
        case "verbose_json":
            return JSON(verbose(transcript, segments, with_segments=wanted.segments, with_words=wanted.options.words))
    return JSON({"text": transcript.text, "usage": _usage(transcript)})


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(transcript.duration)}


async def _first(events: AsyncGenerator[Event, None]) -> list[Event]:
    """The events up to the first that only a readable recording has."""
    held: list[Event] = []
    try:
        async for event in events:
            held.append(event)
            if isinstance(event, Segment | Transcript) or getattr(event, "stage", "") == "transcribe":
                return held
    except BaseException:
        await events.aclose()
        raise
    return held


async def _streamed(
    first: list[Event], rest: AsyncGenerator[Event, None], keeping: contextlib.AsyncExitStack, spec: ModelSpec
) -> AsyncGenerator[bytes, None]:
    """transcript.text.delta for each segment, then transcript.text.done; an error in the middle is an event too."""
    async with keeping, contextlib.aclosing(rest):
        said = ""
        try:
            for event in first:
                for line in _lines(event, said):
                    yield line
                said += event.text if isinstance(event, Segment) else ""
            async for event in rest:
                for line in _lines(event, said):
                    yield line
                said += event.text if isinstance(event, Segment) else ""
        except LocalmindError as problem:
            from localmind.api.error_forms import openai_error

            yield sse({"type": "error", **openai_error(problem)})
        yield b"data: [DONE]\n\n"


def _lines(event: Event, said: str) -> list[bytes]:
    match event:
        case Segment():
            return [sse({"type": "transcript.text.delta", "delta": event.text if said else event.text.lstrip()})]
        case Transcript():
            return [sse({"type": "transcript.text.done", "text": event.text})]
    return []
