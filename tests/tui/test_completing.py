"""What is typed completes also from a disk that takes its time, and never from what is no longer typed."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from tui_driver import Start
from tui_fakes import wait_until

from localmind_tui.completion import Candidate, Completion, names_a_file
from localmind_tui.widgets.completing import Completing
from localmind_tui.widgets.completions import Completions


class SlowDisk:
    """Lists what a line may mean when it is let; `asked` are the lines in the order of their listings."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.most = self._now = 0
        """Listings at the same time."""
        self._let = threading.Semaphore(0)

    def complete(self, before: str, first_line: bool) -> object:
        return (lambda: self._list(before)) if names_a_file(before) else None

    def _list(self, before: str) -> Completion:
        self.asked.append(before)
        self._now += 1
        self.most = max(self.most, self._now)
        assert self._let.acquire(timeout=30)
        self._now -= 1
        typed = before.rpartition("@")[2]
        return Completion(0, tuple(Candidate(f"@{typed}{end} ", f"{typed}{end}") for end in ("one", "two")))

    def let(self) -> None:
        self._let.release()


class Completed(Completing):
    BINDINGS: ClassVar = [("tab", "complete")]


class Field(App[None]):
    def __init__(self, disk: SlowDisk) -> None:
        super().__init__()
        self.list = Completions()
        self.field = Completed(lambda: self.list, disk.complete)  # type: ignore[arg-type]  # it says `object`

    def compose(self) -> ComposeResult:
        yield self.list
        yield self.field
        yield Completing(lambda: self.list, lambda before, first_line: None)

    @property
    def offered(self) -> list[str]:
        return [each.shown for each in self.list.now.candidates] if self.list.now and self.list.display else []


async def typed(pilot: Pilot[None], app: Field, text: str) -> None:
    await pilot.press(*text)
    await wait_until(pilot, lambda: app.field.text.endswith(text))


async def test_a_slow_disk_holds_no_key_up_and_its_old_answers_are_not_shown() -> None:
    disk = SlowDisk()
    app = Field(disk)
    async with app.run_test() as pilot:
        app.field.focus()
        await typed(pilot, app, "@")
        await wait_until(pilot, lambda: disk.asked == ["@"])
        await typed(pilot, app, "a")
        await typed(pilot, app, "b")  # while the first listing goes on
        assert app.field.text == "@ab"
        disk.let()
        await wait_until(pilot, lambda: disk.asked == ["@", "@ab"])  # what was typed between is not asked for
        assert app.offered == []
        disk.let()
        await wait_until(pilot, lambda: app.offered == ["abone", "abtwo"])
        await typed(pilot, app, "o")
        await wait_until(pilot, lambda: app.offered == ["abone"])  # what fits of the last one, at once
        await typed(pilot, app, " ")
        await wait_until(pilot, lambda: app.offered == [])
        disk.let()
        await wait_until(pilot, lambda: not app.field._looking)
        assert app.offered == []
        assert disk.most == 1


async def test_tab_waits_for_what_it_takes_and_is_forgotten_when_more_is_typed() -> None:
    disk = SlowDisk()
    app = Field(disk)
    async with app.run_test() as pilot:
        app.field.focus()
        await typed(pilot, app, "@")
        await wait_until(pilot, lambda: disk.asked == ["@"])
        await pilot.press("tab")
        await typed(pilot, app, "a")
        disk.let()
        await wait_until(pilot, lambda: disk.asked == ["@", "@a"])
        await pilot.press("tab")
        assert app.field.text == "@a"
        disk.let()
        await wait_until(pilot, lambda: app.field.text == "@aone ")
        assert app.field.has_focus


async def test_what_comes_when_the_cursor_has_gone_elsewhere_is_not_shown() -> None:
    disk = SlowDisk()
    app = Field(disk)
    async with app.run_test() as pilot:
        app.field.focus()
        app.field.insert("@a")
        await wait_until(pilot, lambda: disk.asked == ["@a"])
        await pilot.press("home")
        await wait_until(pilot, lambda: app.field.cursor_location == (0, 0))
        disk.let()
        await wait_until(pilot, lambda: not app.field._looking)
        assert app.offered == []


async def test_in_the_app_a_file_is_completed_by_a_tab_right_behind_it(start: Start) -> None:
    async with start() as driver:
        (driver.app.desk.here / "boiler.md").write_text("x")
        await driver.pilot.press("@", "b", "tab")
        await driver.until(lambda: driver.composer.text == "@boiler.md ")
        assert driver.composer.has_focus
        await driver.press("/")
        assert driver.composer._completions is not None
        assert not driver.composer._completions.display


class FakeSlowFolder(type(Path())):  # type: ignore[misc]  # what a path is depends on the system
    """Knows which threads waited for its disk."""

    asked_by: ClassVar[list[int]] = []

    def iterdir(self) -> Iterator[Path]:
        self.asked_by.append(threading.get_ident())
        return super().iterdir()

    def stat(self, **how: Any) -> os.stat_result:
        self.asked_by.append(threading.get_ident())
        return super().stat(**how)


async def test_templates_are_looked_up_and_read_where_they_hold_no_key_up(start: Start, tmp_path: Path) -> None:
    (tmp_path / "letter.md").write_text("Write about {{input}}.")
    FakeSlowFolder.asked_by.clear()
    async with start(templates=FakeSlowFolder(tmp_path)) as driver:
        await driver.pilot.press(*"/template le", "tab")
        await driver.until(lambda: driver.composer.text == "/template letter ")
        await driver.press(*"bread", "enter")
        await driver.until(lambda: driver.composer.text == "Write about bread.")
        driver.composer.put("/template")
        await driver.press("enter")
        await driver.until(lambda: "Templates: letter" in driver.notices)
    assert FakeSlowFolder.asked_by
    assert threading.get_ident() not in FakeSlowFolder.asked_by
