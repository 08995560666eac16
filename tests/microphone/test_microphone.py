"""Captures: a file at the speed of speech, the meter, and what is said where there is no microphone."""

import array
import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localmind.errors import AudioUnreadable, MicrophoneBusy, MicrophoneMissing
from localmind.microphone import FileCapture, devices, loudness_db, meter, open_capture
from localmind.microphone.background import in_background

SPEECH = Path(__file__).parents[1] / "data" / "speech" / "report.mp3"


def tone(level: float) -> bytes:
    return array.array("h", [int(32767 * level * math.sin(n / 5)) for n in range(1600)]).tobytes()


def test_the_meter_rises_with_loudness_and_stays_between_its_ends() -> None:
    levels = [meter(tone(level)) for level in (0.0, 0.001, 0.01, 0.1, 1.0)]
    assert levels == sorted(levels)
    assert levels[0] == 0.0
    assert 0.9 < levels[-1] <= 1.0
    assert loudness_db(tone(0.1)) == pytest.approx(-23, abs=0.5)
    assert meter(b"") == meter(b"\1") == 0.0


def test_a_file_is_played_in_pieces_of_a_tenth_of_a_second_then_silence() -> None:
    capture = FileCapture(SPEECH, speed=0)
    pieces = []
    for piece in capture.pieces():
        pieces.append(piece)
        if len(pieces) == 80:
            capture.close()
    assert {len(piece) for piece in pieces} == {3200}
    assert len(pieces) == 80
    assert meter(pieces[10]) > 0.4
    assert meter(pieces[-1]) == 0.0


def test_a_file_takes_as_long_as_its_speech() -> None:
    began = time.monotonic()
    with FileCapture(SPEECH, speed=4) as capture:
        for number, _ in enumerate(capture.pieces(), 1):
            if number == 20:
                break
    assert time.monotonic() - began >= 0.45


def test_what_is_no_sound_cannot_be_played(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(AudioUnreadable, match=r"a\.wav cannot be played"):
        FileCapture(tmp_path / "a.wav")
    with pytest.raises(AudioUnreadable):
        FileCapture(tmp_path / "missing.wav")


def test_without_a_sound_system_one_line_says_so_and_nothing_else_is_printed() -> None:
    script = (
        "from localmind.errors import LocalmindError\n"
        "from localmind.microphone import open_capture\n"
        "try:\n    open_capture('no such thing')\n"
        "except LocalmindError as problem:\n    print(type(problem).__name__, bool(problem.hint))\n"
    )
    nowhere = dict.fromkeys(("XDG_RUNTIME_DIR", "HOME"), "/nonexistent") | {"PULSE_SERVER": "unix:/nonexistent"}
    environment = os.environ | nowhere
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "MicrophoneMissing True\n"
    assert done.stderr == "", "ALSA's own complaints would tear a terminal app's screen"


def test_a_microphone_that_is_not_there_is_named_with_those_that_are() -> None:
    try:
        there = devices()
    except MicrophoneMissing:
        there = []
    with pytest.raises(MicrophoneMissing) as missing:
        open_capture("the microphone of the neighbours")
    assert "neighbours" in missing.value.message or not there


async def test_a_capture_is_read_beside_the_loop_and_closing_it_is_the_end() -> None:
    capture, levels = FileCapture(SPEECH, speed=0), list[float]()
    count = 0
    async with contextlib.aclosing(in_background(capture, lambda piece: levels.append(meter(piece)))) as pieces:
        async for piece in pieces:
            count += len(piece) == 3200
            if count == 10:
                capture.close()
    assert count == len(levels) >= 10


async def test_a_capture_that_fails_in_the_background_raises_its_error() -> None:
    class FakeBroken(FileCapture):
        def pieces(self) -> Iterator[bytes]:
            yield bytes(3200)
            raise MicrophoneBusy("unplugged")

    with pytest.raises(MicrophoneBusy, match="unplugged"):
        [piece async for piece in in_background(FakeBroken(SPEECH))]


def test_importing_the_package_loads_no_native_code() -> None:
    script = (
        "import sys, localmind.microphone\n"
        "print([name for name in ('miniaudio', '_miniaudio', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
