"""Long recordings that nobody waits for, heard some minutes at a time: what watched folders hold.

Between two parts whoever asks may wait as long as it likes, keep what came, and go on after a restart, since a part
is named by where it begins. The file stays open between two parts that follow each other; another file, or another
place, closes it. Parts come after everything that somebody waits for.
"""

import os
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localmind.errors import AudioUnreadable
from localmind.speech import SAMPLE_RATE, Part, RecognizeOptions
from localmind.voice.audio import Recording, Samples
from localmind.voice.recognizer import Language, Recognizer

PART_S, LAST_S = 240, 330
"""A part is cut at the quietest place before the first figure; what is shorter than the second is one part."""
RANK = 1e9
"""Behind every recording that somebody sent."""


class Ask(msgspec.Struct, frozen=True):
    """One part. `start` is the `until` of the one before."""

    path: str
    start: int = 0
    language: str | None = None


@dataclass(slots=True, frozen=True)
class _Open:
    path: str
    version: tuple[int, int, int]
    recording: Recording
    windows: Generator[tuple[float, Samples], None, None]


class Parts:
    """Keeps at most one recording open. One part is decoded at a time, whoever asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: _Open | None = None
        self._at = 0

    def hear(self, recognizer: Recognizer, ask: Ask, gone: Callable[[], bool]) -> Part:
        """Raises AudioUnreadable, Cancelled, and what the recognizer raises."""
        with self._lock:
            open_ = self._opened(ask)
            found = next(open_.windows, None)
            # Asked for again after a failure or a cancelled call, the same part is decoded anew.
            self._at = -1
            if found is None:
                self._close()
                return Part((), ask.start, ask.start / SAMPLE_RATE, ask.language or "", done=True)
            start, audio = found
            until = ask.start + len(audio)
            said, language = self._heard(recognizer, audio, start, ask.language, gone)
            self._at = until
            heard_s = until / SAMPLE_RATE
            return Part(said, until, max(heard_s, open_.recording.duration_hint or 0.0), language)

    def _heard(
        self, recognizer: Recognizer, audio: Samples, start: float, code: str | None, gone: Callable[[], bool]
    ) -> tuple[tuple[tuple[float, str], ...], str]:
        options = RecognizeOptions(language=code)
        language = Language(code)
        verdict = recognizer.judge(audio, options, RANK + start, gone)
        segments = recognizer.segments(
            audio, verdict, options, language, rank=lambda: RANK + start, gone=gone, offset=start
        )
        said = tuple((round(each.start, 2), each.text.strip()) for each in segments)
        # Silence and music have no language: the next part may find out.
        return said, language.code or "" if said else code or ""

    def _opened(self, ask: Ask) -> _Open:
        try:
            status = os.stat(ask.path)
        except OSError as problem:
            raise AudioUnreadable(f"{Path(ask.path).name} cannot be opened: {problem.strerror}") from problem
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        now = self._open
        if now is not None and (now.path, now.version, self._at) == (ask.path, version, ask.start):
            return now
        self._close()
        recording = Recording(Path(ask.path))
        windows = recording.windows(ask.start, whole_s=LAST_S, window_s=PART_S)
        self._open = _Open(ask.path, version, recording, windows)
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            self._open.windows.close()
            self._open = None
