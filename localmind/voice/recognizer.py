"""A Whisper model in memory: samples in, segments out, exactly as faster-whisper makes them.

It owns loading (with a step down to the CPU where a GPU's libraries are missing), the settings of a pass, and times
that count the silence left out. It takes its turn for every single window, so several recordings share the model.
"""

import contextlib
import logging
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import restore_speech_timestamps
from faster_whisper.vad import collect_chunks

from localmind.errors import Cancelled, InvalidRequest, ModelFileBroken
from localmind.speech import SAMPLE_RATE, RecognizeOptions, Segment, Word
from localmind.voice.audio import Samples
from localmind.voice.gate import DOUBTED_LOGPROB, Verdict, believable, judge
from localmind.voice.turns import LIVE, Turns

log = logging.getLogger("localmind.voice")

LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SEED = 0
"""Above temperature 0 tokens are drawn: the same sound gives the same text every time."""

QUICK_TAIL_S, TAIL_S = 2.0, 6.0
"""Silence after the sound of a near pass. With less of it the model says a sentence twice more often, with the 30 s
that files get a pass takes three times as long (figures: docs/voice.md)."""
OVERRUN_S = 1.0
"""How far behind the sound a near pass may place the end of its text before it is held to have lost its place."""
GUESS_S = 1.5
"""Of sound, before a guess at its language is kept for the quick passes that follow."""
STAMP_S = 0.02
"""What a step of Whisper's time tokens is."""

REPEATED = 2.4
"""Text that zlib makes so many times smaller is a loop (OpenAI's threshold)."""

Gone = Callable[[], bool]


@dataclass(slots=True, frozen=True)
class Place:
    """What to load and how; names a loaded model."""

    directory: str
    device: str = "cpu"
    compute_type: str = "int8"
    threads: int = 1


@dataclass(slots=True)
class Language:
    """The language of a recording, once it is known."""

    code: str | None
    probability: float = 1.0
    guess: str | None = None
    """While somebody still speaks: good enough for text that is shown, and no more."""


@dataclass(slots=True, frozen=True)
class Near:
    """The result of a near pass."""

    text: str
    logprob: float
    no_speech: float
    lost: bool = False
    """The model places text where there is no sound."""

    @property
    def sound(self) -> bool:
        """Whether it may stand: likely enough, in its place, and not the same words over and over."""
        data = self.text.encode()
        repeated = len(data) / len(zlib.compress(data)) if data else 0.0
        return bool(data) and not self.lost and self.logprob > DOUBTED_LOGPROB and repeated < REPEATED


