"""Speaking back, with a program that stands in for Piper: voices, formats, speed, memory, and what goes wrong."""

import asyncio
import io
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio
from voice_fakes import VOICE_RATE, FakeMover, put_voice

from localmind.catalog import Catalog, bundled
from localmind.errors import InvalidRequest, ModelFileBroken, NoRoom, VoiceMissing
from localmind.machine.amounts import RAM
from localmind.models.store import Store
from localmind.voice.encoding import FORMATS, PCM_RATE
from localmind.voice.reading_aloud import ReadAloud
from localmind.workers.residence import Residence

FAKE_PIPER = f"""#!{sys.executable}
import math, struct, sys
scale = float(sys.argv[sys.argv.index("--length_scale") + 1])
line = sys.stdin.readline()
if "break" in line:
    sys.exit("the voice is no voice")
words = len(line.split())
count = int({VOICE_RATE} * 0.25 * words * scale)
for start in range(0, count, 4096):
    block = range(start, min(count, start + 4096))
    sys.stdout.buffer.write(struct.pack(f"<{{len(block)}}h", *(int(9000 * math.sin(n / 16)) for n in block)))
    sys.stdout.buffer.flush()
"""
"""Says a tone of a quarter of a second for each word."""


class Home:
    """A ReadAloud with one voice, a fake Piper, and the ledger's side of it."""

    def __init__(self, base: Path, room: int = 4 << 30) -> None:
        self.folder = base / "voices"
        program = base / "piper"
        program.write_text(FAKE_PIPER)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.residence = Residence(FakeMover(), lambda: {RAM: room})
        self.aloud = ReadAloud(
            Catalog(bundled()),
            Store(base / "models"),
            self.residence,
            self.folder,
            program=lambda speaker: str(program),
        )

    async def say(self, text: str, form: str = "pcm", **how: object) -> bytes:
        return b"".join([piece async for piece in self.aloud.speak(text, form, **how)])  # type: ignore[arg-type]

    async def close(self) -> None:
        self.residence.close()
        await self.aloud.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    made = Home(tmp_path_factory.mktemp("aloud"))
    put_voice(made.folder, "en_US-fake-low")
    yield made
    await made.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


def length(data: bytes) -> float:
    """Seconds of a sound file, decoded to its end."""
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(audio=0))
    return float(sum(frame.samples / frame.sample_rate for frame in frames))


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "pcm"])
async def test_every_format_can_be_decoded_and_is_as_long_as_what_was_said(home: Home, form: str) -> None:
    assert length(await home.say("one two three four", form)) == pytest.approx(1.0, abs=0.15)


async def test_bare_samples_have_the_rate_that_openai_s_have(home: Home) -> None:
    data = await home.say("one two three four")
    assert len(data) / 2 / PCM_RATE == pytest.approx(1.0, abs=0.02)
    assert np.abs(np.frombuffer(data, "<i2")).max() > 8000


async def test_twice_the_speed_takes_half_the_time_and_absurd_speeds_are_bounded(home: Home) -> None:
    whole = len(await home.say("one two three four"))
    assert len(await home.say("one two three four", speed=2.0)) == pytest.approx(whole / 2, rel=0.02)
    assert len(await home.say("one", speed=0.001)) == pytest.approx(whole, rel=0.02), "a quarter of the speed at least"


async def test_the_voice_is_in_the_ledger_and_leaves_when_it_is_told(home: Home) -> None:
    await home.say("hello")
    [account] = home.residence.accounts()
    assert (account["model"], account["stage"]) == ("voice en_US-fake-low", "hot")
    assert account["reserved"][RAM] > 100 << 20
    await home.residence.unload("voice en_US-fake-low")
    assert home.aloud.pids() == []


async def test_what_the_program_says_last_is_the_error_and_the_next_text_is_read(home: Home) -> None:
    with pytest.raises(ModelFileBroken, match="the voice is no voice"):
        await home.say("break")
    assert await home.say("hello")


async def test_one_who_stops_listening_ends_it_and_the_next_is_read(home: Home) -> None:
    async with aclosing(home.aloud.speak("word " * 20_000, "pcm")) as pieces:
        assert await anext(pieces)
    async with asyncio.timeout(60):
        assert await home.say("hello")


async def test_a_worker_that_is_killed_is_started_again(home: Home) -> None:
    await home.say("hello")
    [pid] = home.aloud.pids()
    os.kill(pid, 9)
    assert await home.say("hello again")


@pytest.mark.parametrize("text", ["", " \n ", "x" * 100_001])
async def test_nothing_and_far_too_much_are_refused(home: Home, text: str) -> None:
    with pytest.raises(InvalidRequest):
        await home.say(text)


async def test_without_room_for_the_voice_both_numbers_are_said(tmp_path: Path) -> None:
    home = Home(tmp_path, room=1 << 20)
    put_voice(home.folder, "en_US-fake-low")
    with pytest.raises(NoRoom, match="1 MiB"):
        await home.say("hello")
    await home.close()


async def test_without_any_voice_the_hint_says_what_to_type(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(VoiceMissing) as caught:
        await home.say("hello")
    assert "localmind models pull piper:joe" in str(caught.value.hint)
