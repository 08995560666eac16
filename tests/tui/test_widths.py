"""What stands in columns and lines is measured in cells: 名 takes two, 👍🏽 too, an accent none."""

import pytest
from rich.cells import cell_len
from rich.console import Console
from textual.app import App, ComposeResult
from textual.content import Content
from textual.geometry import Region
from textual.widgets import OptionList
from tui_driver import Start
from tui_fakes import wait_until

from localmind.cli._output import table
from localmind.cli._shown import Rendered
from localmind.events import Done, Passage, Sources
from localmind.messages import Timings, Usage
from localmind_tui import format
from localmind_tui.prose import Reader, Row, rows
from localmind_tui.screens.threads import ThreadsScreen
from localmind_tui.widgets.completions import Completions
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.header import Header

WIDE = ["東京タワー", "한국어", "👍🏽 ok", "e\u0301te\u0301", "🇩🇪", "plain"]
MARKDOWN = "\n".join(["| 名前 | euros | x |", "|---|---:|---|", *(f"| {name} | 1 | {name} |" for name in WIDE)])


@pytest.mark.parametrize("width", [60, 34, 26])
def test_columns_of_an_answer_stand_below_each_other(width: int) -> None:
    drawn = [row.content.plain for row in rows(Reader([]).read(MARKDOWN), width) if isinstance(row, Row)]
    bars = {cell_len(line[: line.index("│")]) for line in drawn if "│" in line}
    assert len(bars) == 1
    assert all(cell_len(line) <= width for line in drawn)


def test_columns_of_an_answer_of_ask_end_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Rendered(Console(width=60))
    shown.feed(MARKDOWN)
    shown.end()
    lines = capsys.readouterr().out.splitlines()
    ends = {cell_len(line[: line.index(" 1 ") + 2]) for line in lines if " 1 " in line}
    assert len(ends) == 1, lines


def test_columns_of_listings_begin_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    table(["name", "size"], [[name, "7"] for name in WIDE])
    lines = capsys.readouterr().out.splitlines()
    assert {cell_len(line[:-1]) for line in lines[1:]} == {cell_len(lines[0]) - len("size")}


async def test_of_a_long_title_the_end_is_cut_and_its_time_stays_beside_it(start: Start) -> None:
    async with start(size=(80, 24)) as driver:
        title = "名前 " + "a very long title " * 9
        thread = driver.daemon.threads.create()
        driver.daemon.threads.ask(thread.id, "boiler")
        driver.daemon.threads.rename(thread.id, title)
        await driver.opened("f2", ThreadsScreen)
        listed = driver.app.screen.query_one(OptionList)
        await driver.until(lambda: listed.option_count == 1 and listed.virtual_size.height == 1)
        first = listed.render_line(0).text.rstrip()
        assert "…  1 question" in first
        assert first.endswith(("ago", "now"))
        await driver.press(*"boiler")
        await driver.until(lambda: listed.virtual_size.height == 2)
        assert "…  you, " in listed.render_line(0).text
        assert isinstance(listed.get_option_at_index(0).prompt, Content)


class Edges(App[None]):
    """The first line and the question, without what is between them."""

    def __init__(self) -> None:
        super().__init__()
        self.header = Header()
        self.composer = Composer(Completions, lambda before, first_line: None)

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.composer

    @property
    def edge(self) -> str:
        width, height = self.composer.outer_size
        return self.composer.render_lines(Region(0, height - 1, width, 1))[0].text


async def test_at_every_width_the_state_and_how_full_the_context_is_can_be_read() -> None:
    app, model = Edges(), "a-model-with-a-long-name:4b-instruct-q4_k_m"
    async with app.run_test(size=(200, 24)) as pilot:
        header, composer = app.header, app.composer
        header.styles.height, composer.styles.border = 1, ("round", "red")
        header.thread, header.model, header.state = "When was the boiler serviced, and by whom?", model, "ready"
        header.folders = "1 folder · 29 files"
        composer.tell(["≈ 30 tokens/s · context ▓▓▓▓▓▓▓░ 7,020 of 8,192", *format.context(Usage(7000, 20), 8192)])
        for width in range(200, 15, -1):
            await pilot.resize_terminal(width, 24)
            await wait_until(pilot, lambda at=width: header.size.width == at == composer.outer_size.width)
            await wait_until(pilot, lambda: "…" not in app.edge)
            assert ("7,020 of 8,192 " if width >= 20 else "86 % ") in app.edge, width
            assert width < 60 or "≈ 30 tokens/s" in app.edge, width
            if width < 40:
                continue
            line = header.render()
            assert line.plain.endswith("● ready"), width
            assert line.cell_length == width, width
            # The title is cut before the folders go, and those go before the model is cut.
            whole = model in line.plain
            assert whole or "29 files" not in line.plain, width
            assert whole or "When" not in line.plain, width
            assert "29 files" in line.plain or "by whom?" not in line.plain, width


@pytest.mark.parametrize("width", [40, 69, 80, 120])
async def test_how_full_the_context_is_can_be_read_beside_the_passages(start: Start, width: int) -> None:
    async with start(size=(width, 24)) as driver:
        passage = Passage(1, "/home/ines/samples/boiler.md", 6, 10, None, None, "Last service: 9 October 2026.", 0.9)
        done = Done("stop", Usage(7000, 20), Timings(1, 200, 400), "smollm2:135m")
        await driver.settled("When was the boiler serviced, and by whom?", Sources((passage,)), done)
        await driver.press("f5")
        await driver.until(lambda: driver.chat.passages is not None and driver.header.state == "ready")
        composer = driver.composer
        edge = Region(0, composer.outer_size.height - 1, width, 1)
        await driver.until(lambda: composer.outer_size.width < width)
        await driver.worked_off()
        assert "7,020 of 8,192 " in composer.render_lines(edge)[0].text
