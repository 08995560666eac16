"""The gate: 60 clips without a word stay out, 40 short clips of speech come in, a stream hears what a file does."""

import numpy as np
import pytest
from voice_fakes import BOILER, SLOT_S, WORDS, samples, silence

from localmind.speech import SAMPLE_RATE, Segment
from localmind.voice.audio import Samples
from localmind.voice.gate import VOICED, Ear, believable, judge


def noises() -> list[Samples]:
    """Silence, noise of three colours, mains hum, keys, chords: what microphones hear when nobody speaks."""
    rng = np.random.default_rng(7)
    found: list[Samples] = [silence(seconds) for seconds in (0.05, 0.5, 1, 3, 6)]
    for power in (0, 1, 2):
        for level in (0.002, 0.01, 0.05, 0.15, 0.4):
            spectrum = np.fft.rfft(rng.standard_normal(3 * SAMPLE_RATE))
            coloured = np.fft.irfft(spectrum / np.maximum(1, np.arange(len(spectrum))) ** (power / 2))
            found.append((level * coloured / np.abs(coloured).max()).astype(np.float32))
    at = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    for hertz in (50, 60, 100, 120, 150):
        hum = sum(np.sin(2 * np.pi * hertz * n * at) / n for n in (1, 2, 3, 5))
        found.append((0.2 * hum + 0.01 * rng.standard_normal(len(at))).astype(np.float32))
    for _ in range(15):
        sound = 0.001 * rng.standard_normal(4 * SAMPLE_RATE)
        for start in rng.integers(0, len(sound) - 400, size=25):
            click = rng.standard_normal(400) * np.exp(-np.arange(400) / 60)
            sound[start : start + 400] += rng.uniform(0.1, 0.6) * click
        found.append(np.clip(sound, -1, 1).astype(np.float32))
    for _ in range(20):
        notes = []
        for _ in range(8):
            note = np.arange(int(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
            pitches = 220 * 2 ** (rng.choice([0, 3, 5, 7, 10, 12], size=3) / 12)
            chord = sum(np.sin(2 * np.pi * pitch * n * note) / n**2 for pitch in pitches for n in (1, 2, 3))
            notes.append(0.15 * chord * np.exp(-3 * note))
        found.append(np.concatenate(notes).astype(np.float32))
    return found


def test_nothing_that_is_no_speech_passes() -> None:
    clips = noises()
    assert len(clips) == 60
    passed = [number for number, clip in enumerate(clips) if judge(clip).chunks]
    assert passed == []
    assert all(judge(clip).reason for clip in clips)


def test_short_words_pass() -> None:
    words = samples(WORDS)
    clips = [words[start : start + SLOT_S * SAMPLE_RATE] for start in range(0, 80 * SAMPLE_RATE, SLOT_S * SAMPLE_RATE)]
    kept = [clip for clip in clips if judge(clip).chunks]
    assert len(clips) == 40
    assert len(kept) >= 38


def test_speech_in_noise_passes() -> None:
    speech = samples(BOILER)
    noise = np.random.default_rng(3).standard_normal(len(speech)).astype(np.float32)
    noise *= np.sqrt((speech**2).mean() / (noise**2).mean()) / 10 ** (5 / 20)
    verdict = judge(speech + noise)
    assert verdict.speech_s == pytest.approx(len(speech) / SAMPLE_RATE, abs=1.0)


def test_the_reason_names_what_was_heard() -> None:
    assert "too short" in judge(silence(0.05)).reason
    assert "silent" in judge(silence(2)).reason
    assert "nobody speaks" in judge(noises()[40]).reason


def test_a_stream_in_pieces_is_heard_like_a_whole() -> None:
    speech = samples(BOILER)
    whole = Ear().hear(speech)
    ear = Ear()
    pieces = [value for start in range(0, len(speech), 700) for value in ear.hear(speech[start : start + 700])]
    assert len(pieces) == len(whole) == len(speech) // 512
    assert np.abs(np.array(pieces) - np.array(whole)).max() < 0.05
    assert sum(value > VOICED for value in whole) > 100


def test_what_the_model_itself_doubts_is_left_out() -> None:
    sure = Segment(0, 0.0, 1.0, " yes", no_speech_prob=0.9, avg_logprob=-0.3)
    unsure = Segment(0, 0.0, 1.0, " Thank you for watching!", no_speech_prob=0.9, avg_logprob=-1.4)
    assert believable(sure)
    assert not believable(unsure)
