"""Speaking into the composer, with real capture code on a sound file and a scripted daemon that hears it; and answers
that are read aloud."""

import asyncio
import math
import struct
import threading
import wave
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tui_driver import Driver, Start
from tui_fakes import FakeDaemon

from localmind.errors import MicrophoneMissing, VoiceMissing
from localmind.events import Done, Event, TextDelta
from localmind.microphone import Capture, FileCapture
from localmind.speech import Heard, Listening, Transcript
from localmind_tui.aloud import Aloud, spoken
from localmind_tui.preferences import Preferences
from localmind_tui.widgets.mic import HELD_S, MicChip


class FakeEars(FakeDaemon):
    """Hears what the test says that it hears; knows how much sound came, and whether anybody hung up."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.script: asyncio.Queue[Event] = asyncio.Queue()
        self.asked: list[Mapping[str, Any]] = []
        self.sound = bytearray()
        self.ended = self.hung_up = False

    async def get(self, path: str, /, **query: Any) -> Any:
        return {"microphone": "Desk"} if path == "/voice" else await super().get(path, **query)

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Event]:
        if path != "/listen":
            async for event in super().events(path, body):
                yield event
            return
        self.asked.append(body)
        yield Listening("ear")
        try:
            while not isinstance(event := await self.script.get(), Done):
                yield event
        except (GeneratorExit, asyncio.CancelledError):
            self.hung_up = True
            raise

    async def send(self, path: str, content: bytes) -> None:
        if path.endswith("/end"):
            self.ended = True
        self.sound += content


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A second of sound."""
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        samples = (int(9000 * math.sin(n / 5)) for n in range(16_000))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return path


