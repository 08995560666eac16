"""16-bit samples to the sound formats that clients ask for, piece by piece, so that nobody waits for the end.

FFmpeg encodes, through PyAV. Nothing is written to a file: a container that wants to go back and correct its head is
told that it cannot. WAV says that its length is unknown, as OpenAI's does.
"""

import io
import struct
from collections.abc import Iterator
from typing import Any, Literal, get_args

import av
import numpy as np

SoundFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
FORMATS: tuple[SoundFormat, ...] = get_args(SoundFormat)
PCM_RATE = 24_000
"""Of the bare samples that OpenAI calls pcm."""
OPUS_RATE = 48_000
UNKNOWN = 0xFFFFFFFF

_CONTAINERS = {
    "mp3": ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}),
    "opus": ("ogg", "libopus", {}),
    "aac": ("adts", "aac", {}),
    "flac": ("flac", "flac", {}),
}


class _Sink(io.RawIOBase):
    """Where a container writes to; what came is taken out from time to time."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)

    def take(self) -> bytes:
        data, self.data = bytes(self.data), bytearray()
        return data


def encoded(pieces: Iterator[bytes], rate: int, form: SoundFormat) -> Iterator[bytes]:
    """Mono 16-bit samples at `rate` in that format; each piece gives what is ready."""
    if form == "wav":
        yield wav_head(rate)
        yield from pieces
    elif form == "pcm":
        yield from _resampled(pieces, rate)
    else:
        yield from _contained(pieces, rate, form)


def wav_head(rate: int) -> bytes:
    """Of a WAV file whose length nobody knows yet."""
    shape = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    return (
        b"RIFF" + struct.pack("<I", UNKNOWN) + b"WAVEfmt " + struct.pack("<I", 16) + shape
        + b"data" + struct.pack("<I", UNKNOWN)
    )  # fmt: skip


def _resampled(pieces: Iterator[bytes], rate: int) -> Iterator[bytes]:
    if rate == PCM_RATE:
        yield from pieces
        return
    resampler = av.AudioResampler(format="s16", layout="mono", rate=PCM_RATE)
    for piece in pieces:
        for frame in resampler.resample(_frame(piece, rate)):
            yield frame.to_ndarray().tobytes()
    for frame in resampler.resample(None):
        yield frame.to_ndarray().tobytes()


def _contained(pieces: Iterator[bytes], rate: int, form: SoundFormat) -> Iterator[bytes]:
    container, codec, options = _CONTAINERS[form]
    sink = _Sink()
    out: Any = av.open(sink, "w", format=container, options=options)
    stream = out.add_stream(codec, rate=OPUS_RATE if form == "opus" else rate, layout="mono")
    context = stream.codec_context
    context.open()
    resampler = av.AudioResampler(format=context.format, layout="mono", rate=context.sample_rate)
    fifo = av.AudioFifo()
    written = 0

    def write(frames: list[Any], *, last: bool = False) -> None:
        nonlocal written
        for frame in frames:
            frame.pts = None
            fifo.write(frame)
        size = context.frame_size or 4096
        while fifo.samples >= size or (last and fifo.samples):
            frame = fifo.read(min(size, fifo.samples))
            frame.pts = written
            written += frame.samples
            out.mux(stream.encode(frame))

    for piece in pieces:
        write(resampler.resample(_frame(piece, rate)))
        if data := sink.take():
            yield data
    write(resampler.resample(None), last=True)
    out.mux(stream.encode(None))
    out.close()
    yield sink.take()


def _frame(piece: bytes, rate: int) -> Any:
    samples = np.frombuffer(piece, dtype="<i2").reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate = rate
    return frame
