"""What is heard: words, segments and whole transcripts, as they cross processes and HTTP.

Frozen values and no I/O. Times are seconds from the beginning of the recording. A worker makes them, the
API turns them into its dialects, the command line and the terminal app show them.
"""

from typing import Literal

import msgspec

Task = Literal["transcribe", "translate"]

SAMPLE_RATE = 16_000
"""Samples a second of everything that is sent to be heard: one channel, 16 bits, little-endian."""
SAMPLE_BYTES = 2

RECORDINGS = frozenset(
    {".mp3", ".m4a", ".m4b", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wav", ".wma", ".aiff", ".amr"}
)
"""Suffixes of sound files that are heard in watched folders. Line N of one is what is said in its Nth second."""


class Word(msgspec.Struct, frozen=True):
    start: float
    end: float
    text: str
    """With the space before it, so that words concatenated are the text."""
    probability: float


class Segment(msgspec.Struct, frozen=True, tag=True):
    """A stretch of speech that the model saw as one: usually a sentence or a part of it."""

    id: int
    """0-based within the recording."""
    start: float
    end: float
    text: str
    seek: int = 0
    """Hundredths of a second where the model's window of 30 s began."""
    tokens: tuple[int, ...] = ()
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0
    words: tuple[Word, ...] = ()
    """Only when asked for."""


class Transcript(msgspec.Struct, frozen=True, tag=True):
    """The end of a transcription: everything that was said."""

    text: str
    language: str = ""
    """ISO 639-1, as given or as detected."""
    language_probability: float = 0.0
    duration: float = 0.0
    speech_s: float = 0.0
    """Seconds of the recording in which somebody speaks."""
    task: Task = "transcribe"
    model: str = ""
    silent: str = ""
    """Why there is no text: what was heard instead of speech. Empty when there is text."""


class Part(msgspec.Struct, frozen=True):
    """Some minutes of a long recording: what is asked for one by one when nobody waits for it."""

    said: tuple[tuple[float, str], ...]
    """Seconds from the beginning of the recording, and what is said from there on."""
    until: int
    """Samples of the recording that are heard now; the next part begins there."""
    duration: float
    """Seconds of the whole, by the file's own word; at least what is heard."""
    language: str = ""
    done: bool = False
    """Nothing comes after this."""


class Listening(msgspec.Struct, frozen=True, tag=True):
    """Live: the model is in memory, sound may be sent. `id` names this listening when sending it."""

    id: str
    model: str = ""


class Heard(msgspec.Struct, frozen=True, tag=True):
    """Live: what has been understood so far. Each replaces the one before it.

    `settled` only grows within an utterance: passes over the sound have agreed on it. `tentative` follows it and
    may still change.
    """

    settled: str
    tentative: str = ""
    speaking: bool = True
    """False in a pause."""


class RecognizeOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to listen. What is left out is the model's choice."""

    language: str | None = None
    """ISO 639-1; None detects it."""
    task: Task = "transcribe"
    prompt: str | None = None
    """Words that are likely to come, or the text before this recording."""
    hotwords: str | None = None
    temperature: float | None = None
    """One temperature instead of the ladder 0, 0.2 … 1 that is climbed when a result looks wrong."""
    words: bool = False
    """Times of single words."""
    beam: int = 5
    gate: bool = True
    """Leave out what is not speech, before the model can invent words for it."""


def clock(seconds: float) -> str:
    """12:31, or 1:02:31 from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def moment(path: str, line: int) -> str | None:
    """Where a line of a recording is heard, as a clock shows it; None for files that are read by lines."""
    suffix = path[path.rfind(".") :].lower()
    return clock(max(0, line - 1)) if suffix in RECORDINGS else None
