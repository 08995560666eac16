"""Sound files of any kind as windows of 16 kHz mono, decoded as they are needed.

Decoding is FFmpeg's, through PyAV, which faster-whisper brings. A file is never in memory whole: three hours are
690 MB as samples, and Whisper's spectrum of them several times that. What a recording holds is hostile input, so only
containers of sound are opened: FFmpeg would otherwise follow a playlist to any file or address it names.
"""

import gc
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from localmind.errors import AudioUnreadable
from localmind.speech import SAMPLE_RATE
from localmind.voice.files import check, locked

Samples = npt.NDArray[np.float32]

WHOLE_S = 15 * 60
"""A recording up to this long is one window, and so exactly what faster-whisper makes of it."""
WINDOW_S = 10 * 60
"""Longer ones are cut about here, at the quietest place nearby."""
SEARCH_S = 30
BLOCK = SAMPLE_RATE // 50

CONTAINERS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,w64,wav"
)
"""Demuxers that read the one file they are given and nothing else."""

KINDS = "wav, mp3, flac, ogg, m4a or webm"


class Recording:
    """An open sound file. `windows` may be taken once."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        """`name` is what the user calls it. Raises AudioUnreadable."""
        self.name = name or path.name
        check(path, self.name)
        try:
            self._container: Any = av.open(
                str(path), mode="r", metadata_errors="ignore", options={"format_whitelist": CONTAINERS}
            )
        except PermissionError as problem:
            raise locked(path, self.name) from problem
        except (av.error.FFmpegError, OSError, ValueError) as problem:
            raise self._unreadable() from problem
        if not self._container.streams.audio:
            self._container.close()
            raise AudioUnreadable(f"{self.name} has no sound in it")
        length = self._container.duration
        self.duration_hint: float | None = length / 1e6 if length and length > 0 else None
        """Seconds, by the file's own word."""

    def windows(
        self, skip: int = 0, *, whole_s: int = WHOLE_S, window_s: int = WINDOW_S
    ) -> Generator[tuple[float, Samples], None, None]:
        """(start in seconds, samples between -1 and 1). Raises AudioUnreadable when nothing can be decoded.

        The first `skip` samples are decoded and left out: seeking would miss by seconds where a file has no index.
        """
        held: list[Samples] = []
        count, start = 0, skip
        passed = 0
        try:
            for piece in self._pieces():
                passed += len(piece)
                if passed <= skip:
                    continue
                held.append(piece[max(0, len(piece) - (passed - skip)) :])
                count += len(held[-1])
                if count > whole_s * SAMPLE_RATE:
                    joined = np.concatenate(held)
                    cut = quiet_place(joined, (window_s - SEARCH_S) * SAMPLE_RATE, window_s * SAMPLE_RATE)
                    held, count = [joined[cut:].copy()], count - cut
                    yield start / SAMPLE_RATE, joined[:cut]
                    start += cut
                    del joined
        finally:
            self._container.close()
            gc.collect()  # the resampler's buffers go only now (faster-whisper #390)
        if not passed:
            raise self._unreadable()
        if count:
            yield start / SAMPLE_RATE, np.concatenate(held)

    def _pieces(self) -> Iterator[Samples]:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        fifo = av.AudioFifo()
        for frame in self._frames():
            frame.pts = None  # a file's own times may jump
            try:
                fifo.write(frame)
            except ValueError:
                # The stream changed its rate or layout on the way: what came before is one piece, and a new one begins.
                yield from self._resampled(resampler, fifo.read())
                yield from self._resampled(resampler, None)
                resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
                fifo = av.AudioFifo()
                fifo.write(frame)
            if fifo.samples >= 500_000:
                yield from self._resampled(resampler, fifo.read())
        if fifo.samples:
            yield from self._resampled(resampler, fifo.read())
            yield from self._resampled(resampler, None)

    def _frames(self) -> Iterator[Any]:
        """Frames that can be decoded; a damaged one is left out, as a player would."""
        frames = self._container.decode(audio=0)
        while True:
            try:
                yield next(frames)
            except StopIteration:
                return
            except av.error.InvalidDataError:
                continue
            except (av.error.FFmpegError, OSError):
                return  # cut short: what came before counts

    @staticmethod
    def _resampled(resampler: Any, frame: Any) -> Iterator[Samples]:
        for piece in resampler.resample(frame):
            yield piece.to_ndarray().reshape(-1).astype(np.float32) / 32768.0

    def _unreadable(self) -> AudioUnreadable:
        return AudioUnreadable(f"{self.name} is not a sound file that can be read, or is damaged", hint=f"send {KINDS}")


def quiet_place(samples: Samples, first: int, last: int) -> int:
    """Index of the quietest fiftieth of a second between two indexes, smoothed over a fifth of a second."""
    region = samples[first : first + (last - first) // BLOCK * BLOCK].reshape(-1, BLOCK)
    energy = np.convolve((region**2).mean(axis=1), np.ones(10) / 10, mode="same")
    return first + int(energy.argmin()) * BLOCK + BLOCK // 2


def from_pcm(data: bytes) -> Samples:
    """16-bit little-endian samples as numbers between -1 and 1."""
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768.0
