"""Questions that are asked while a thread is still coming, or is left while they are on their way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from test_overlapping import Gate, asked, opening, said, threads_held
from tui_driver import Driver, Start

from localmind.events import Done, TextDelta


async def test_an_answer_that_ends_before_its_question_is_known_to_be_taken_is_shown_once(start: Start) -> None:
    async with start() as driver:
        begin = driver.daemon.begin

        async def late(*what: Any, **how: Any) -> Any:
            begun = await begin(*what, **how)
            driver.daemon.say(TextDelta("In March."), Done())
            await driver.until(lambda: not driver.daemon.running.list())
            return await driver.daemon.get(f"/threads/{begun['thread']['id']}")

        driver.daemon.begin = late  # type: ignore[method-assign]
        driver.type("When?")
        await driver.press("enter")
        await driver.until(lambda: driver.turns and driver.turns[-1].state == "done")
        await driver.until(lambda: driver.header.state == "ready")
        assert driver.turns[-1].answer == "In March."
        assert driver.composer.text == ""


async def test_a_question_is_not_sent_before_its_thread_has_come(start: Start) -> None:
    async with start() as driver:
        thread = said(driver.daemon, "old")
        gate = Gate(driver.daemon, "get", lambda path: path == f"/threads/{thread}")
        async with opening(driver, thread):
            await driver.until(lambda: gate.waiting)
            driver.type("And then?")
            await driver.press("enter")
            await driver.until(lambda: "Press Enter again" in driver.notices)
            assert driver.daemon.model.asked == []
            gate.let_go()
        assert driver.composer.text == "And then?"
        await driver.press("enter")
        await driver.until(lambda: asked(driver) == ["old", "And then?"])  # the model has it before the app knows
        driver.daemon.say(Done())


async def test_a_question_goes_to_the_thread_that_it_was_typed_in(start: Start) -> None:
    async with start() as driver:
        here, elsewhere = said(driver.daemon, "here"), said(driver.daemon, "elsewhere")
        await driver.chat.open(here)
        driver.type("of here")
        with threads_held() as let_go:
            await driver.press("enter")
            await driver.until(lambda: driver.chat._sending)
            await driver.chat.open(elsewhere)
            let_go.set()
            await driver.until(lambda: driver.daemon.running.list() and not driver.chat._sending)
        assert [run.thread_id for run in driver.daemon.running.list()] == [here]
        assert (asked(driver), driver.chat.answering) == (["elsewhere"], False)
        driver.daemon.say(Done())
        await driver.chat.open(here)
        assert (asked(driver), driver.composer.text) == (["here", "of here"], "")


async def test_a_question_that_is_on_its_way_holds_up_none_of_another_thread(start: Start) -> None:
    async with start() as driver:
        elsewhere = said(driver.daemon, "elsewhere")
        gate = Gate(driver.daemon, "begin", lambda question: question == "slow")
        driver.type("slow")
        await driver.press("enter")
        await driver.until(lambda: gate.waiting)
        await driver.chat.open(elsewhere)
        driver.type("quick")
        await driver.press("enter")
        await driver.until(lambda: asked(driver) == ["elsewhere", "quick"])
        gate.let_go()
        await driver.until(lambda: len(driver.daemon.running.list()) == 2)
        assert asked(driver) == ["elsewhere", "quick"]
        driver.daemon.say(Done(), Done())


@asynccontextmanager
async def starting(driver: Driver) -> AsyncIterator[None]:
    """A question was asked while the daemon is being started, which has come in the end."""
    gate = Gate(driver.daemon, "ensure")
    driver.daemon.go_away()
    await driver.until(lambda: gate.waiting)
    driver.type("When?")
    await driver.press("enter")
    await driver.until(lambda: driver.composer.border_title == "Goes when the daemon has started")
    yield
    driver.daemon.come_back()
    gate.let_go()


async def test_a_question_that_is_asked_while_the_daemon_is_being_started_goes_when_it_has(start: Start) -> None:
    async with start() as driver:
        async with starting(driver):
            assert (driver.composer.text, driver.notices) == ("When?", "")
        await driver.until(lambda: driver.daemon.model.asked)
        await driver.until(lambda: asked(driver) == ["When?"] and driver.composer.text == "")
        assert len(driver.daemon.model.asked) == 1
        driver.daemon.say(Done())


async def test_a_question_that_waits_for_the_daemon_is_worded_anew_and_waits_for_enter(start: Start) -> None:
    async with start() as driver:
        async with starting(driver):
            driver.type(" No:")
            await driver.until(lambda: not driver.chat.queued)
        await driver.until(lambda: driver.header.state == "ready")
        await driver.press("enter")
        await driver.until(lambda: driver.daemon.model.asked)
        assert len(driver.daemon.model.asked) == 1
        await driver.until(lambda: asked(driver) == ["When? No:"])
        driver.daemon.say(Done())
