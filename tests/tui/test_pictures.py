"""Every screen in three sizes and two themes, against pictures that were looked at.

One run of the app a screen: starting it takes longer than drawing it, and so does another theme. After a wanted change:
`pytest tests/tui/test_pictures.py --snapshot-update`, and look at what changed.
"""

from pathlib import Path

from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.widgets import Input, OptionList
from tui_driver import Driver, Start
from tui_fakes import STATUS, FakeDaemon

from localmind.events import Done, Passage, Progress, ReasoningDelta, Sources, TextDelta
from localmind.messages import Timings, Usage
from localmind_tui.screens.folders import FoldersScreen
from localmind_tui.screens.help import HelpScreen
from localmind_tui.screens.models import ModelsScreen
from localmind_tui.screens.themes import ThemesScreen
from localmind_tui.screens.threads import ThreadsScreen
from localmind_tui.widgets.document import Document

DARK, LIGHT = "localmind-dark", "localmind-light"
SIZES = ((80, 24), (120, 36), (200, 60))
PASSAGES = (
    Passage(1, "/home/ines/samples/home/boiler.md", 6, 10, None, "Service", "Serviced on 9 October 2026.", 0.7),
    Passage(2, "/home/ines/samples/home/rent.pdf", 1, 3, 2, None, "The rent covers the heating.", 0.6),
)
ANSWER = """The boiler was serviced on **9 October 2026** [1].

1. The filter was cleaned.
2. The *pump* was replaced.

```python
def due(year: int) -> bool:
    return year % 2 == 0
```

| part | euros |
|---|---|
| pump | 148 |
"""


async def pictures(driver: Driver, snapshot: SnapshotAssertion) -> None:
    """The screen as it is now, in every size and theme."""
    drawn = snapshot.use_extension(SVGImageExtension)
    driver.composer.cursor_blink = False
    for each in driver.app.screen.query(Input):
        each.cursor_blink = False
    driver.app.clear_notifications()
    await driver.until(lambda: not any(each.colouring for each in driver.chat.query(Document)))
    await driver.heard()
    if (window := driver.app.screen) is not driver.chat:  # what it began by itself, as showing the marked theme
        await driver.until(lambda: all(each.is_finished for each in driver.app.workers if each.node is window))
    for theme in (DARK, LIGHT):
        driver.app.theme = theme
        for width, height in SIZES:
            await driver.pilot.resize_terminal(width, height)
            await driver.until(lambda size=(width, height): driver.app.size == driver.app.screen.size == size)
            await driver.until(
                lambda size=(width, height): driver.app.screen._compositor.size == size
            )  # laid out by a timer
            await at_rest(driver)
            name = f"{width}x{height}-{theme.removeprefix('localmind-')}"
            assert driver.app.export_screenshot() == drawn(name=name)


LINKS = 6
"""Messages in a row that lead to a picture: of a theme or a size to styles, to a layout, to what it uncovers."""


async def at_rest(driver: Driver) -> None:
    """Until a look and one after all messages that were under way see the same: on a busy host they take their time."""
    before = ""
    while (now := driver.app.export_screenshot()) != before:
        before = now
        await driver.heard()
        for _ in range(LINKS):
            await driver.worked_off()


async def talk(driver: Driver) -> None:
    events = (
        ReasoningDelta("Let me look."),
        *(TextDelta(line) for line in ANSWER.splitlines(keepends=True)),
        Sources(PASSAGES),
        Done("stop", Usage(957, 120), Timings(5, 400, 3000), "smollm2:135m"),
    )
    await driver.settled("When was the boiler serviced?", *events)
    await driver.until(lambda: driver.header.state == "ready")


async def test_an_empty_thread(start: Start, snapshot: SnapshotAssertion) -> None:
    async with start() as driver:
        await pictures(driver, snapshot)


async def test_a_conversation(start: Start, snapshot: SnapshotAssertion) -> None:
    async with start() as driver:
        await talk(driver)
        driver.type("And @")
        driver.composer.put("And what did it cost?")
        await pictures(driver, snapshot)


