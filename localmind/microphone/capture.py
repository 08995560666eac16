"""What a source of sound is to the rest of localmind, and how loud a piece of it is. No device is known here."""

import array
import math
import sys
from collections.abc import Iterator
from typing import Protocol

PIECE_S = 0.1
"""Seconds of sound in a piece: short enough for a lively meter, long enough to cost little."""

FLOOR_DB = -60.0


class Capture(Protocol):
    """Sound in pieces of about PIECE_S: 16 kHz, one channel, 16 bits, little-endian. Closing it ends the iteration."""

    name: str
    """For people: the device."""

    def __enter__(self) -> "Capture": ...
    def __exit__(self, *_: object) -> None: ...
    def pieces(self) -> Iterator[bytes]:
        """Blocks until a piece is there. Ends after `close`. Raises MicrophoneBusy when the device goes away."""

    def close(self) -> None:
        """Let the device go. May be called from any thread and more than once."""


def loudness_db(pcm: bytes) -> float:
    """Root mean square of a piece, in dB below full scale; FLOOR_DB at the least."""
    samples = array.array("h", pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    if not samples:
        return FLOOR_DB
    some = samples[::4]  # a meter needs no more, and this is Python
    power = sum(sample * sample for sample in some) / len(some)
    return max(FLOOR_DB, 10 * math.log10(power / 32768**2)) if power else FLOOR_DB


def meter(pcm: bytes) -> float:
    """Loudness for a bar: 0 is silence, 1 is full scale. Speech near a microphone is about 0.5 to 0.8."""
    return 1.0 - loudness_db(pcm) / FLOOR_DB
