"""The voice worker: recordings and live sound in, segments and text out, by one Whisper model at a time.

Every call names the model, so a restarted worker needs no ceremony; another model takes the place of the loaded one.
Each recording is a thread of its own that waits for its turns (turns.py). It never writes a file and never opens one
that it was not given.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from localmind.errors import InvalidRequest, NotFound
from localmind.events import Event, Progress, encode
from localmind.speech import SAMPLE_RATE, RecognizeOptions, Transcript
from localmind.voice.audio import Recording
from localmind.voice.live import Inbox, ListenOptions, Live
from localmind.voice.parts import Ask, Parts
from localmind.voice.recognizer import Language, Place, Recognizer
from localmind.voice.turns import Turns
from localmind.workers.runtime import Reply, WorkerMain, as_typed

log = logging.getLogger("localmind.voice")


class VoiceWorker:
    """A WorkerMain. Methods: `load`, `transcribe`, `part`, `listen`, `hear`, `finish`, `make_way`."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._loading = threading.Lock()
        self._recognizer: Recognizer | None = None
        self._live: dict[str, Inbox] = {}
        self._parts = Parts()

    def call(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        match method:
            case "hear":
                self._inbox(params["id"]).put(params["pcm"])
                reply.result()
            case "finish":
                self._inbox(params["id"]).end()
                reply.result()
            case "make_way":
                self._turns.make_way(bool(params["yielding"]))
                reply.result()
            case "load":
                self._in_thread(reply, lambda: self._told(self._loaded(params)))
            case "transcribe":
                self._in_thread(reply, lambda: self._transcribe(params, reply))
            case "part":
                self._in_thread(reply, lambda: self._part(params, reply))
            case "listen":
                # The inbox is there before the thread: sound may follow the call at once.
                self._live[params["id"]] = inbox = Inbox()
                self._in_thread(reply, lambda: self._listen(params, reply, inbox))
            case _:
                raise InvalidRequest(f"this worker has no method {method!r}")

    def cancel(self, call_id: int) -> None:
        """Each thread asks its reply between two steps."""

    def busy_seconds(self) -> float:
        return self._turns.busy_s

    def close(self) -> None:
        for inbox in list(self._live.values()):
            inbox.end()

    def _inbox(self, key: str) -> Inbox:
        try:
            return self._live[key]
        except KeyError:
            raise NotFound("nobody listens there any more", hint="start listening again") from None

    @staticmethod
    def _in_thread(reply: Reply, work: Callable[[], Any]) -> None:
        def run() -> None:
            try:
                reply.result(work())
            except Exception as problem:  # every failure must reach the one who asked
                reply.fail(as_typed(problem))

        threading.Thread(target=run, name=f"call {reply.id}", daemon=True).start()

    def _loaded(self, params: dict[str, Any]) -> Recognizer:
        place = msgspec.convert(params["place"], Place)
        with self._loading:
            if self._recognizer is None or self._recognizer.place != place:
                self._recognizer = None  # first out, then in: two models would double the memory
                self._recognizer = Recognizer(place, self._turns)
            return self._recognizer

    @staticmethod
    def _told(recognizer: Recognizer) -> dict[str, Any]:
        return {"multilingual": recognizer.multilingual, "stepped_down": recognizer.stepped_down}

    def _transcribe(self, params: dict[str, Any], reply: Reply) -> dict[str, Any]:
        options = msgspec.convert(params.get("options") or {}, RecognizeOptions)
        recording = Recording(Path(params["path"]), params.get("name"))
        recognizer = self._loaded(params)
        recognizer.check(options)
        events = transcribed(recognizer, recording, options, lambda: reply.cancelled, str(params.get("model", "")))
        for event in events:
            if isinstance(event, Transcript):
                return encode(event)
            reply.item(encode(event))
        raise AssertionError("a transcription ends with its transcript")

    def _part(self, params: dict[str, Any], reply: Reply) -> dict[str, Any]:
        recognizer = self._loaded(params)
        asked = msgspec.convert(params["ask"], Ask)
        part: dict[str, Any] = msgspec.to_builtins(self._parts.hear(recognizer, asked, lambda: reply.cancelled))
        return part

    def _listen(self, params: dict[str, Any], reply: Reply, inbox: Inbox) -> None:
        try:
            options = msgspec.convert(params.get("options") or {}, ListenOptions)
            recognizer = self._loaded(params)
            recognizer.check(options.recognize)
            reply.item({"type": "Listening", "id": params["id"], "model": params.get("model", "")})

            def say(event: Event) -> None:
                reply.item(encode(event))

            Live(
                recognizer,
                options,
                inbox,
                say,
                lambda: reply.cancelled,
                model=str(params.get("model", "")),
            ).run()
        finally:
            self._live.pop(params["id"], None)


@dataclass(slots=True)
class Reached:
    """Seconds of a recording that have been understood: its rank among others."""

    seconds: float = 0.0


def transcribed(
    recognizer: Recognizer, recording: Recording, options: RecognizeOptions, gone: Callable[[], bool], model: str = ""
) -> Iterator[Event]:
    """A whole recording: Progress and Segments as they come, then its Transcript."""
    language = Language(options.language)
    texts: list[str] = []
    at = Reached()
    speech_s = duration = 0.0
    reason = ""
    with contextlib.closing(recording.windows()) as windows:
        for start, audio in windows:
            duration = start + len(audio) / SAMPLE_RATE
            total = max(duration, recording.duration_hint or 0.0)
            yield Progress("transcribe", round(start, 1), round(total, 1), "s", f"hearing {recording.name}")
            verdict = recognizer.judge(audio, options, at.seconds, gone)
            speech_s += verdict.speech_s
            reason = verdict.reason
            found = recognizer.segments(
                audio,
                verdict,
                options,
                language,
                rank=lambda: at.seconds,
                gone=gone,
                first_id=len(texts),
                offset=start,
            )
            for segment in found:
                texts.append(segment.text)
                at.seconds = segment.end
                yield segment
                yield Progress("transcribe", round(min(at.seconds, total), 1), round(total, 1), "s")
            at.seconds = duration
    yield Progress("transcribe", round(duration, 1), round(duration, 1), "s")
    text = "".join(texts).strip()
    yield Transcript(
        text,
        language.code or "",
        round(language.probability, 4),
        round(duration, 3),
        round(speech_s, 3),
        options.task,
        model,
        "" if text else reason or "there are sounds, but no words",
    )


def create() -> WorkerMain:
    """Entry point of the worker kind `voice`."""
    return VoiceWorker()
