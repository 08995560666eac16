"""Plays samples as they come, on the loudspeaker of whoever sits at the terminal: miniaudio, as for the microphone."""

import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

from localmind.errors import LoudspeakerMissing
from localmind.microphone.device import quiet_stderr, real_backends

RATE = 24_000
"""Samples a second, one channel, 16 bits, little-endian: what /v1/audio/speech calls pcm."""
LAST_S = 0.3
"""A device plays what it holds after the last sample was handed over."""


class Player(Protocol):
    def play(self, pieces: Iterable[bytes]) -> None:
        """Blocks until everything was heard, or `stop` was called. Raises LoudspeakerMissing."""

    def stop(self) -> None:
        """Silence now. From any thread."""


class Loudspeaker:
    """The system's default one."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def play(self, pieces: Iterable[bytes]) -> None:
        import miniaudio

        heard = threading.Event()
        try:
            with quiet_stderr():
                device = miniaudio.PlaybackDevice(
                    output_format=miniaudio.SampleFormat.SIGNED16,
                    nchannels=1,
                    sample_rate=RATE,
                    backends=real_backends(),
                    app_name="localmind",
                )
        except miniaudio.MiniaudioError as problem:
            raise LoudspeakerMissing(
                f"nothing here plays sound ({problem.args[0]})", hint="localmind say -o FILE.mp3 writes it to a file"
            ) from problem
        waiting = Waiting()
        try:
            source = waiting.frames(heard)
            next(source)
            device.start(source)
            for piece in pieces:
                if self._over.is_set():
                    return
                waiting.put(piece)
            waiting.end()
            while not heard.wait(0.1) and not self._over.is_set():
                continue
            self._over.wait(LAST_S)
        finally:
            with quiet_stderr():
                device.close()

    def stop(self) -> None:
        self._over.set()


class Waiting:
    """Samples between those who make them and the device's own thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._data = bytearray()
        self._ended = False

    def put(self, piece: bytes) -> None:
        with self._lock:
            self._data += piece

    def end(self) -> None:
        with self._lock:
            self._ended = True

    def frames(self, heard: threading.Event) -> Generator[bytes, int, None]:
        """As miniaudio asks: so many frames each time, silence where none have come yet."""
        wanted = yield b""
        while True:
            with self._lock:
                size = 2 * wanted
                piece = bytes(self._data[:size])
                del self._data[:size]
                if self._ended and not self._data:
                    heard.set()
            wanted = yield piece + bytes(size - len(piece))


def whole(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of whole samples, wherever the network cut them."""
    odd = b""
    for piece in pieces:
        data = odd + piece
        size = len(data) // 2 * 2
        odd = data[size:]
        if size:
            yield data[:size]
