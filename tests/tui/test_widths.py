"""What stands in columns and lines is measured in cells: 名 takes two, 👍🏽 too, an accent none."""

import pytest
from rich.cells import cell_len
from rich.console import Console
from textual.content import Content
from textual.widgets import OptionList
from tui_driver import Start

from localmind.cli._output import table
from localmind.cli._shown import Rendered
from localmind_tui.prose import Reader, Row, rows
from localmind_tui.screens.threads import ThreadsScreen

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
