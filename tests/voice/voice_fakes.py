"""Stand-ins at the seams of speech, and the sound that tests share."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from localmind.catalog import Catalog, bundled
from localmind.durations import FOREVER
from localmind.events import Event
from localmind.machine.amounts import RAM
from localmind.machine.booking import Laid
from localmind.machine.devices import Machine
from localmind.models.store import Store
from localmind.speech import SAMPLE_RATE, RecognizeOptions, Transcript
from localmind.voice.audio import Recording, Samples
from localmind.voice.live import Inbox, ListenOptions, Live
from localmind.voice.recognizer import Language
from localmind.voice.voice import Voice
from localmind.workers.residence import Residence

SPEECH = Path(__file__).parents[1] / "data" / "speech"
BOILER, REPORT, WORDS = SPEECH / "boiler.ogg", SPEECH / "report.ogg", SPEECH / "words.ogg"
REPORT_MP3 = SPEECH / "report.mp3"
VOICE_RATE = 22_050
SLOT_S = 2
"""Each short clip of WORDS has so many seconds."""


def samples(path: Path) -> Samples:
    return np.concatenate([window for _, window in Recording(path).windows()])


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * SAMPLE_RATE), dtype=np.float32)


def pcm(audio: Samples) -> bytes:
    return (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()


def put_voice(folder: Path, name: str, rate: int = VOICE_RATE, language: str = "en-us") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(b"weights")
    config = folder / f"{name}.onnx.json"
    config.write_text(json.dumps({"audio": {"sample_rate": rate}, "espeak": {"voice": language}}))
    return config


class FakeMover:
    """Moves nothing: all models of these tests are speech models, which have a mover of their own."""

    async def load(self, name: str, laid: Laid, told: Callable[[float], None]) -> Laid:
        raise AssertionError(name)

    async def open(self, name: str) -> None:
        raise AssertionError(name)

    async def cool(self, name: str) -> bool:
        raise AssertionError(name)

    async def unload(self, name: str) -> None:
        raise AssertionError(name)

    def summary(self, name: str) -> str:
        raise AssertionError(name)


def new_voice(store: Store, *, room: int = 4 << 30, keep_s: float = FOREVER) -> tuple[Voice, Residence]:
    """The daemon's Voice, and the ledger's side of it, in so many bytes."""
    residence = Residence(FakeMover(), lambda: {RAM: room}, keep_s=keep_s)
    return Voice(Catalog(bundled()), store, Machine.here(), residence, threads=2), residence


class FakeListener:
    """Understands a word for each second that it is given."""

    def __init__(self) -> None:
        self.quick_passes: list[float] = []
        self.real_passes: list[tuple[float, float, str | None]] = []
        """Seconds, rank, prompt."""

    def quick(self, audio: Samples, language: Language, prompt: str | None, gone: Callable[[], bool]) -> str:
        self.quick_passes.append(len(audio) / SAMPLE_RATE)
        return self._text(audio)

    def utterance(
        self, audio: Samples, options: RecognizeOptions, language: Language, *, rank: float, gone: Callable[[], bool]
    ) -> tuple[str, float, str]:
        self.real_passes.append((len(audio) / SAMPLE_RATE, rank, options.prompt))
        return self._text(audio), len(audio) / SAMPLE_RATE, ""

    @staticmethod
    def _text(audio: Samples) -> str:
        return " ".join(f"w{number}" for number in range(round(len(audio) / SAMPLE_RATE)))


class Heard:
    """A live listening driven step by step, without threads: each piece is worked on before the next one comes."""

    def __init__(self, listener: object, options: ListenOptions) -> None:
        self.events: list[Event] = []
        self.inbox = Inbox()
        self.gone = False
        self._pieces: list[bytes] = []
        live = Live(listener, options, self.inbox, self.events.append, lambda: self.gone)  # type: ignore[arg-type]
        self.live = live

    def run(self, audio: Samples, *, end: bool = True, piece_s: float = 0.1) -> "Heard":
        """Hear it all, piece after piece."""
        data, step = pcm(audio), int(piece_s * SAMPLE_RATE) * 2
        pieces = [data[start : start + step] for start in range(0, len(data), step)]
        inbox = self.inbox

        class Fed(Inbox):
            """Hands out one piece at a time."""

            def take(self, timeout: float) -> tuple[bytes, bool]:
                if pieces:
                    return pieces.pop(0), False
                return b"", end or inbox.ended

        self.live._inbox = Fed()
        began = time.monotonic()
        self.live.run()
        assert time.monotonic() - began < 50
        return self

    @property
    def transcripts(self) -> list[Transcript]:
        return [event for event in self.events if isinstance(event, Transcript)]
