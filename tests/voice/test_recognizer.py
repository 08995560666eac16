"""The real model: the text of faster-whisper itself, times that count what was left out, languages it does not know."""

import itertools

import ctranslate2
import numpy as np
import pytest
from faster_whisper import WhisperModel, decode_audio
from hypothesis import given
from hypothesis import strategies as st
from voice_fakes import BOILER, REPORT, FakeListener, Heard, samples, silence

from localmind.errors import Cancelled, InvalidRequest, ModelFileBroken
from localmind.speech import RecognizeOptions, Segment, Transcript
from localmind.voice.audio import Recording, Samples
from localmind.voice.live import ListenOptions
from localmind.voice.recognizer import LADDER, SEED, Language, Place, Recognizer, in_the_sound
from localmind.voice.turns import Turns
from localmind.voice.worker import transcribed


@pytest.fixture(scope="module")
def plain(recognizer: Recognizer) -> WhisperModel:
    return WhisperModel(recognizer.place.directory, device="cpu", compute_type="int8", cpu_threads=2)


def noisy(audio: Samples, snr: float) -> Samples:
    noise = np.random.default_rng(1).standard_normal(len(audio)).astype(np.float32)
    return audio + noise * np.float32(np.sqrt((audio**2).mean() / (noise**2).mean()) / 10 ** (snr / 20))


@pytest.mark.parametrize("snr", [None, 5.0])
def test_the_text_is_faster_whisper_s_own(recognizer: Recognizer, plain: WhisperModel, snr: float | None) -> None:
    audio = decode_audio(str(BOILER)) if snr is None else noisy(decode_audio(str(BOILER)), snr)
    ctranslate2.set_random_seed(SEED)
    found, _ = plain.transcribe(
        audio, language="en", vad_filter=True, condition_on_previous_text=False, temperature=LADDER
    )
    theirs = [(segment.text, round(segment.start, 3), round(segment.end, 3)) for segment in found]
    options = RecognizeOptions()
    verdict = recognizer.judge(audio, options, 0, lambda: False)
    ours = recognizer.segments(audio, verdict, options, Language(None), rank=lambda: 0, gone=lambda: False)
    assert [(segment.text, segment.start, segment.end) for segment in ours] == theirs
    assert theirs


def test_times_count_the_silence_that_the_model_never_saw(recognizer: Recognizer) -> None:
    audio = np.concatenate([silence(6), samples(REPORT)])
    options = RecognizeOptions(words=True)
    verdict = recognizer.judge(audio, options, 0, lambda: False)
    found = list(recognizer.segments(audio, verdict, options, Language("en"), rank=lambda: 0, gone=lambda: False))
    assert found[0].start == pytest.approx(6, abs=0.6)
    words = [word for segment in found for word in segment.words]
    assert "".join(word.text for word in words).strip().startswith("Open the report")
    assert all(a.start <= b.start for a, b in itertools.pairwise(words))


def test_a_recording_ends_with_its_transcript_and_progress_that_reached_the_end(recognizer: Recognizer) -> None:
    events = list(transcribed(recognizer, Recording(REPORT), RecognizeOptions(), lambda: False, "whisper:tiny.en"))
    transcript = events[-1]
    assert isinstance(transcript, Transcript)
    assert transcript.text == "".join(event.text for event in events if isinstance(event, Segment)).strip()
    assert (transcript.language, transcript.model, transcript.silent) == ("en", "whisper:tiny.en", "")


def test_live_text_is_the_text_of_the_file(recognizer: Recognizer) -> None:
    heard = Heard(recognizer, ListenOptions(partial=False)).run(np.concatenate([silence(0.5), samples(REPORT)]))
    said = "".join(c for c in heard.transcripts[0].text.lower() if c.isalpha() or c == " ")
    assert said.startswith("open the report that i wrote last week and send it to the")


def test_a_quick_pass_understands_half_a_sentence(recognizer: Recognizer) -> None:
    language = Language(None)
    text = recognizer.quick(samples(REPORT)[: 2 * 16000], language, None, lambda: False)
    assert "report" in text.lower()
    assert (language.code, language.guess) == (None, "en"), "the last pass settles it"


def test_nobody_waiting_stops_the_work(recognizer: Recognizer) -> None:
    with pytest.raises(Cancelled):
        list(transcribed(recognizer, Recording(REPORT), RecognizeOptions(), lambda: True))


def test_a_language_it_has_not_learnt_is_refused_with_a_hint(recognizer: Recognizer) -> None:
    with pytest.raises(InvalidRequest, match="does not understand 'de'") as refused:
        recognizer.check(RecognizeOptions(language="de"))
    assert "localmind models list" in str(refused.value.hint)
    with pytest.raises(InvalidRequest, match="nothing to translate"):
        recognizer.check(RecognizeOptions(task="translate"))


def test_a_directory_without_a_model_says_which(tmp_path: object) -> None:
    with pytest.raises(ModelFileBroken, match="cannot load the speech model"):
        Recognizer(Place(str(tmp_path), "cpu", "int8", 1), Turns())


def test_the_fake_has_the_real_one_s_methods() -> None:
    for name in ("quick", "utterance"):
        assert callable(getattr(FakeListener, name))
        assert callable(getattr(Recognizer, name))


class FakeTokens:
    """Text below 100, time from 1000 on: 1050 is one second."""

    eot = 100
    timestamp_begin = 1000


@pytest.mark.parametrize(
    ("ids", "spoken", "lost"),
    [
        ([1000, 1, 2, 3, 1200], [1, 2, 3], False),
        ([1000, 1, 2, 1175, 1250, 1, 2, 1375, 1400], [1, 2], False),
        ([1000, 1, 2, 1350, 1350, 1, 2, 2450, 2450], [1, 2], True),
        ([1000, 1, 1100, 1100, 2, 1200], [1, 2], False),
        ([1, 2, 3], [1, 2, 3], False),
        ([1000, 1, 2, 1450], [1, 2], True),
        ([], [], False),
    ],
    ids=["one", "said twice", "twice and lost", "two sentences", "without times", "ends far behind", "nothing"],
)
def test_what_the_model_says_behind_four_seconds_of_sound_was_not_said(
    ids: list[int], spoken: list[int], lost: bool
) -> None:
    assert in_the_sound(ids, FakeTokens(), 4.0) == (spoken, lost)


@given(st.lists(st.one_of(st.integers(0, 99), st.integers(1000, 2500)), max_size=40), st.floats(0.1, 30))
def test_nothing_is_added_and_nothing_changes_places(ids: list[int], sound_s: float) -> None:
    spoken, _ = in_the_sound(ids, FakeTokens(), sound_s)
    rest = iter(each for each in ids if each < FakeTokens.eot)
    assert all(each in rest for each in spoken)
