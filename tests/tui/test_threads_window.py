"""The window of threads: what was said is found, long ones are gone through, and each is named, exported, deleted."""

from pathlib import Path

from textual.widgets import Input, Static
from tui_driver import Start
from tui_fakes import FakeDaemon

from localmind.events import Done
from localmind_tui.screens.asking import Prompt
from localmind_tui.screens.threads import ThreadsScreen


def said(daemon: FakeDaemon, question: str, answer: str) -> str:
    thread = daemon.threads.create()
    message = daemon.threads.begin(daemon.threads.ask(thread.id, question).id, model="m")
    daemon.threads.extend(message, answer)
    daemon.threads.finish(message)
    daemon.now += 60
    return thread.id


async def test_search_finds_what_was_said_and_goes_to_it(start: Start) -> None:
    async with start() as driver:
        said(driver.daemon, "About bees", "They live in hives.")
        boiler = said(driver.daemon, "About \x1b[31mheat", "The boiler was serviced by Marek.")
        await driver.opened("f2", ThreadsScreen)
        assert [line.split("  ")[1].strip() for line in driver.lines] == ["About heat", "About bees"]
        driver.app.screen.query_one(Input).value = "serviced"
        await driver.until(lambda: len(driver.lines) == 1)
        assert "The boiler was serviced by Marek." in driver.lines[0]
        assert "\x1b" not in driver.lines[0]
        await driver.press("enter")
        await driver.until(lambda: driver.chat._key == boiler and driver.turns)
        await driver.until(lambda: driver.turns[0].has_focus)


def long_thread(daemon: FakeDaemon, questions: int) -> str:
    """A thread with so many questions, all answered."""
    thread = daemon.threads.create(title="long").id
    for number in range(questions):
        answer = daemon.threads.begin(daemon.threads.ask(thread, f"Question {number}").id, model="m")
        daemon.threads.extend(answer, f"Answer {number}.")
        daemon.threads.finish(answer)
    return thread


async def test_of_a_long_thread_the_end_is_opened_and_the_rest_comes_when_its_top_is_reached(
    start: Start, tmp_path: Path
) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    thread = long_thread(daemon, 18)
    async with start(daemon, thread=thread) as driver:
        await driver.until(lambda: driver.turns and driver.turns[-1].question.content == "Question 17")
        view = driver.chat.transcript
        await driver.until(lambda: view.virtual_size.height > view.size.height)  # as much as fills the view
        assert len(driver.turns) < 12
        while view.above:
            await driver.press("pageup")
            await driver.pilot.pause()
        assert [turn.question.content for turn in driver.turns] == [f"Question {number}" for number in range(18)]
    await daemon.stop()


async def test_a_place_found_in_a_long_thread_can_be_left_both_ways_and_a_new_question_stands_at_its_end(
    start: Start, tmp_path: Path
) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    thread = long_thread(daemon, 30)
    found = daemon.threads.search("Question 12")[0].message_id
    async with start(daemon) as driver:
        view = driver.chat.transcript

        def shown() -> list[str]:
            return [turn.question.content for turn in driver.turns]

        await driver.chat.open(thread, around=found)
        await driver.until(lambda: view.virtual_size.height > view.size.height)
        assert "Question 12" in shown()
        assert 0 < view.below < 18
        assert 0 < view.above < 13
        while view.below:
            await driver.press("pagedown")
            await driver.pilot.pause()
        assert shown() == [f"Question {number}" for number in range(view.above, 30)]
        await driver.press("ctrl+up", "g")
        await driver.until(lambda: driver.turns and driver.turns[0].question.content == "Question 0")
        await driver.until(lambda: driver.turns[0].has_focus)
        assert view.below > 0
        await driver.press("G")
        await driver.until(lambda: driver.turns and driver.turns[-1].has_focus)
        assert shown()[-1] == "Question 29"
        await driver.chat.open(thread, around=found)
        driver.type("A new one?")
        await driver.press("i", "enter")
        await driver.until(lambda: shown()[-2:] == ["Question 29", "A new one?"])
        daemon.say(Done())
        await driver.ended()
    await daemon.stop()


async def test_a_search_without_hits_says_so(start: Start) -> None:
    async with start() as driver:
        said(driver.daemon, "About bees", "x")
        await driver.opened("f2", ThreadsScreen)
        driver.app.screen.query_one(Input).value = "unheard"
        await driver.until(lambda: not driver.lines)
        assert "Nothing was said" in str(driver.app.screen.query_one(".empty", Static).content)
        await driver.press("escape")
        await driver.until(lambda: driver.app.screen is driver.chat)


async def test_threads_are_renamed_exported_and_deleted_from_the_list(start: Start, tmp_path: Path) -> None:
    async with start() as driver:
        thread = said(driver.daemon, "About bees", "Hives.")
        driver.daemon.now += 60
        said(driver.daemon, "About wasps", "Nests.")
        await driver.opened("f2", ThreadsScreen)
        await driver.press("down", "f6")
        await driver.until(lambda: isinstance(driver.app.screen, Prompt))
        driver.app.screen.query_one(Input).value = "Bees!"
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, ThreadsScreen) and "Bees!" in str(driver.lines))
        await driver.press("f7")
        await driver.until(lambda: "Written to" in driver.notices)
        assert (tmp_path / "here" / "bees.md").read_text().startswith("# Bees!")  # the mark stayed on it
        await driver.press("f8")
        await driver.confirm()
        await driver.until(lambda: isinstance(driver.app.screen, ThreadsScreen) and len(driver.lines) == 1)
        assert thread not in [each.id for each in driver.daemon.threads.recent()]
