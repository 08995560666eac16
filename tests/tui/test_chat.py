"""The conversation, with a pilot at the keys and a fake daemon behind."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Markdown, OptionList, Static
from tui_fakes import STATUS, FakeClient, wait_until

from localmind.errors import DaemonUnreachable, WorkerDied
from localmind.events import Done, Failed, Passage, Progress, Sources, TextDelta
from localmind.messages import Message, Timings, Usage
from localmind_tui.app import LocalmindApp
from localmind_tui.editor import Launch
from localmind_tui.screens.help import HelpScreen
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.header import Header
from localmind_tui.widgets.sources import SourcesView
from localmind_tui.widgets.transcript import Transcript
from localmind_tui.widgets.turn import TurnView

DONE = Done("stop", Usage(300, 20), Timings(1, 200, 400), "smollm2:135m")


class Driver:
    """A running app, a pilot and a fake daemon, with the few moves that every test needs."""

    def __init__(self, app: LocalmindApp, pilot: Pilot[None], client: FakeClient, launched: list[Launch]) -> None:
        self.app = app
        self.pilot = pilot
        self.client = client
        self.launched = launched

    async def ask(self, question: str) -> TurnView:
        before = len(self.turns)
        self.app.screen.query_one(Composer).insert(question)
        await self.pilot.press("enter")
        await self.until(lambda: len(self.turns) > before and self.client.open_streams)
        return self.turns[-1]

    async def until(self, condition: Callable[[], object]) -> None:
        await wait_until(self.pilot, condition)

    @property
    def turns(self) -> list[TurnView]:
        return self.app.screen.query_one(Transcript).turns

    @property
    def header(self) -> Header:
        return self.app.screen.query_one(Header)

    @property
    def notices(self) -> str:
        return " ".join(str(notice.message) for notice in self.app._notifications)


Start = Callable[..., AbstractAsyncContextManager[Driver]]


@pytest.fixture
def start() -> Start:
    @asynccontextmanager
    async def started(client: FakeClient | None = None, size: tuple[int, int] = (100, 32)) -> AsyncIterator[Driver]:
        client = client or FakeClient()
        launched: list[Launch] = []
        app = LocalmindApp(client, environ={"EDITOR": "true"}, launch=launched.append)
        async with app.run_test(size=size) as pilot:
            driver = Driver(app, pilot, client, launched)
            await driver.until(lambda: driver.header.state != "connecting")
            yield driver

    return started


async def test_an_answer_streams_in_and_ends_as_markdown_with_its_costs(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("When was the boiler serviced?")
        assert driver.header.state == "answering"
        driver.client.say(TextDelta("It was on "), TextDelta("**9 Octo"))
        tail = turn.query_one(".tail", Static)
        await driver.until(lambda: tail.display and "9 Octo" in str(tail.content))
        driver.client.say(TextDelta("ber 2026** [1]."), DONE)
        await driver.until(lambda: turn.state == "done")
        assert turn.answer == "It was on **9 October 2026** [1]."
        assert turn.query_one(Markdown).source == turn.answer
        assert not tail.display
        assert turn.note == "20 tokens · 50 tokens/s · first after 0.2 s"
        await driver.until(lambda: driver.header.state == "ready")
        assert driver.client.asked == [("When was the boiler serviced?", None, None)]
        assert driver.client.streams_closed == 1


async def test_closed_blocks_become_markdown_while_the_open_one_is_still_plain(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Explain")
        driver.client.say(TextDelta("First paragraph.\n\n- an item\n- another"))
        markdown, tail = turn.query_one(Markdown), turn.query_one(".tail", Static)
        await driver.until(lambda: markdown.source == "First paragraph.\n\n")
        await driver.until(lambda: str(tail.content) == "- an item\n- another")
        driver.client.say(DONE)
        await driver.until(lambda: turn.state == "done")
        assert markdown.source == "First paragraph.\n\n- an item\n- another"


async def test_escape_stops_the_answer_closes_the_stream_and_keeps_the_text(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Tell me everything")
        driver.client.say(TextDelta("Once upon a time"))
        await driver.until(lambda: turn.answer)
        await driver.pilot.press("escape")
        await driver.until(lambda: turn.state == "stopped")
        assert turn.answer == "Once upon a time"
        assert turn.query_one(Markdown).source == "Once upon a time"
        assert turn.note == "stopped"
        assert driver.client.open_streams == 0
        # and the next question is answered
        again = await driver.ask("And then?")
        driver.client.say(TextDelta("The end."), DONE)
        await driver.until(lambda: again.state == "done")


async def test_escape_before_the_first_word_is_said_so(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Hello?")
        driver.client.say(Progress("load", 1, 4, "", "loading the model"))
        await driver.until(lambda: turn.note == "loading the model 25 %")
        await driver.pilot.press("escape")
        await driver.until(lambda: turn.state == "stopped")
        assert turn.note == "stopped before the first word"


async def test_a_failed_answer_keeps_its_text_and_shows_the_hint(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("?")
        driver.client.say(TextDelta("Half an "), Failed.of(WorkerDied("the engine died", hint="localmind doctor")))
        await driver.until(lambda: turn.state == "failed")
        assert turn.answer == "Half an "
        assert turn.note == "the engine died\nhint: localmind doctor"


async def test_a_stream_that_raises_or_breaks_off_is_a_failed_answer_and_the_app_lives(start: Start) -> None:
    async with start() as driver:
        for event, note in ((DaemonUnreachable("it went away"), "it went away"), (None, "the answer ended early")):
            turn = await driver.ask("?")
            driver.client.say(event)
            await driver.until(lambda: driver.turns[-1].state == "failed")
            assert turn.note.startswith(note)


async def test_sources_are_numbered_and_enter_opens_the_marked_one_at_its_line(start: Start, tmp_path: Path) -> None:
    boiler, router = tmp_path / "boiler.md", tmp_path / "router.md"
    boiler.write_text("x")
    router.write_text("x")
    first = Passage(1, str(boiler), 6, 10, None, "Service", "x", 0.7)
    second = Passage(2, str(router), 3, 3, None, None, "x", 0.4)
    async with start(FakeClient(status=STATUS | {"folders": [{"path": str(tmp_path)}]})) as driver:
        turn = await driver.ask("When?")
        driver.client.say(Sources((first, second)), TextDelta("On the ninth [1]."), DONE)
        await driver.until(lambda: turn.state == "done")
        lines = [str(option.prompt) for option in turn.sources.options]
        assert lines == [f"[1] {tmp_path.name}/boiler.md:6-10  Service", f"[2] {tmp_path.name}/router.md:3"]

        await driver.pilot.press("ctrl+o", "down", "enter")
        await driver.until(lambda: driver.launched)
        assert driver.launched == [Launch(("true", "+3", str(router)), in_terminal=True)]
        await driver.pilot.press("escape")
        assert isinstance(driver.app.focused, Composer)

        router.unlink()
        await driver.pilot.press("ctrl+o", "enter")
        await driver.until(lambda: "no longer there" in driver.notices)


async def test_the_sources_that_were_cited_replace_those_that_were_found(start: Start) -> None:
    found = tuple(Passage(number, f"/{number}.md", 1, 2, None, None, "", 0.5) for number in (1, 2, 3))
    async with start() as driver:
        turn = await driver.ask("?")
        driver.client.say(Sources(found))
        await driver.until(lambda: turn.sources.option_count == 3)
        driver.client.say(TextDelta("See [2]."), Sources(found[1:2]), DONE)
        await driver.until(lambda: turn.state == "done")
        assert [passage.number for passage in turn.sources.passages] == [2]
        nothing = await driver.ask("What is not there?")
        driver.client.say(Sources(found), TextDelta("That is not in your files."), Sources(()), DONE)
        await driver.until(lambda: nothing.state == "done")
        assert not nothing.sources.display


async def test_escapes_in_answers_file_names_headings_and_errors_never_reach_the_screen(start: Start) -> None:
    evil = "\x1b]52;c;aGk=\x07\x1b[2J"
    async with start(
        FakeClient(status={"models": [{"model": f"m{evil}"}], "folders": [{"path": f"/f{evil}"}]})
    ) as driver:
        turn = await driver.ask("?")
        driver.client.say(
            Sources((Passage(1, f"/x{evil}.md", 1, 2, None, f"head{evil}", "", 0.1),)),
            TextDelta("be\x1b"),
            TextDelta("[31mfore\n\n[bold red]markup[/] stays\n\n"),
        )
        await driver.until(lambda: "fore" in turn.answer)
        driver.client.say(Failed.of(WorkerDied(f"died{evil}", hint=f"try{evil}")))
        await driver.until(lambda: turn.state == "failed")
        shown = "\n".join(strip.text for strip in driver.app.screen._compositor.render_strips(driver.app.screen.size))
        assert "before" in shown
        assert "[bold red]markup[/] stays" in shown
        assert "/x.md:1-2  head" in shown
        assert not set(shown) & set("\x1b\x07\x9b")
        assert "52;c" not in shown
        assert "[2J" not in shown


async def test_hostile_markdown_does_not_bring_the_app_down(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("?")
        for text in (
            "> " * 3000 + "deep\n\n",
            "- " * 500 + "x\n\n",
            "[" * 5000 + "\n\n",
            "|" * 2000 + "\n|-\n\n",
            "`" * 9,
        ):
            driver.client.say(TextDelta(text))
        driver.client.say(TextDelta("\n\n<script>alert(1)</script> ![x](http://evil.example/a.png)\n"), DONE)
        await driver.until(lambda: turn.state == "done")
        assert await driver.ask("still there?")


async def test_a_second_question_waits_and_is_not_lost(start: Start) -> None:
    async with start() as driver:
        await driver.ask("first")
        composer = driver.app.screen.query_one(Composer)
        composer.insert("second")
        await driver.pilot.press("enter")
        await driver.until(lambda: "Esc stops it" in driver.notices)
        assert composer.text == "second"
        assert len(driver.turns) == 1


async def test_chat_mode_sends_what_has_been_said_and_no_half_turns(start: Start) -> None:
    async with start() as driver:
        await driver.pilot.press("ctrl+t")
        first = await driver.ask("Hello")
        driver.client.say(TextDelta("Hi."), DONE)
        await driver.until(lambda: first.state == "done")
        unanswered = await driver.ask("Stopped at once")
        await driver.pilot.press("escape")
        await driver.until(lambda: unanswered.state == "stopped")
        await driver.ask("How are you?")
        assert driver.client.asked == []
        assert driver.client.chats[-1] == [
            Message("user", "Hello"),
            Message("assistant", "Hi."),
            Message("user", "How are you?"),
        ]


async def test_a_new_conversation_is_empty_and_sends_no_history(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("?")
        await driver.pilot.press("ctrl+n")
        assert driver.turns == [turn]  # not while an answer is being written
        driver.client.say(DONE)
        await driver.until(lambda: turn.state == "done")
        await driver.pilot.press("ctrl+n")
        await driver.until(lambda: not driver.turns)
        assert driver.app.screen.query_one("#welcome").display


async def test_enter_sends_and_ctrl_j_begins_a_line_and_blank_questions_stay(start: Start) -> None:
    async with start() as driver:
        await driver.pilot.press("space", "enter")
        assert driver.client.asked == []
        await driver.pilot.press("a", "ctrl+j", "b", "enter")
        await driver.until(lambda: driver.client.asked)
        assert driver.client.asked[0][0] == "a\nb"


async def test_the_header_tells_when_the_daemon_is_away_and_when_it_is_back(start: Start) -> None:
    client = FakeClient()
    client.status_answer = DaemonUnreachable("no daemon answers", hint="localmind serve")
    async with start(client) as driver:
        assert driver.header.state == "unreachable"
        assert "hint: localmind serve" in str(driver.app.screen.query_one("#welcome", Static).content)
        client.status_answer = STATUS
        turn = await driver.ask("?")  # the end of an answer asks for the status again
        driver.client.say(DONE)
        await driver.until(lambda: turn.state == "done" and driver.header.state == "ready")
        assert driver.header.model == "smollm2:135m"
        assert driver.header.folders == "1 folder · 29 files"


async def test_without_folders_the_welcome_gives_the_command_that_adds_one(start: Start) -> None:
    async with start(FakeClient(status={"models": [], "folders": []})) as driver:
        assert "localmind folders add" in str(driver.app.screen.query_one("#welcome", Static).content)
        assert driver.header.model == "no model loaded"


async def test_f1_opens_the_help_and_closes_it(start: Start) -> None:
    async with start() as driver:
        await driver.pilot.press("f1")
        assert isinstance(driver.app.screen, HelpScreen)
        await driver.pilot.press("f1")
        assert not isinstance(driver.app.screen, HelpScreen)


async def test_ctrl_q_leaves_stops_the_answer_and_closes_the_client(start: Start) -> None:
    client = FakeClient()
    async with start(client) as driver:
        await driver.ask("?")
        await driver.pilot.press("ctrl+q")
        await driver.until(lambda: not driver.app.is_running)
    assert client.open_streams == 0
    assert client.closed


async def test_scrolling_up_stays_there_while_the_answer_grows(start: Start) -> None:
    async with start(size=(60, 16)) as driver:
        turn = await driver.ask("Count")
        driver.client.say(TextDelta("\n\n".join(f"Line {number}" for number in range(40)) + "\n\n"))
        transcript = driver.app.screen.query_one(Transcript)
        await driver.until(lambda: transcript.max_scroll_y > 40 and transcript.is_vertical_scroll_end)
        await driver.pilot.press("pageup")
        await driver.until(lambda: not transcript.is_vertical_scroll_end)
        place, height = transcript.scroll_y, transcript.max_scroll_y
        driver.client.say(TextDelta("\n\n".join(f"More {number}" for number in range(10))), DONE)
        await driver.until(lambda: turn.state == "done" and transcript.max_scroll_y > height)
        assert transcript.scroll_y == place


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (40, 12)])
async def test_everything_has_its_place_at_three_sizes(start: Start, size: tuple[int, int]) -> None:
    passages = tuple(Passage(n, f"/home/ines/samples/{n}.md", 1, 2, None, None, "", 0.5) for n in range(1, 6))
    async with start(size=size) as driver:
        turn = await driver.ask("What does the long answer say? " * 4)
        driver.client.say(
            Sources(passages), TextDelta("# Title\n\n" + "word " * 80 + "\n\n```\n" + "x" * 200 + "\n```\n")
        )
        driver.client.say(DONE)
        await driver.until(lambda: turn.state == "done" and driver.header.state == "ready")
        await driver.pilot.press("ctrl+o")
        screen = driver.app.screen
        for widget in (driver.header, screen.query_one(Transcript), screen.query_one(Composer)):
            assert screen.region.contains_region(widget.region), widget
            assert widget.region.height > 0
        assert screen.query_one("#state").region.right <= size[0]
        assert screen.query_one(Transcript).max_scroll_x == 0
        await driver.until(lambda: screen.query_one(Transcript).region.overlaps(turn.sources.region))
        await driver.pilot.press("f1")
        assert driver.app.screen.region.contains_region(driver.app.screen.query_one("#help").region)
        assert isinstance(turn.sources, SourcesView)
        assert isinstance(turn.sources, OptionList)
