"""The speaker worker: text in, encoded sound out, by one voice at a time. One text after another."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from localmind.voice.encoding import SoundFormat, encoded
from localmind.voice.synthesis import Place, Synthesizer, opened
from localmind.workers.runtime import BlockingWorker, Reply, WorkerMain


class Speaking:
    """Methods `load` and `speak`; every call names the voice, so a restarted worker needs no ceremony."""

    def __init__(self, opening: Callable[[Place], Synthesizer] = opened) -> None:
        self._opening = opening
        self._lock = threading.Lock()
        self._place: Place | None = None
        self._voice: Synthesizer | None = None
        self.stepped_at = 0.0
        """When the latest piece of sound was made."""

    def load(self, params: dict[str, Any], reply: Reply) -> None:
        self._loaded(params)

    def speak(self, params: dict[str, Any], reply: Reply) -> dict[str, float]:
        """`{place, text, speed, format}` → pieces of sound, then `{seconds}`."""
        voice, place = self._loaded(params), msgspec.convert(params["place"], Place)
        count = 0

        def counted() -> Iterator[bytes]:
            nonlocal count
            for piece in voice.speak(params["text"], float(params["speed"]), lambda: reply.cancelled):
                count += len(piece) // 2
                self.stepped_at = time.monotonic()
                yield piece

        for data in encoded(counted(), place.rate, cast(SoundFormat, params["format"])):
            reply.item(data)
        return {"seconds": count / place.rate}

    def _loaded(self, params: dict[str, Any]) -> Synthesizer:
        place = msgspec.convert(params["place"], Place)
        with self._lock:
            if self._voice is None or self._place != place:
                self._voice = None  # first out, then in
                self._voice, self._place = self._opening(place), place
            return self._voice


class SpeakerWorker(BlockingWorker):
    """Busy since the latest sentence, not since the beginning of a text: a long one is not hung."""

    def __init__(self, speaking: Speaking) -> None:
        super().__init__({"load": speaking.load, "speak": speaking.speak})
        self._speaking = speaking

    def busy_seconds(self) -> float:
        return min(super().busy_seconds(), time.monotonic() - self._speaking.stepped_at)


def create() -> WorkerMain:
    """Entry point of the worker kind `speaker`."""
    return SpeakerWorker(Speaking())