class Recognizer:
    """One loaded model. Thread-safe: passes take turns."""

    def __init__(self, place: Place, turns: Turns) -> None:
        """Raises ModelFileBroken."""
        self.place = place
        self.stepped_down = ""
        """Why it is not on the device that was planned."""
        self._turns = turns
        self._model = self._load(place)
        self.multilingual: bool = self._model.model.is_multilingual

    def _load(self, place: Place) -> WhisperModel:
        try:
            model = _open(place)
            if place.device != "cpu":
                model.encode(np.zeros((model.feature_extractor.mel_filters.shape[0], 100), dtype=np.float32))
            return model
        except (RuntimeError, ValueError, OSError) as problem:
            if place.device == "cpu":
                raise ModelFileBroken(
                    f"cannot load the speech model {Path(place.directory).name}: {problem}",
                    hint="localmind models verify",
                ) from problem
            # A CUDA device without cuDNN or cuBLAS is found out by the first use only.
            log.warning("speech stays on the CPU: %s", problem)
            self.stepped_down = f"{place.device}: {problem}"
            return _open(Place(place.directory, "cpu", "default", place.threads))

    def check(self, options: RecognizeOptions) -> None:
        """Raises InvalidRequest for a language or task that this model has not learnt."""
        language = options.language
        if language is not None and language not in self._model.supported_languages:
            known = "English only" if not self.multilingual else f"{len(self._model.supported_languages)} languages"
            raise InvalidRequest(
                f"this speech model does not understand {language!r}: it knows {known}",
                hint="localmind models list; a model whose name does not end in .en knows many languages",
            )
        if options.task == "translate" and not self.multilingual:
            raise InvalidRequest(
                "this speech model understands English only, so there is nothing to translate",
                hint="localmind models list; a model whose name does not end in .en translates into English",
            )

    def judge(self, audio: Samples, options: RecognizeOptions, rank: float, gone: Gone) -> Verdict:
        """Where speech is, as the gate finds it."""
        if not options.gate:
            return Verdict([{"start": 0, "end": len(audio)}])
        with self._turn(rank, gone):
            return judge(audio)

    def segments(
        self,
        audio: Samples,
        verdict: Verdict,
        options: RecognizeOptions,
        language: Language,
        *,
        rank: Callable[[], float],
        gone: Gone,
        first_id: int = 0,
        offset: float = 0.0,
        doubt: bool = True,
    ) -> Iterator[Segment]:
        """The segments of one window of sound. Sets `language`. Raises Cancelled when `gone` says so.

        `offset` is where the window begins in its recording, in seconds. Without `doubt` everything that the model
        said is passed on.
        """
        if not verdict.chunks:
            return
        gated = options.gate
        with self._turn(rank(), gone):
            ctranslate2.set_random_seed(SEED)
            spoken = np.concatenate(collect_chunks(audio, verdict.chunks)[0]) if gated else audio
            found, info = self._model.transcribe(
                spoken,
                language=language.code,
                task=options.task,
                beam_size=options.beam,
                temperature=LADDER if options.temperature is None else options.temperature,
                condition_on_previous_text=False,
                initial_prompt=options.prompt,
                hotwords=options.hotwords,
                word_timestamps=options.words,
            )
            language.code, language.probability = info.language, float(info.language_probability)
        if gated:
            found = restore_speech_timestamps(found, verdict.chunks, SAMPLE_RATE)
        number = first_id
        for each in self._in_turn(found, rank, gone):
            segment = _segment(each, number, offset)
            if not doubt or not gated or believable(segment):
                number += 1
                yield segment

    def quick(self, audio: Samples, language: Language, prompt: str | None, gone: Gone) -> str:
        """A greedy pass over at most 30 s, for text that is shown while somebody still speaks."""
        with self._turn(LIVE, gone):
            return self._near(audio, language, prompt, beam=1).text

    def utterance(
        self, audio: Samples, options: RecognizeOptions, language: Language, *, rank: float, gone: Gone
    ) -> tuple[str, float, str]:
        """What was said in at most 30 s: text, seconds of speech, and why there is no text.

        A near pass; where it looks wrong by Whisper's own measures, the one that files get.
        """
        with self._turn(rank, gone):
            verdict = judge(audio) if options.gate else Verdict([{"start": 0, "end": len(audio)}])
            if not verdict.chunks:
                return "", 0.0, verdict.reason
            first, last = verdict.chunks[0]["start"], verdict.chunks[-1]["end"]
            near = None
            if language.code is None and not self.multilingual:
                language.code = "en"
            plain = options.task == "transcribe" and options.temperature is None and options.hotwords is None
            # Which language it is, the file's pass finds out; the next utterance knows.
            if plain and language.code is not None:
                near = self._near(audio[first:last], language, options.prompt, beam=options.beam)
        if near is not None and near.sound:
            return near.text, verdict.speech_s, ""
        found = self.segments(audio, verdict, options, language, rank=lambda: rank, gone=gone)
        text = "".join(segment.text for segment in found).strip()
        return text, verdict.speech_s, "" if text else "there are sounds, but no words"

    def _near(self, audio: Samples, language: Language, prompt: str | None, *, beam: int) -> "Near":
        """A pass whose encoder sees the sound and a little silence, not 30 s: a quarter of the work for 5 s.

        Figures in docs/voice.md. Held inside a turn.
        """
        model = self._model
        extractor = model.feature_extractor
        tail = np.zeros(int(SAMPLE_RATE * (QUICK_TAIL_S if beam == 1 else TAIL_S)), dtype=np.float32)
        features = extractor(np.concatenate([audio, tail]))[:, :-1]
        frames = min(3000, math.ceil(features.shape[1] / 100) * 100)
        padded = np.pad(features[:, :frames], ((0, 0), (0, max(0, frames - features.shape[1]))))
        encoded = model.encode(padded.astype(np.float32))
        code = language.code or language.guess
        if code is None:
            code, _ = self._detected(audio)
            if len(audio) >= GUESS_S * SAMPLE_RATE:
                language.guess = code
        tokenizer = Tokenizer(model.hf_tokenizer, self.multilingual, task="transcribe", language=code)
        said = tokenizer.encode(" " + prompt.strip()) if prompt else []
        # Time tokens tell what was said from what the model goes on to say in the silence behind it.
        start = model.get_prompt(tokenizer, said, without_timestamps=False)
        result = model.model.generate(
            encoded,
            [start],
            beam_size=beam,
            max_length=min(model.max_length, len(start) + 12 + frames // 10),
            suppress_blank=True,
            suppress_tokens=tokenizer.non_speech_tokens,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        ids = result.sequences_ids[0]
        spoken, lost = in_the_sound(ids, tokenizer, len(audio) / SAMPLE_RATE)
        text = str(tokenizer.decode(spoken)).strip()
        # CTranslate2 gives the mean over the tokens; OpenAI's average counts the end token as well.
        logprob = result.scores[0] * len(ids) / (len(ids) + 1)
        return Near(text, float(logprob), float(result.no_speech_prob), lost)

    def _detected(self, audio: Samples) -> tuple[str, float]:
        """The language and how sure that is. The encoder sees 30 s here: with less it takes German for Latin."""
        if not self.multilingual:
            return "en", 1.0
        features = self._model.feature_extractor(audio)[:, :3000]
        whole = np.pad(features, ((0, 0), (0, 3000 - features.shape[1])))
        encoded = self._model.encode(whole.astype(np.float32))
        token, probability = self._model.model.detect_language(encoded)[0][0]
        return token[2:-2], float(probability)

    def _in_turn(self, found: Any, rank: Callable[[], float], gone: Gone) -> Iterator[Any]:
        """Each element computed inside a turn of its own."""
        iterator = iter(found)
        while True:
            with self._turn(rank(), gone):
                try:
                    each = next(iterator)
                except StopIteration:
                    return
            yield each

    @contextlib.contextmanager
    def _turn(self, rank: float, gone: Gone) -> Iterator[None]:
        with self._turns.turn(rank, gone) as mine:
            if not mine:
                raise Cancelled("nobody waits for this recording any more")
            yield


class Stamped(Protocol):
    """What time tokens look like: all from `timestamp_begin` on, text below `eot`."""

    timestamp_begin: int
    eot: int


def in_the_sound(ids: Sequence[int], tokenizer: Stamped, sound_s: float) -> tuple[list[int], bool]:
    """The tokens of text that begins within the sound, and whether that text ends well behind it.

    An encoder that sees less than 30 s often lets the model repeat a sentence, or thank for watching, in the silence
    that follows; the model itself says that it hears it there.
    """
    spoken: list[int] = []
    begins, ends = 0.0, 0.0
    open_ = False
    for each in ids:
        if each >= tokenizer.timestamp_begin:
            at = (each - tokenizer.timestamp_begin) * STAMP_S
            if open_:
                ends, open_ = at, False
            begins = at
        elif each < tokenizer.eot and begins < sound_s:
            spoken.append(each)
            open_ = True
    return spoken, ends > sound_s + OVERRUN_S


def _open(place: Place) -> WhisperModel:
    return WhisperModel(
        place.directory,
        device=place.device,
        compute_type=place.compute_type,
        cpu_threads=place.threads,
        num_workers=1,
        local_files_only=True,
    )


def _segment(found: Any, number: int, offset: float) -> Segment:
    words: Sequence[Any] = found.words or ()
    return Segment(
        id=number,
        start=round(float(found.start) + offset, 3),
        end=round(float(found.end) + offset, 3),
        text=found.text,
        seek=int(found.seek + offset * 100),
        tokens=tuple(found.tokens),
        temperature=float(found.temperature or 0.0),
        avg_logprob=float(found.avg_logprob),
        compression_ratio=float(found.compression_ratio),
        no_speech_prob=float(found.no_speech_prob),
        words=tuple(_word(word, offset) for word in words),
    )


def _word(found: Any, offset: float) -> Word:
    return Word(
        round(float(found.start) + offset, 3),
        round(float(found.end) + offset, 3),
        found.word,
        round(float(found.probability), 4),
    )
