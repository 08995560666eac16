"""The gate before Whisper: is anybody speaking here, and where?

Whisper was trained on subtitles and writes "Thank you for watching" under silence, so it is only shown what Silero's
voice detector (the one that faster-whisper ships) holds for speech, and a clip counts as spoken only with enough of
it. After the pass, segments that the model itself doubts go as well. Figures: docs/voice.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps, get_vad_model

from localmind.speech import SAMPLE_RATE, Segment
from localmind.voice.audio import Samples

WINDOW = 512
"""Samples that the detector judges at once: 32 ms."""
CONTEXT = 64
VOICED = 0.5
ENOUGH = 4
"""Windows above VOICED: a "no" has eight, a chord of music at most one."""
CLEAR = 0.85
"""The surest window of a stretch: a hum reaches 0.79, a word under noise only 5 dB below it 0.91."""
LONG_S = 5
"""The detector ends a stretch after 2 s without a voice: one this long holds more than a click."""
SILENT_DB = -55.0
"""A clip whose loudest fiftieth of a second is below this is silence: a quiet voice is 15 dB louder."""

VAD = VadOptions()
"""Faster-whisper's own, so that the model gets the same sound as with `vad_filter=True`."""

DOUBTED_NO_SPEECH = 0.6
DOUBTED_LOGPROB = -1.0
"""OpenAI's two thresholds together; faster-whisper applies them to windows, here they hold for what is left over."""


@dataclass(slots=True, frozen=True)
class Verdict:
    """Where speech is, as the detector's chunks of samples; none with a reason."""

    chunks: list[dict[str, int]]
    reason: str = ""

    @property
    def speech_s(self) -> float:
        return sum(chunk["end"] - chunk["start"] for chunk in self.chunks) / SAMPLE_RATE


def judge(audio: Samples) -> Verdict:
    """Find the speech in a recording."""
    if len(audio) < WINDOW * ENOUGH:
        return Verdict([], "the recording is too short to hold a word")
    if loudness(audio) < SILENT_DB:
        return Verdict([], "the recording is silent")
    chunks: list[dict[str, int]] = get_speech_timestamps(audio, VAD)
    if any(chunk["end"] - chunk["start"] <= LONG_S * SAMPLE_RATE for chunk in chunks):
        voice = get_vad_model()(np.pad(audio, (0, -len(audio) % WINDOW)))
        chunks = [chunk for chunk in chunks if _spoken(chunk, voice)]
    return Verdict(chunks, "" if chunks else "there are sounds, but nobody speaks")


def _spoken(chunk: dict[str, int], voice: Any) -> bool:
    """Whether a stretch is long, or holds a voice for long enough and clearly once."""
    if chunk["end"] - chunk["start"] > LONG_S * SAMPLE_RATE:
        return True
    inside = voice[chunk["start"] // WINDOW : chunk["end"] // WINDOW + 1]
    return bool((inside > VOICED).sum() >= ENOUGH and inside.max() > CLEAR)


def loudness(audio: Samples) -> float:
    """Of the loudest fiftieth of a second, in dB below full scale."""
    block = SAMPLE_RATE // 50
    whole = audio[: len(audio) // block * block].reshape(-1, block)
    if not len(whole):
        return -120.0
    return float(20 * np.log10(np.sqrt((whole**2).mean(axis=1)).max() + 1e-6))


def believable(segment: Segment) -> bool:
    """Whether a segment is speech in the model's own judgement."""
    return not (segment.no_speech_prob > DOUBTED_NO_SPEECH and segment.avg_logprob < DOUBTED_LOGPROB)


class Ear:
    """The detector over a stream: a probability of speech for each 32 ms, with its memory kept in between."""

    def __init__(self) -> None:
        self._model: Any = get_vad_model().session
        self._state = np.zeros((2, 1, 1, 128), dtype=np.float32)
        self._context = np.zeros(CONTEXT, dtype=np.float32)
        self._rest = np.zeros(0, dtype=np.float32)

    def hear(self, audio: Samples) -> list[float]:
        """Probabilities of the windows that are complete now."""
        audio = np.concatenate([self._rest, audio])
        count = len(audio) // WINDOW
        self._rest = audio[count * WINDOW :]
        if not count:
            return []
        windows = audio[: count * WINDOW].reshape(count, WINDOW)
        before = np.concatenate([self._context[None], windows[:-1, -CONTEXT:]])
        self._context = windows[-1, -CONTEXT:]
        output, h, c = self._model.run(
            None, {"input": np.concatenate([before, windows], axis=1), "h": self._state[0], "c": self._state[1]}
        )
        self._state = np.stack([h, c])
        return [float(value) for value in output.reshape(-1)]
