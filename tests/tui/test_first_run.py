"""The first run: a model, an embedder and a folder, or none of them."""

from pathlib import Path

import pytest
from textual.widgets import Input, Static
from tui_driver import Driver, Start
from tui_fakes import STATUS, FakeDaemon

from localmind.errors import DownloadFailed
from localmind.events import Done, Progress, TextDelta
from localmind_tui.models import embedder_to_fetch, models_of
from localmind_tui.room import Room
from localmind_tui.screens.first_run import FirstRun


async def download_begun(driver: Driver) -> Static:
    """The first run with the recommended model on its way; returns what it says of models."""
    await driver.until(lambda: isinstance(driver.app.screen, FirstRun) and driver.app.screen.query("#added"))
    model = driver.app.screen.query_one("#model", Static)
    await driver.until(lambda: "qwen3:4b, 2.5 GB" in str(model.content))
    await driver.press("enter")
    await driver.until(lambda: "qwen3:4b" in driver.daemon.pulls)
    return model


async def test_the_first_run_fetches_a_model_takes_a_folder_and_begins(start: Start, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db", status=STATUS | {"folders": []})
    daemon.models[0]["installed"] = False
    async with start(daemon, greeted=False) as driver:
        model = await download_begun(driver)
        daemon.pulls["qwen3:4b"].put_nowait(Progress("fetch", 50e6, 100e6, "B"))
        await driver.until(lambda: "50 %" in str(model.content))
        driver.app.screen.query_one(Input).value = str(tmp_path)
        await driver.press("enter")
        await driver.until(lambda: "3 files" in str(driver.app.screen.query_one("#added", Static).content))
        daemon.pulls["qwen3:4b"].put_nowait(Done())
        await driver.until(lambda: "✓ qwen3:4b is here" in str(model.content))
        await driver.press("enter")
        await driver.until(lambda: driver.app.screen is driver.chat)
        assert driver.chat.model == "qwen3:4b"
        assert driver.app.desk.memory.now.greeted
        await driver.settled("And now?", TextDelta("Yes."), Done())
    await daemon.stop()


@pytest.mark.parametrize(
    ("here", "wanted"),
    [((), "small-embed"), (("small-embed",), None), (("large-embed",), None)],
    ids=["none", "the recommended", "another"],
)
def test_the_first_run_fetches_the_recommended_embedder_unless_one_is_there(here: tuple[str, ...], wanted: str) -> None:
    listed = [
        {"name": name, "role": "embed", "size": size, "installed": name in here}
        for name, size in (("large-embed", 600_000_000), ("small-embed", 90_000_000))
    ]
    machine = {"picks": [{"use": "embed", "name": "small-embed", "why": "quick"}]}
    models = models_of(listed, machine, {}, Room(8_000_000_000, 5_000_000_000))
    assert embedder_to_fetch(models, machine) == wanted


async def test_the_first_run_takes_the_starter_where_the_hub_cannot_be_reached(start: Start, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db", status=STATUS | {"folders": []})
    daemon.models[0] |= {"installed": False}
    async with start(daemon, greeted=False) as driver:
        model = await download_begun(driver)
        daemon.pulls["qwen3:4b"].put_nowait(DownloadFailed("the Hub cannot be reached"))
        await driver.until(lambda: "smollm2:135m" in daemon.pulls)
        await driver.until(lambda: "qwen3:4b cannot be had now: the Hub cannot be reached" in str(model.content))
        daemon.pulls["smollm2:135m"].put_nowait(Done())
        await driver.until(lambda: "✓ smollm2:135m is here" in str(model.content))
        assert not driver.notices  # which would cover the window that says the same
        driver.app.screen.query_one("#begin").focus()
        await driver.press("enter")
        await driver.until(lambda: driver.app.screen is driver.chat)
        assert driver.chat.model == "smollm2:135m"
    await daemon.stop()


async def test_the_first_run_can_be_skipped_and_does_not_come_back(start: Start, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db", status=STATUS | {"folders": []})
    async with start(daemon, greeted=False, memory=tmp_path / "tui.json") as driver:
        await driver.until(lambda: isinstance(driver.app.screen, FirstRun))
        await driver.press("escape")
        await driver.until(lambda: driver.app.desk.memory.now.greeted)
    await daemon.stop()
