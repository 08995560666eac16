"""Windows over the conversation: models and downloads, folders, commands."""

import re
from pathlib import Path

from textual.widgets import Input, OptionList, Static
from tui_driver import ENVIRON, Start
from tui_fakes import FakeDaemon

from localmind.events import Done, Progress, TextDelta
from localmind_tui.app import LocalmindApp
from localmind_tui.screens.asking import Prompt
from localmind_tui.screens.folders import FoldersScreen
from localmind_tui.screens.models import ModelsScreen
from localmind_tui.windowed import WINDOWS


async def test_the_picker_says_what_fits_and_why_and_the_chosen_model_answers(start: Start) -> None:
    async with start() as driver:
        await driver.opened("f3", ModelsScreen)
        text = driver.lines
        assert "smollm2:135m" in text[0]
        assert "best here" in next(line for line in text if "qwen3:4b" in line)
        assert "too large" in next(line for line in text if "giant:70b" in line)
        await driver.press("j", "j")
        await driver.until(lambda: "52.5 GB of memory" in str(driver.app.screen.query_one("#why", Static).content))
        await driver.press("k", "k", "enter")
        await driver.until(lambda: driver.app.screen is driver.chat)
        assert driver.chat.model == "smollm2:135m"


async def test_without_the_daemons_advice_memory_decides(start: Start, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    daemon.recommended = None
    async with start(daemon) as driver:
        await driver.opened("f3", ModelsScreen)
        why = driver.app.screen.query_one("#why", Static)
        await driver.until(lambda: "It is in memory." in str(why.content))
    await daemon.stop()


async def test_a_download_shows_progress_pauses_goes_on_and_ends(start: Start) -> None:
    async with start() as driver:
        await driver.opened("f3", ModelsScreen)
        await driver.press("j", "p")
        await driver.until(lambda: "qwen3:4b" in driver.daemon.pulls)
        steps = driver.daemon.pulls["qwen3:4b"]
        steps.put_nowait(Progress("fetch", 25e6, 100e6, "B", rate=5e6, eta_s=15))
        await driver.until(lambda: "25 % of 100.0 MB · 5.0 MB/s · 15 s left" in str(driver.lines))
        await driver.press("space")
        await driver.until(lambda: "paused" in str(driver.lines))
        await driver.press("escape")
        await driver.opened("f3", ModelsScreen)
        await driver.until(lambda: "paused" in str(driver.lines))
        await driver.press("j", "space")
        await driver.until(lambda: "paused" not in str(driver.lines))
        steps.put_nowait(Done())
        await driver.until(lambda: "qwen3:4b is here." in driver.notices)
        await driver.until(lambda: "✓ qwen3:4b" in str(driver.lines))


async def test_the_mark_stays_on_its_model_when_the_list_is_sorted_anew_and_keys_are_those_it_can_take(
    start: Start,
) -> None:
    async with start() as driver:
        await driver.opened("f3", ModelsScreen)
        screen = driver.app.screen
        assert isinstance(screen, ModelsScreen)

        def offered() -> set[str]:
            return {each.binding.description for each in screen.active_bindings.values() if each.enabled}

        await driver.press("j", "j")
        await driver.until(lambda: screen.marked and screen.marked.name == "giant:70b")
        assert offered() >= {"use", "download"}
        assert not offered() & {"pause/go on", "cancel", "remove"}
        driver.daemon.models[2]["installed"] = True  # by somebody else: it is sorted to the top
        await driver.until(lambda: "giant:70b" in driver.lines[0])
        await driver.until(lambda: screen.marked and screen.marked.name == "giant:70b")
        await driver.until(lambda: "remove" in offered() and "download" not in offered())
        await driver.press("j", "j")
        await driver.until(lambda: screen.marked and screen.marked.name == "qwen3:4b")
        await driver.press("p")
        await driver.until(lambda: offered() >= {"pause/go on", "cancel"} and "download" not in offered())
        await driver.press("G")
        await driver.until(lambda: screen.marked and screen.marked.name == "all-minilm:l6-v2")
        assert "use" not in offered()
        await driver.press("g")
        await driver.until(lambda: screen.marked and screen.marked.name == "giant:70b")


async def test_a_cancelled_download_says_so_and_a_model_can_be_removed(start: Start) -> None:
    async with start() as driver:
        await driver.opened("f3", ModelsScreen)
        await driver.press("j", "p")
        await driver.until(lambda: "qwen3:4b" in driver.daemon.pulls)
        await driver.press("x")
        await driver.until(lambda: "qwen3:4b: the pull was stopped" in driver.notices)
        await driver.until(lambda: re.search(r"qwen3:4b +stopped", str(driver.lines)))
        await driver.press("k", "D")
        await driver.confirm()
        await driver.until(lambda: isinstance(driver.app.screen, ModelsScreen))
        await driver.until(lambda: not driver.daemon.models[0]["installed"])


async def test_folders_are_added_paused_asked_alone_and_removed(start: Start, tmp_path: Path) -> None:
    async with start() as driver:
        await driver.opened("f4", FoldersScreen)
        await driver.press("a")
        field = driver.app.screen.query_one(Input)
        field.value = str(tmp_path)
        await driver.press("enter")
        await driver.until(lambda: len(driver.lines) == 2 and not field.display)
        why = driver.app.screen.query_one("#why", Static)
        assert str(why.content) == "What changes in it is read at once."
        await driver.press("space")
        box = driver.app.screen.query_one(".window")
        await driver.until(lambda: "paused" in str(box.border_subtitle))
        assert str(why.content) == "What changes in it is read when you go on."
        await driver.press("space")
        await driver.until(lambda: not driver.daemon.paused)
        await driver.press("j", "enter")
        await driver.until(lambda: driver.app.screen is driver.chat)
        assert driver.chat.folder == str(tmp_path)
        await driver.opened("f4", FoldersScreen)
        await driver.press("j", "D")
        await driver.confirm()
        await driver.until(lambda: isinstance(driver.app.screen, FoldersScreen) and len(driver.lines) == 1)


async def test_a_folder_that_cannot_be_watched_stays_in_its_field_and_tab_takes_what_is_offered(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "documents").mkdir()
    async with start() as driver:
        await driver.opened("f4", FoldersScreen)
        await driver.press("a", *"~nobody-of-that-name/x", "enter")
        await driver.until(lambda: "no user ~nobody-of-that-name" in driver.notices)
        field = driver.app.screen.query_one(Input)
        assert field.value == "~nobody-of-that-name/x"
        field.value = ""
        field.insert_text_at_cursor(f"{tmp_path}/doc")
        await driver.until(lambda: getattr(field, "_suggestion", ""))
        await driver.press("tab")
        assert field.value == str(tmp_path / "documents")
        await driver.press("enter")
        await driver.until(lambda: len(driver.lines) == 2 and not field.display)


async def test_commands_are_typed_or_chosen_and_unknown_ones_are_said(start: Start, tmp_path: Path) -> None:
    async with start() as driver:
        await driver.settled("Hello", TextDelta("Hi"), Done())
        for line, seen in (
            ("/rename My thread", lambda: driver.header.thread == "My thread"),
            ("/set temperature 0.3", lambda: "temperature: 0.3" in driver.notices),
            ("/system Be brief.", lambda: "Instructions set" in driver.notices),
            ("/set temperature hot", lambda: "no value of temperature" in driver.notices),
            ("/export notes.json", lambda: (tmp_path / "here" / "notes.json").exists()),
            ("/copy", lambda: driver.app.clipboard == "Hi"),
            ("/mode chat", lambda: driver.chat.mode == "chat"),
            ("/folder samples", lambda: driver.chat.folder == "/home/ines/samples"),
            ("/theme localmind-light", lambda: driver.app.theme == "localmind-light"),
            ("/nonsense", lambda: "no command /nonsense" in driver.notices),
            ("/new", lambda: not driver.turns),
        ):
            driver.composer.put(line)
            await driver.press("escape", "enter")
            await driver.until(seen)
            driver.composer.put("")
        options = driver.daemon.threads.recent()[0].options
        assert (options.temperature, options.system) == (0.3, "Be brief.")


async def test_a_template_asks_for_what_is_missing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "letter.md").write_text("Write to {{who}} about {{input}}, {{tone|kindly}}.\n")
    async with start() as driver:
        driver.composer.put("/template letter the boiler")
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, Prompt))
        driver.app.screen.query_one(Input).value = "Marek"
        await driver.press("enter")
        await driver.until(lambda: driver.composer.text == "Write to Marek about the boiler, kindly.")


async def test_a_window_opened_before_the_first_picture_is_styled(tmp_path: Path) -> None:
    class FakeHurry(LocalmindApp):
        """Its user presses F3 before anything is drawn."""

        CSS_PATH = WINDOWS.with_name("app.tcss")

        def on_mount(self) -> None:
            super().on_mount()
            assert not self.stylesheet.has_source(str(WINDOWS))
            self.push_screen(ModelsScreen(self.desk, self.pulling, None))
            self.styled = self.stylesheet.has_source(str(WINDOWS))

    daemon = FakeDaemon(tmp_path / "threads.db")
    app = FakeHurry(daemon, environ=ENVIRON, here=tmp_path)
    async with app.run_test():
        assert app.styled
        assert isinstance(app.screen, ModelsScreen)
        assert app.screen.query_one(OptionList).styles.border_top[0] == ""
    await daemon.stop()
