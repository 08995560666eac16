"""The conversation as plain lines: everything said once, nothing drawn."""

import asyncio
from pathlib import Path

import pytest
from images_made import png
from tui_fakes import FakeDaemon, FakeEyes

from localmind.errors import WorkerDied
from localmind.events import Done, Passage, Sources, TextDelta
from localmind.images import Image
from localmind_tui import plain


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user types; the end of it is Ctrl+D."""
    typed: list[str] = []
    monkeypatch.setattr("builtins.input", lambda prompt="": typed.pop(0) if typed else (_ for _ in ()).throw(EOFError))
    return typed


async def test_asking_searching_and_opening_by_lines(
    lines: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    passage = Passage(1, "/f/boiler.md", 1, 9, None, None, "", 0.7)
    daemon.say(
        TextDelta("In \x1b[31m October"), Sources((passage,)), Done(), WorkerDied("killed", hint="localmind doctor")
    )
    lines += [
        "When was \\",
        "it serviced?",
        "/again",
        "/search october",
        "/open 1",
        "/threads",
        "/nonsense",
        "/quit",
        "never",
    ]
    assert await plain.converse(daemon, folder=None, model=None, thread=None) == 0
    said = capsys.readouterr().out
    assert "In  October\nSource 1: /f/boiler.md:1-9\n" in said
    assert "killed\nhint: localmind doctor\n" in said
    assert "You: When was \nit serviced?" in said
    assert "1. When was: In October" in said
    assert "/search WORDS" in said
    assert "\x1b" not in said
    assert lines == ["never"]
    assert daemon.closed
    await daemon.stop()


async def test_an_image_goes_with_the_next_question_and_a_refusal_keeps_it(
    lines: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a plan.png").write_bytes(png(3, 2))
    daemon = FakeDaemon(tmp_path / "threads.db")
    lines += [f"/image {tmp_path}/a plan.png", f"/image {tmp_path}/none.png", "What is it?"]
    assert await plain.converse(daemon, folder=None, model=None, thread=None) == 0
    said = capsys.readouterr().out
    assert "With the next question: a plan.png, PNG 3×2, " in said
    assert "none.png is no file" in said
    assert "smollm2:135m cannot see images" in said
    daemon.model.outside = FakeEyes()
    daemon.say(TextDelta("A plan."), Done())
    lines += [f"/image '{tmp_path}/a plan.png'", "What is it?", "/open 1"]
    assert await plain.converse(daemon, folder=None, model=None, thread=None) == 0
    assert daemon.model.asked[0].messages[-1].images == (Image("image/png", png(3, 2)),)
    await daemon.stop()


class FakeRestarted(FakeDaemon):
    """Comes back when it is asked for; `forgets` what was being written, as after a crash."""

    forgets = False

    async def ensure(self) -> None:
        self.ensured += 1
        if self.away:
            if self.forgets:
                await self.running.close()
                self.running._stopping = False
                self.lose_running()
            self.come_back()


@pytest.mark.parametrize("forgets", [False, True])
async def test_a_daemon_that_goes_away_is_started_again_and_the_answer_is_told_once(
    lines: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, forgets: bool
) -> None:
    daemon = FakeRestarted(tmp_path / "threads.db")
    daemon.forgets = forgets
    daemon.say(TextDelta("Half of it"))
    lines += ["What is it?", "And then?"]
    said = ""
    talking = asyncio.create_task(plain.converse(daemon, folder=None, model=None, thread=None))
    while "Half of it" not in said:
        await asyncio.sleep(0.01)
        said += capsys.readouterr().out
    daemon.go_away()
    if not forgets:
        daemon.say(TextDelta(", and the rest."), Done())
    while len(daemon.model.asked) < 2:
        said += capsys.readouterr().out
        await asyncio.sleep(0.01)
    daemon.say(TextDelta("The end."), Done())
    assert await talking == 0
    said += capsys.readouterr().out
    assert said.count("Half of it") == 1
    assert ("and the rest." in said) is not forgets
    assert "another is started" in said
    assert "The end." in said, "the question after it is asked of the new one"
    await daemon.stop()


async def test_an_answer_that_was_cut_short_says_so_at_its_end_and_when_it_is_opened(
    lines: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    daemon.say(*[TextDelta("She represents herself. ")] * 250, TextDelta("Once"), Done("length"))
    lines += ["/chat", "Tell of a bee.", "/new", "/files", "And of a boiler.", "/threads", "/open 2"]
    assert await plain.converse(daemon, folder=None, model=None, thread=None) == 0
    said = capsys.readouterr().out
    bee = (
        "She represents herself. \nThe answer was ended here, since it was repeating itself.\n"
        "/again writes another; localmind chat --plain -m NAME asks another model.\n"
    )
    boiler = "Once\nThe answer was cut off at the length limit.\n"
    assert said.count(bee) == 2, "as it came, and as it was opened"
    assert boiler in said
    await daemon.stop()
