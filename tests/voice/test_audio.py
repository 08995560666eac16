"""Sound files of every kind and none: what is decoded, what is refused, and that memory stays small."""

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from voice_fakes import BOILER, REPORT_MP3, samples

from localmind.errors import AudioUnreadable
from localmind.speech import SAMPLE_RATE
from localmind.voice.audio import SEARCH_S, WHOLE_S, WINDOW_S, Recording, quiet_place


def write_wav(path: Path, pcm: bytes, *, rate: int = SAMPLE_RATE, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)
    return path


def test_a_file_becomes_what_faster_whisper_makes_of_it() -> None:
    from faster_whisper import decode_audio

    ours, theirs = samples(BOILER), decode_audio(str(BOILER))
    assert len(ours) == len(theirs)
    assert np.abs(ours - theirs).max() < 1e-6


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22050, 1), (44100, 2), (48000, 2), (96000, 1)])
def test_every_rate_and_stereo_become_16_khz_mono(tmp_path: Path, rate: int, channels: int) -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype("<i2")
    found = samples(write_wav(tmp_path / "tone.wav", np.repeat(tone, channels).tobytes(), rate=rate, channels=channels))
    assert len(found) == pytest.approx(SAMPLE_RATE, abs=400)
    peak = np.abs(np.fft.rfft(found[2000:14000])).argmax() * SAMPLE_RATE / 12000
    assert peak == pytest.approx(440, abs=3)


def test_a_long_recording_comes_in_windows_cut_where_it_is_quiet(tmp_path: Path) -> None:
    length = (WHOLE_S + WINDOW_S) * SAMPLE_RATE
    sound = np.full(length, 3000, dtype="<i2")
    pause = (WINDOW_S - 12) * SAMPLE_RATE
    sound[pause : pause + SAMPLE_RATE] = 0
    windows = list(Recording(write_wav(tmp_path / "long.wav", sound.tobytes())).windows())
    assert sum(len(window) for _, window in windows) == length
    assert windows[1][0] == pytest.approx(WINDOW_S - 11.5, abs=0.6)
    assert max(len(window) for _, window in windows) <= WHOLE_S * SAMPLE_RATE


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(AudioUnreadable, match=r"a\.wav is empty"):
        Recording(tmp_path / "a.wav")


def test_a_header_without_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioUnreadable):
        samples(write_wav(tmp_path / "none.wav", b""))


@pytest.mark.parametrize(
    "content", [b"this is a letter, not sound\n" * 50, b"\0" * 5000, b"RIFF", b"ID3\x03\0\0\0\0\0"]
)
def test_what_only_has_the_name_of_sound_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "speech.wav").write_bytes(content)
    with pytest.raises(AudioUnreadable, match=r"speech\.wav"):
        samples(tmp_path / "speech.wav")


def test_a_directory_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(AudioUnreadable, match="not a file"):
        Recording(tmp_path)
    with pytest.raises(AudioUnreadable, match="does not exist"):
        Recording(tmp_path / "gone.mp3")


def test_of_a_file_that_was_cut_short_what_is_there_counts(tmp_path: Path) -> None:
    (tmp_path / "half.mp3").write_bytes(REPORT_MP3.read_bytes()[:9000])
    assert 1.5 < len(samples(tmp_path / "half.mp3")) / SAMPLE_RATE < 3.5


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {}\n",
        "#EXTM3U\n{}\n",
    ],
)
def test_a_playlist_reads_no_other_file(tmp_path: Path, playlist: str) -> None:
    (tmp_path / "list.mp3").write_text(playlist.format(BOILER))
    with pytest.raises(AudioUnreadable):
        samples(tmp_path / "list.mp3")


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.lists(st.tuples(st.integers(0, 15000), st.binary(min_size=1, max_size=40)), min_size=1, max_size=8))
def test_damaged_files_are_heard_or_refused_and_nothing_else(tmp_path: Path, damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(BOILER.read_bytes())
    for at, piece in damage:
        data[at : at + len(piece)] = piece
    path = tmp_path / "damaged.ogg"
    path.write_bytes(data)
    try:
        found = samples(path)
    except AudioUnreadable:
        return
    assert np.isfinite(found).all()


def test_a_header_that_promises_terabytes_gives_what_is_there(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "liar.wav", b"\1\0" * SAMPLE_RATE)
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(data)
    assert len(samples(path)) == pytest.approx(SAMPLE_RATE, abs=200)


def test_the_quiet_place_is_inside_its_bounds() -> None:
    sound = np.ones(SEARCH_S * SAMPLE_RATE, dtype=np.float32)
    sound[100_000:110_000] = 0
    assert 100_000 <= quiet_place(sound, 32_000, 300_000) <= 110_000
