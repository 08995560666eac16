"""Voices: which are here, which one is meant, and how their samples and sentences are cut."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from voice_fakes import VOICE_RATE, put_voice

from localmind.errors import InvalidRequest
from localmind.voice.encoding import encoded
from localmind.voice.synthesis import sentences
from localmind.voice.voices import Speaker, choose, found


def test_voices_are_found_and_damaged_ones_are_left_out(tmp_path: Path) -> None:
    put_voice(tmp_path, "de_DE-anna-low", language="de")
    put_voice(tmp_path / "more", "en_GB-bob-low")
    put_voice(tmp_path, "too-quick", rate=10_000_000)
    (tmp_path / "alone.onnx").write_bytes(b"weights")
    (tmp_path / "odd.onnx").write_bytes(b"weights")
    (tmp_path / "odd.onnx.json").write_text("[]")
    voices = found([tmp_path, tmp_path / "nowhere"])
    assert [(each.name, each.language) for each in voices] == [("de_DE-anna-low", "de"), ("en_GB-bob-low", "en")]


SPEAKERS = [
    Speaker(name, "piper", Path(f"{name}.onnx"), Path(f"{name}.onnx.json"), name[:2], VOICE_RATE)
    for name in ("de_DE-anna-low", "en_GB-bob-low", "en_US-joe-medium")
]


@pytest.mark.parametrize(
    ("voice", "model", "preferred", "expected"),
    [
        (None, None, None, "en_GB-bob-low"),
        ("alloy", "tts-1", None, "en_GB-bob-low"),
        ("alloy", "tts-1-hd", "de_DE-anna-low", "de_DE-anna-low"),
        ("joe", "tts-1", None, "en_US-joe-medium"),
        ("default", "piper:joe", None, "en_US-joe-medium"),
        ("EN_us-JOE-medium", "anything", None, "en_US-joe-medium"),
        ("default", "somebody-else", None, "en_GB-bob-low"),
    ],
)
def test_a_voice_is_meant_by_its_name_a_part_of_it_or_a_name_of_openai_s(
    voice: str | None, model: str | None, preferred: str | None, expected: str
) -> None:
    assert choose(SPEAKERS, voice, model, preferred).name == expected


def test_a_voice_that_is_not_here_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidRequest, match="de_DE-anna-low"):
        choose(SPEAKERS, "whoever", "tts-1", None)


@given(st.lists(st.binary(max_size=3000).map(lambda data: data[: len(data) // 2 * 2]), max_size=6))
def test_samples_in_pieces_of_any_size_come_out_of_a_wav_as_they_went_in(pieces: list[bytes]) -> None:
    assert b"".join(encoded(iter(pieces), VOICE_RATE, "wav"))[44:] == b"".join(pieces)


@given(st.text(max_size=400))
def test_sentences_keep_every_word(text: str) -> None:
    assert " ".join(sentences(text)).split() == text.split()
