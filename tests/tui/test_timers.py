"""Timers of one turn under a process that is held up, as a busy machine or a closed lid holds it up."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from weakref import WeakSet

import pytest
from tui_driver import Start, stored

from localmind.events import Done, TextDelta

HoldUp = Callable[[], None]


@pytest.fixture
def hold_up(monkeypatch: pytest.MonkeyPatch) -> HoldUp:
    """From then on each timer finds, when it looks at its clock the second time, that a second has passed."""

    def begin() -> None:
        looked = WeakSet[asyncio.Task[object]]()  # each timer is a task

        def get_time() -> float:
            task = asyncio.current_task()
            assert task is not None
            held_s = float(task in looked)
            looked.add(task)
            return time.monotonic() + held_s

        monkeypatch.setattr("textual.timer._time", SimpleNamespace(get_time=get_time))

    return begin


async def test_a_window_that_was_held_up_is_laid_out_for_its_new_size(start: Start, hold_up: HoldUp) -> None:
    async with start() as driver:
        hold_up()
        for width in (120, 60):
            await driver.pilot.resize_terminal(width, 20)
            await driver.until(lambda width=width: driver.header.outer_size.width == width)


async def test_an_answer_that_was_held_up_is_shown_as_it_grows(start: Start, hold_up: HoldUp) -> None:
    async with start() as driver:
        turn = await driver.ask("When was the boiler serviced?")
        hold_up()
        driver.daemon.say(TextDelta("The first words"))
        await driver.until(lambda: "The first words" in driver.app.export_screenshot().replace("&#160;", " "))
        driver.daemon.say(TextDelta(" and the last."), Done())
        await driver.until(lambda: turn.state != "streaming")


async def test_what_was_typed_while_held_up_is_on_the_disk(start: Start, hold_up: HoldUp, tmp_path: Path) -> None:
    memory = tmp_path / "tui.json"
    async with start(memory=memory) as driver:
        await driver.until(lambda: not driver.chat._opening)
        await driver.worked_off()
        await driver.until(lambda: driver.chat._draft_timer is None)  # of the thread that was opened, empty as it is
        hold_up()
        driver.type("half a thought")
        await driver.until(lambda: "half a thought" in stored(memory).drafts.values())