async def test_an_answer_in_focus_with_its_passages_beside(start: Start, snapshot: SnapshotAssertion) -> None:
    async with start() as driver:
        await talk(driver)
        await driver.press("f5", "ctrl+up")
        await pictures(driver, snapshot)


async def test_answers_that_were_cut_short(start: Start, snapshot: SnapshotAssertion) -> None:
    """One that went round in circles, and one at the limit of its tokens."""
    async with start() as driver:
        await driver.press("ctrl+t")
        figures = Timings(0, 200, 4000), "smollm2:135m"
        round_and_round = TextDelta("She represents herself. " * 12)
        await driver.settled("Tell of a bee.", round_and_round, Done("repetition", Usage(40, 120), *figures))
        await driver.settled(
            "And of a wasp.", TextDelta("Once upon a time a wasp"), Done("length", Usage(90, 8), *figures)
        )
        assert [turn.note.split("\n")[0].split(" · ")[0] for turn in driver.turns] == [
            "ended here, since it was repeating itself",
            "cut off at the length limit",
        ]
        await driver.until(lambda: driver.header.state == "ready")
        await pictures(driver, snapshot)


async def test_the_threads(start: Start, snapshot: SnapshotAssertion) -> None:
    async with start() as driver:
        await talk(driver)
        await driver.opened("f2", ThreadsScreen)
        driver.app.screen.query_one(Input).value = "boiler"
        await driver.until(lambda: driver.app.screen.query_one(OptionList).option_count == 3)
        await pictures(driver, snapshot)


async def test_the_themes(start: Start, snapshot: SnapshotAssertion) -> None:
    async with start() as driver:
        await talk(driver)
        await driver.app.run_action("themes")
        await driver.shows(ThemesScreen)
        await driver.until(lambda: driver.app.screen.query_one(Input).has_focus)
        await pictures(driver, snapshot)


async def test_the_models(start: Start, snapshot: SnapshotAssertion) -> None:
    async with start() as driver:
        await driver.opened("f3", ModelsScreen)
        await driver.until(lambda: driver.app.screen.query_one(OptionList).option_count == 4)
        await driver.press("j", "p")
        await driver.until(lambda: "qwen3:4b" in driver.daemon.pulls)
        driver.daemon.pulls["qwen3:4b"].put_nowait(Progress("fetch", 625e6, 2497e6, "B", rate=11e6, eta_s=170))
        listed = driver.app.screen.query_one(OptionList)
        await driver.until(lambda: "25 %" in str(listed.get_option_at_index(1).prompt))
        await pictures(driver, snapshot)


async def test_the_folders(start: Start, snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    daemon.folders[0]["errors"] = [("broken.pdf", "not a PDF")]
    daemon.folders.append(daemon.folders[0] | {"path": "/home/ines/notes", "state": "reading"})
    async with start(daemon) as driver:
        await driver.opened("f4", FoldersScreen)
        await driver.until(lambda: driver.app.screen.query_one(OptionList).option_count == 2)
        await driver.until(lambda: driver.app.screen.query_one(OptionList).has_focus)
        await driver.until(lambda: "not a PDF" in str(driver.app.screen.query_one("#why").render()))
        await pictures(driver, snapshot)
    await daemon.stop()


async def test_help(start: Start, snapshot: SnapshotAssertion) -> None:
    async with start() as driver:
        await driver.opened("f1", HelpScreen)
        await pictures(driver, snapshot)


async def test_the_first_run(start: Start, snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db", status=STATUS | {"folders": []})
    daemon.models[0]["installed"] = False
    async with start(daemon, greeted=False) as driver:
        await driver.until(lambda: driver.app.screen.query("#pull"))
        model = driver.app.screen.query_one("#model")
        await driver.until(lambda: "qwen3:4b" in str(model.render()))
        await pictures(driver, snapshot)
    await daemon.stop()