class Microphone:
    """Opens a sound file, and remembers what was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str | None] = []
        self.captures: list[FileCapture] = []

    def __call__(self, name: str | None) -> Capture:
        self.names.append(name)
        self.captures.append(FileCapture(self.path))
        return self.captures[-1]

    @property
    def all_closed(self) -> bool:
        return all(capture._closed.is_set() for capture in self.captures)


def shown(driver: Driver) -> str:
    return str(driver.chat.dictation.content)


async def test_what_is_said_settles_over_the_question_and_goes_to_its_cursor_unsent(
    start: Start, tmp_path: Path, tone: Path
) -> None:
    daemon, microphone = FakeEars(tmp_path / "t.db"), Microphone(tone)
    async with start(daemon, microphone=microphone) as driver:
        dictation = driver.chat.dictation
        driver.type("Please:")
        await driver.press("ctrl+r")
        await driver.until(lambda: "speak now" in shown(driver) and len(daemon.sound) > 6400)
        assert microphone.names == ["Desk"]
        assert daemon.asked[0]["silence_s"] == 1.2
        assert any(bar in shown(driver) for bar in "▃▄▅▆▇")
        daemon.script.put_nowait(Heard("When was", "the boy"))
        await driver.until(lambda: "When was the boy" in shown(driver))
        await driver.press("ctrl+r")  # that was all
        await driver.until(lambda: daemon.ended)
        daemon.script.put_nowait(Transcript("When was the boiler serviced?"))
        daemon.script.put_nowait(Done())
        await driver.until(lambda: not dictation.active)
        assert driver.composer.text == "Please: When was the boiler serviced?"
        assert microphone.all_closed
        assert not driver.turns
        # Esc drops what is being said, and nothing else
        await driver.press("ctrl+r")
        await driver.until(lambda: "speak now" in shown(driver))
        await driver.press("escape")
        await driver.until(lambda: not dictation.active and daemon.hung_up and microphone.all_closed)
        assert driver.composer.text == "Please: When was the boiler serviced?"
    await daemon.stop()


async def test_a_held_button_speaks_until_it_is_let_go_and_a_click_until_a_pause(
    start: Start, tmp_path: Path, tone: Path
) -> None:
    daemon, microphone, now = FakeEars(tmp_path / "t.db"), Microphone(tone), [1.0]
    async with start(daemon, microphone=microphone, clock=lambda: now[0]) as driver:
        chip, dictation = driver.chat.query_one(MicChip), driver.chat.dictation
        await driver.pilot.mouse_down(chip)
        await driver.until(lambda: daemon.sound)
        now[0] += HELD_S
        assert daemon.asked[0]["silence_s"] is None
        await driver.pilot.mouse_up(chip)
        await driver.until(lambda: daemon.ended)
        daemon.script.put_nowait(Transcript("", silent="nobody spoke"))
        daemon.script.put_nowait(Done())
        await driver.until(lambda: not dictation.active and "nobody spoke" in driver.notices)
        await driver.pilot.click(chip)
        await driver.until(lambda: daemon.asked[-1]["silence_s"] == 1.2 and "speak now" in shown(driver))
        await driver.pilot.click(chip)
        daemon.script.put_nowait(Done())
        await driver.until(lambda: not dictation.active and microphone.all_closed)
    await daemon.stop()


async def test_what_is_said_is_sent_by_itself_when_the_settings_want_it(
    start: Start, tmp_path: Path, tone: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[tui]\nsend_spoken = true\npause_s = 2\n")
    daemon, microphone = FakeEars(tmp_path / "t.db"), Microphone(tone)
    async with start(daemon, microphone=microphone, settings=settings) as driver:
        await driver.press("ctrl+r")
        await driver.until(lambda: daemon.asked)
        assert daemon.asked[0]["silence_s"] == 2
        daemon.script.put_nowait(Transcript("Who came?"))
        daemon.script.put_nowait(Done())
        await driver.until(lambda: driver.turns and driver.turns[0].question.content == "Who came?")
        daemon.say(Done())
    await daemon.stop()


async def test_without_a_microphone_its_absence_is_told_with_what_to_do(start: Start, tmp_path: Path) -> None:
    def none(name: str | None) -> Capture:
        raise MicrophoneMissing("there is no microphone here", hint="plug one in")

    async with start(FakeEars(tmp_path / "t.db"), microphone=none) as driver:
        await driver.press("ctrl+r")
        await driver.until(lambda: "there is no microphone here\nhint: plug one in" in driver.notices)
        assert not driver.chat.dictation.active


def test_the_settings_of_speaking_are_checked() -> None:
    found = Preferences.of({"send_spoken": "yes", "pause_s": 0})
    assert (found.send_spoken, found.pause_s, len(found.problems)) == (False, 1.2, 2)


class FakePlayer:
    """A Player that is heard as long as nobody stops it, or until the sound is over where that is said."""

    def __init__(self, *, short: bool = False) -> None:
        self.heard = b""
        self.short = short
        self.over = threading.Event()

    def play(self, pieces: Iterable[bytes]) -> None:
        self.heard = b"".join(pieces)
        if not self.short:
            assert self.over.wait(120)

    def stop(self) -> None:
        self.over.set()


async def test_an_answer_is_read_aloud_by_its_key_and_silenced_by_it_or_by_escape(start: Start, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    players: list[FakePlayer] = []

    def sound(path: str, body: dict[str, Any]) -> Iterator[bytes]:
        assert path == "/speak"
        asked.append(body)
        yield b"abc"
        yield b"d"

    def player() -> FakePlayer:
        players.append(FakePlayer())
        return players[-1]

    daemon = FakeDaemon(tmp_path / "t.db")
    aloud = Aloud(sound, player)
    async with start(daemon, aloud=aloud) as driver:
        driver.type("When?")
        await driver.press("enter")
        daemon.say(TextDelta("In **March** [1].\n\n```sh\nls\n```\n"), Done())
        await driver.until(lambda: driver.turns and driver.turns[0].state == "done")
        await driver.press("ctrl+up", "v")
        await driver.until(lambda: players and players[0].heard == b"abcd")
        assert asked == [{"input": "In March.", "response_format": "pcm"}]
        await driver.press("v")
        await driver.until(lambda: players[0].over.is_set() and not aloud.reading)
        await driver.press("v")
        await driver.until(lambda: len(players) == 2 and players[1].heard)
        await driver.press("escape")
        await driver.until(lambda: players[1].over.is_set() and not aloud.reading)
        await driver.press("ctrl+up", "v")
        await driver.until(lambda: len(players) == 3 and players[2].heard)
    assert players[2].over.is_set(), "an app that has ended goes on speaking"
    await daemon.stop()


async def test_without_a_voice_what_to_type_is_told(start: Start, tmp_path: Path) -> None:
    def sound(path: str, body: dict[str, Any]) -> Iterator[bytes]:
        raise VoiceMissing("no voice is here", hint="localmind models pull piper:joe")

    daemon = FakeDaemon(tmp_path / "t.db")
    async with start(daemon, aloud=Aloud(sound, lambda: FakePlayer(short=True))) as driver:
        driver.type("When?")
        await driver.press("enter")
        daemon.say(TextDelta("In March."), Done())
        await driver.until(lambda: driver.turns and driver.turns[0].state == "done")
        await driver.press("ctrl+up", "v")
        await driver.until(lambda: "no voice is here\nhint: localmind models pull piper:joe" in driver.notices)
    await daemon.stop()


@pytest.mark.parametrize(
    ("markdown", "words"),
    [
        ("# Title\n\n- one [1][2]\n- two [3?]", "Title\none\ntwo"),
        ("See [the list](http://a/b) and `ls -l`.\nNext line.", "See the list and ls -l. Next line."),
        ("```\ncode alone\n```", ""),
        ("a <b>bold</b> word", "a bold word"),
        ("", ""),
    ],
)
def test_what_is_read_are_the_words(markdown: str, words: str) -> None:
    assert spoken(markdown) == words
