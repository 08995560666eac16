"""A sound file in the place of a microphone, played at the speed of speech: for trying things, and for tests."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from localmind.errors import AudioUnreadable
from localmind.microphone.capture import PIECE_S

SAMPLE_RATE = 16_000


class FileCapture:
    """A Capture of a wav, mp3, flac or ogg (Vorbis) file. After its end there is silence, as in a room."""

    def __init__(self, path: Path, *, speed: float = 1.0) -> None:
        """`speed` 0 plays as fast as it is taken. Raises AudioUnreadable."""
        import miniaudio

        self.name = path.name
        self._speed = speed
        self._closed = threading.Event()
        try:
            sound = miniaudio.decode_file(
                str(path), output_format=miniaudio.SampleFormat.SIGNED16, nchannels=1, sample_rate=SAMPLE_RATE
            )
        except (miniaudio.MiniaudioError, OSError) as problem:
            raise AudioUnreadable(f"{path} cannot be played", hint="use a wav, mp3, flac or ogg file") from problem
        self._pcm = sound.samples.tobytes()

    def __enter__(self) -> "FileCapture":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pieces(self) -> Iterator[bytes]:
        step = int(PIECE_S * SAMPLE_RATE) * 2
        began, number = time.monotonic(), 0
        while not self._closed.is_set():
            piece = self._pcm[number * step : (number + 1) * step]
            number += 1
            if self._speed:
                self._closed.wait(max(0.0, began + number * PIECE_S / self._speed - time.monotonic()))
            yield piece + bytes(step - len(piece))

    def close(self) -> None:
        self._closed.set()
