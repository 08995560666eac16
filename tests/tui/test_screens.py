"""The windows over the conversation: threads, models and downloads, folders, the first run, commands."""

from pathlib import Path

import pytest
from textual.widgets import Input, OptionList, Static
from tui_driver import ENVIRON, Driver, Start
from tui_fakes import STATUS, FakeDaemon

from localmind.errors import DownloadFailed
from localmind.events import Done, Progress, TextDelta
from localmind_tui.app import WINDOWS, LocalmindApp
from localmind_tui.models import embedder_to_fetch, models_of
from localmind_tui.room import Room
from localmind_tui.screens.asking import Prompt
from localmind_tui.screens.first_run import FirstRun
from localmind_tui.screens.folders import FoldersScreen
from localmind_tui.screens.models import ModelsScreen
from localmind_tui.screens.threads import ThreadsScreen


def lines(driver: Driver) -> list[str]:
    listed = driver.app.screen.query_one(OptionList)
    return [str(listed.get_option_at_index(place).prompt) for place in range(listed.option_count)]


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
        assert [line.split("  ")[1].strip() for line in lines(driver)] == ["About heat", "About bees"]
        driver.app.screen.query_one(Input).value = "serviced"
        await driver.until(lambda: len(lines(driver)) == 1)
        assert "The boiler was serviced by Marek." in lines(driver)[0]
        assert "\x1b" not in lines(driver)[0]
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
        await driver.until(lambda: not lines(driver))
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
        await driver.until(lambda: isinstance(driver.app.screen, ThreadsScreen) and "Bees!" in str(lines(driver)))
        await driver.press("f7")
        await driver.until(lambda: "Written to" in driver.notices)
        assert (tmp_path / "here" / "bees.md").read_text().startswith("# Bees!")  # the mark stayed on it
        await driver.press("f8")
        await driver.confirm()
        await driver.until(lambda: isinstance(driver.app.screen, ThreadsScreen) and len(lines(driver)) == 1)
        assert thread not in [each.id for each in driver.daemon.threads.recent()]


async def test_the_picker_says_what_fits_and_why_and_the_chosen_model_answers(start: Start) -> None:
    async with start() as driver:
        await driver.opened("f3", ModelsScreen)
        text = lines(driver)
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
        await driver.until(lambda: "25 % of 100.0 MB · 5.0 MB/s · 15 s left" in str(lines(driver)))
        await driver.press("space")
        await driver.until(lambda: "paused" in str(lines(driver)))
        await driver.press("escape")
        await driver.opened("f3", ModelsScreen)
        await driver.until(lambda: "paused" in str(lines(driver)))
        await driver.press("j", "space")
        await driver.until(lambda: "paused" not in str(lines(driver)))
        steps.put_nowait(Done())
        await driver.until(lambda: "qwen3:4b is here." in driver.notices)
        await driver.until(lambda: "✓ qwen3:4b" in str(lines(driver)))


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
        await driver.until(lambda: "giant:70b" in lines(driver)[0])
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
        await driver.until(lambda: "cancelled" in driver.notices)
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
        await driver.until(lambda: len(lines(driver)) == 2 and not field.display)
        await driver.press("space")
        box = driver.app.screen.query_one(".window")
        await driver.until(lambda: "paused" in str(box.border_subtitle))
        await driver.press("space")
        await driver.until(lambda: not driver.daemon.paused)
        await driver.press("j", "enter")
        await driver.until(lambda: driver.app.screen is driver.chat)
        assert driver.chat.folder == str(tmp_path)
        await driver.opened("f4", FoldersScreen)
        await driver.press("j", "D")
        await driver.confirm()
        await driver.until(lambda: isinstance(driver.app.screen, FoldersScreen) and len(lines(driver)) == 1)


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
        await driver.until(lambda: len(lines(driver)) == 2 and not field.display)


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
