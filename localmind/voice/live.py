"""Somebody speaks, and it is written: one listening, from the first sample to the text.

Sound comes in pieces at the speed of speech. While a voice is heard, quick passes give text that settles; in a pause
the real pass runs at once, so that its text is there when the pause turns out to be the end. Its text is
held to be as good as a file's (docs/voice.md). A long dictation is cut in its pauses,
and what was cut off is final.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import numpy as np

from localmind.errors import Cancelled
from localmind.events import Event
from localmind.speech import SAMPLE_RATE, Heard, RecognizeOptions, Transcript
from localmind.voice.agreement import Agreement
from localmind.voice.audio import Samples, from_pcm, quiet_place
from localmind.voice.gate import VOICED, WINDOW, Ear
from localmind.voice.recognizer import Language
from localmind.voice.turns import FINAL, LIVE

STEP_S = 0.45
"""New sound that makes another quick pass worth its time; less than half a second of speech is no word yet."""
PREROLL_S = 0.8
"""Kept from before the first voice: the detector hears a word a little late."""
PAUSE_S = 0.3
"""Of silence, after which the real pass runs ahead of the end."""
TAIL_S = 0.4
"""Silence that the real pass may see after the last voice, as the gate leaves it to files."""
PIECE_S = 12.0
"""A pause after this much cuts: what lies before it is final."""
LONGEST_PIECE_S = 26.0
"""Without any pause it is cut at a quiet place: Whisper sees 30 s."""
STILL = 0.35
"""Below this probability a window belongs to a pause, once somebody has spoken."""
ONSET = 3
"""Voiced windows among the last eight that make a beginning: a click has one."""
ABANDONED_S = 30.0
"""A client that sends no sound for so long has ended its utterance."""


class ListenOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """When to stop, and how to recognise."""

    recognize: RecognizeOptions = RecognizeOptions()
    silence_s: float | None = 1.2
    """Silence after speech that ends the utterance; None leaves that to the one who speaks."""
    patience_s: float | None = None
    """Silence at the beginning after which listening ends; None waits."""
    longest_s: float = 1800.0
    continuous: bool = False
    """Go on after an utterance with the next one."""
    partial: bool = True
    """Send text while somebody speaks."""


class Listener(Protocol):
    """What live listening needs of a recognizer; the seam where tests put a fake."""

    def quick(self, audio: Samples, language: Language, prompt: str | None, gone: Callable[[], bool]) -> str: ...

    def utterance(
        self, audio: Samples, options: RecognizeOptions, language: Language, *, rank: float, gone: Callable[[], bool]
    ) -> tuple[str, float, str]:
        """Text, seconds of speech, and why there is no text."""


@dataclass(slots=True)
class Inbox:
    """Sound on its way from the client. Filled by one thread, emptied by another."""

    ready: threading.Condition = field(default_factory=threading.Condition)
    waiting: list[bytes] = field(default_factory=list)
    ended: bool = False

    def put(self, pcm: bytes) -> None:
        with self.ready:
            self.waiting.append(pcm)
            self.ready.notify_all()

    def end(self) -> None:
        with self.ready:
            self.ended = True
            self.ready.notify_all()

    def take(self, timeout: float) -> tuple[bytes, bool]:
        """What has come, after waiting for something; and whether that was the end."""
        with self.ready:
            if not self.waiting and not self.ended:
                self.ready.wait(timeout)
            data, self.waiting = b"".join(self.waiting), []
            return data, self.ended


class Live:
    """One listening. `run` is its thread."""

    def __init__(
        self,
        listener: Listener,
        options: ListenOptions,
        inbox: Inbox,
        say: Callable[[Event], None],
        gone: Callable[[], bool],
        *,
        model: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = listener
        self._options = options
        self._inbox = inbox
        self._say = say
        self._gone = gone
        self._model = model
        self._clock = clock
        self._language = Language(options.recognize.language)
        self._odd = b""
        self._total = 0
        self._ear = Ear()
        self._heard_at = clock()
        self._begin()

    def _begin(self) -> None:
        """A new utterance."""
        self._audio: Samples = np.zeros(0, dtype=np.float32)
        self._probabilities: list[float] = []
        self._judged = 0
        """Samples of `_audio` that the ear has judged."""
        self._voice_end = 0
        """Where in `_audio` the last voice ended; 0 while there was none."""
        self._onset = 0
        """Where the first voice was heard."""
        self._done: list[str] = []
        """Texts of pieces that are cut off."""
        self._speech_s = 0.0
        self._since = self._total
        self._restart_piece()

    def _restart_piece(self) -> None:
        self._agreement = Agreement()
        self._quick_at = 0
        self._rest_until = 0.0
        self._ahead: tuple[int, str, float, str] | None = None
        """The real pass that ran in a pause: where the voice had ended, and its result."""

    def run(self) -> None:
        """Listen until the end. Raises Cancelled when nobody wants the text any more."""
        while True:
            ended = self._receive()
            if self._gone():
                raise Cancelled("nobody listens any more")
            over = ended or self._total > self._options.longest_s * SAMPLE_RATE
            if over or self._utterance_over():
                self._finish()
                if over or not self._options.continuous:
                    return
                self._begin()
            else:
                self._advance()

    def _receive(self) -> bool:
        """Take what has come into the buffers. True when the client has ended."""
        data, ended = self._inbox.take(timeout=0.25)
        if data:
            self._heard_at = self._clock()
        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        if whole:
            samples = from_pcm(data[:whole])
            self._total += len(samples)
            self._audio = np.concatenate([self._audio, samples])
            for probability in self._ear.hear(samples):
                self._judge(probability)
        if not self._voice_end:
            surplus = len(self._audio) - int(PREROLL_S * SAMPLE_RATE)
            if surplus > 0:
                self._drop(surplus)
        return ended or self._clock() - self._heard_at > ABANDONED_S

    def _judge(self, probability: float) -> None:
        self._judged += WINDOW
        self._probabilities = [*self._probabilities[-7:], probability]
        onset = sum(value > VOICED for value in self._probabilities) >= ONSET
        if (onset and probability > VOICED) or (self._voice_end and probability > STILL and self._pause_s < PAUSE_S):
            self._onset = self._onset or self._judged
            self._voice_end = max(1, self._judged)

    @property
    def _pause_s(self) -> float:
        return max(0, self._judged - self._voice_end) / SAMPLE_RATE

    def _drop(self, count: int) -> None:
        self._audio = self._audio[count:]
        self._judged = max(0, self._judged - count)

    def _utterance_over(self) -> bool:
        options = self._options
        if not self._voice_end and not self._done:
            waited = (self._total - self._since) / SAMPLE_RATE
            return options.patience_s is not None and waited >= options.patience_s
        return options.silence_s is not None and self._pause_s >= options.silence_s

    def _advance(self) -> None:
        """Do what is worth doing with the sound that is here."""
        if not self._voice_end:
            return
        if self._pause_s >= PAUSE_S:
            if self._ahead is None or self._ahead[0] != self._voice_end:
                self._run_ahead()
            if self._voice_end > PIECE_S * SAMPLE_RATE and self._ahead is not None:
                self._cut(self._ahead[1:], min(len(self._audio), self._voice_end + int(TAIL_S * SAMPLE_RATE)))
        elif len(self._audio) > LONGEST_PIECE_S * SAMPLE_RATE:
            place = quiet_place(self._audio, int((LONGEST_PIECE_S - 8) * SAMPLE_RATE), len(self._audio))
            self._cut(self._real(self._audio[:place], LIVE), place)
        elif self._options.partial:
            self._quick()

    def _quick(self) -> None:
        fresh = len(self._audio) - max(self._quick_at, self._onset)
        if fresh < STEP_S * SAMPLE_RATE or self._clock() < self._rest_until:
            return
        began = self._clock()
        self._quick_at = len(self._audio)
        prompt = " ".join([self._options.recognize.prompt or "", *self._done])[-400:].strip()
        self._agreement.add(self._listener.quick(self._audio, self._language, prompt or None, self._gone))
        self._rest_until = self._clock() + 0.5 * (self._clock() - began)
        self._tell(self._agreement.settled, self._agreement.tentative, speaking=True)

    def _run_ahead(self) -> None:
        end = self._voice_end
        text, speech_s, silent = self._real(self._audio[: end + int(TAIL_S * SAMPLE_RATE)], LIVE)
        self._ahead = (end, text, speech_s, silent)
        if self._options.partial and text:
            self._tell(text, "", speaking=False)

    def _real(self, audio: Samples, rank: float) -> tuple[str, float, str]:
        options = self._options.recognize
        if self._done:
            options = msgspec.structs.replace(options, prompt=" ".join(self._done)[-400:])
        return self._listener.utterance(audio, options, self._language, rank=rank, gone=self._gone)

    def _cut(self, result: tuple[str, float, str], place: int) -> None:
        """What lies before `place` is final."""
        text, speech_s, _ = result
        if text:
            self._done.append(text)
        self._speech_s += speech_s
        self._drop(place)
        self._voice_end = max(0, self._voice_end - place)
        if not self._voice_end:
            # Silence counts on from here, and only a voice begins the next piece.
            self._judged = len(self._audio)
            self._voice_end = 0 if not self._done else 1
        self._restart_piece()

    def _finish(self) -> None:
        """The utterance is over: its last pass, unless a pause has had it already."""
        silent = "nothing was said"
        if self._voice_end > 1:
            if self._ahead is not None and self._ahead[0] == self._voice_end:
                _, text, speech_s, silent = self._ahead
            else:
                tail = self._audio[: self._voice_end + int(TAIL_S * SAMPLE_RATE)]
                text, speech_s, silent = self._real(tail, FINAL)
            self._done += [text] if text else []
            self._speech_s += speech_s
        whole = " ".join(self._done)
        if whole or not self._options.continuous:
            self._say(
                Transcript(
                    whole,
                    self._language.code or "",
                    self._language.probability,
                    round((self._total - self._since) / SAMPLE_RATE, 3),
                    round(self._speech_s, 3),
                    self._options.recognize.task,
                    self._model,
                    "" if whole else silent,
                )
            )

    def _tell(self, settled: str, tentative: str, *, speaking: bool) -> None:
        before = " ".join(self._done)
        self._say(Heard(f"{before} {settled}".strip() if before else settled, tentative, speaking))
