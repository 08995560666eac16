"""Keys and the mouse on the conversation and over it, where no other test presses them."""

from textual.command import CommandList, CommandPalette
from textual.events import MouseScrollUp
from textual.selection import SELECT_ALL
from textual.widgets import Input, OptionList
from textual.widgets.text_area import Selection
from tui_driver import Driver, Start

from localmind.events import Done, Passage, Sources, TextDelta
from localmind_tui.commands import COMMANDS, entries
from localmind_tui.keymap import KEYS
from localmind_tui.screens.help import HelpScreen
from localmind_tui.screens.jumping import Jump
from localmind_tui.screens.models import ModelsScreen
from localmind_tui.widgets.document import Document
from localmind_tui.widgets.sidebar import Sidebar
from localmind_tui.widgets.transcript import Transcript

LONG = "\n\n".join(f"Paragraph {number}." for number in range(60))
SOURCE = Passage(1, "/home/ines/samples/boiler.md", 6, 10, None, "Service", "Serviced in October.", 0.7)


def view(driver: Driver) -> Transcript:
    return driver.chat.query_one(Transcript)


def at_end(driver: Driver) -> bool:
    return view(driver).scroll_y == view(driver).max_scroll_y > 0


async def test_pages_and_the_wheel_scroll_away_from_a_growing_answer_and_back_to_its_end(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Tell me much")
        driver.daemon.say(TextDelta(LONG + "\n\n"))
        await driver.until(lambda: at_end(driver))
        await driver.press("pageup")
        await driver.until(lambda: not at_end(driver))
        stayed = view(driver).scroll_y
        before = view(driver).max_scroll_y
        driver.daemon.say(TextDelta(LONG), Done())
        await driver.until(lambda: turn.state != "streaming" and view(driver).max_scroll_y > before)
        assert view(driver).scroll_y == stayed
        while not at_end(driver):
            await driver.press("pagedown")
        # the mouse does the same, over the text
        view(driver).post_message(MouseScrollUp(view(driver), 5, 5, 0, -1, 0, False, False, False))
        await driver.until(lambda: not at_end(driver))


async def test_the_list_of_threads_comes_and_goes_and_a_click_opens_one(start: Start) -> None:
    async with start(size=(140, 36)) as driver:
        await driver.settled("About bees", TextDelta("Hives."), Done())
        first = driver.chat._key
        await driver.press("ctrl+n")
        await driver.settled("About heat", TextDelta("A boiler."), Done())
        sidebar = driver.chat.query_one(Sidebar)
        shown = sidebar.display
        await driver.press("ctrl+b")
        await driver.until(lambda: sidebar.display is not shown)
        await driver.press("ctrl+b")
        await driver.until(lambda: sidebar.display and sidebar.list is not None and sidebar.list.option_count == 2)
        await driver.pilot.click(sidebar, offset=(4, 1 + sidebar.threads.index(first)))
        await driver.until(lambda: driver.chat._key == first and "Hives." in driver.turns[0].answer)


async def test_s_leads_to_the_sources_and_i_back_to_the_question(start: Start) -> None:
    async with start() as driver:
        turn = await driver.settled("When?", TextDelta("In October [1]."), Sources((SOURCE,)), Done())
        await driver.press("ctrl+up", "s")
        await driver.until(lambda: turn.sources.has_focus)
        await driver.press("y")
        await driver.until(lambda: driver.app.clipboard == SOURCE.place)
        await driver.press("ctrl+up", "i")
        await driver.until(lambda: driver.composer.has_focus)


async def test_the_palette_finds_a_command_by_its_words_and_runs_it(start: Start) -> None:
    async with start() as driver:
        await driver.press("ctrl+p")
        await driver.until(lambda: isinstance(driver.app.screen, CommandPalette))
        driver.app.screen.query_one(Input).value = "files and plain chat"
        found = driver.app.screen.query_one(CommandList)
        await driver.until(lambda: found.option_count and "mode —" in str(found.get_option_at_index(0).prompt))
        assert driver.chat.mode == "files"
        await driver.press("enter")
        await driver.until(lambda: driver.chat.mode == "chat" and driver.app.screen is driver.chat)


def test_the_palette_has_every_command_and_every_key_of_the_conversation_once_with_the_key_of_the_user() -> None:
    lines = entries({"folders.open": "f11"})
    assert [each.command for each in lines if each.command] == list(COMMANDS)
    assert next(each.key for each in lines if each.text.startswith("folders —")) == "F11"
    assert next(each.key for each in lines if each.text == "Show or hide the list of threads") == "Ctrl+B"
    ids = {key.id for key in KEYS}
    assert {each.key for each in COMMANDS if each.key} <= ids
    reached = [each.command.key if each.command else each.action.id for each in lines if each.command or each.action]
    assert len([each for each in reached if each]) == len({each for each in reached if each})


async def test_the_palette_runs_what_only_a_key_does(start: Start) -> None:
    async with start(size=(130, 36)) as driver:
        assert driver.chat.query_one(Sidebar).display
        await driver.press("ctrl+p")
        await driver.until(lambda: isinstance(driver.app.screen, CommandPalette))
        driver.app.screen.query_one(Input).value = "hide the list of threads"
        found = driver.app.screen.query_one(CommandList)
        await driver.until(lambda: found.option_count and "Ctrl+B" in str(found.get_option_at_index(0).prompt))
        await driver.press("enter")
        await driver.until(lambda: not driver.chat.query_one(Sidebar).display)


async def test_letters_move_in_lists_and_in_help_and_q_closes_them(start: Start) -> None:
    async with start() as driver:
        await driver.opened("f3", ModelsScreen)
        listed = driver.app.screen.query_one(OptionList)
        await driver.until(lambda: listed.highlighted == 0)
        await driver.press("j")
        assert listed.highlighted == 1
        await driver.press("q")
        await driver.until(lambda: driver.app.screen is driver.chat)
        await driver.opened("f1", HelpScreen)
        box = driver.app.screen.query_one("#help")
        await driver.press("j", "j", "k")
        await driver.until(lambda: box.scroll_y == 1)
        await driver.press("q")
        await driver.until(lambda: driver.app.screen is driver.chat)


async def test_a_letter_jumps_to_an_answer_its_sources_another_thread_and_the_question(start: Start) -> None:
    async with start(size=(130, 36)) as driver:
        await driver.settled("The first one?", TextDelta("Yes."), Sources((SOURCE,)), Done())
        await driver.press("ctrl+n")
        turn = await driver.settled("And the second?", TextDelta("No."), Sources((SOURCE,)), Done())
        await driver.until(lambda: len(driver.chat.query_one(Sidebar).threads) == 2)

        async def jump(letter: str) -> dict[str, tuple[int, int]]:
            await driver.press("f9")
            await driver.until(lambda: isinstance(driver.app.screen, Jump))
            await driver.until(lambda: all(label.region for label in driver.app.screen.query(".letter")))
            shown = {str(label.render()).strip(): label.region.offset for label in driver.app.screen.query(".letter")}
            await driver.press(letter)
            await driver.until(lambda: driver.app.screen is driver.chat)
            return {name: (at.x, at.y) for name, at in shown.items()}

        shown = await jump("s")
        assert list(shown) == list("asdfg")  # question, answer, its sources, two threads
        await driver.until(lambda: turn.has_focus)
        assert shown["s"] == tuple(turn.region.offset)
        assert shown["d"] == tuple(turn.sources.region.offset)
        await jump("d")
        await driver.until(lambda: turn.sources.has_focus)
        await jump("a")
        await driver.until(lambda: driver.composer.has_focus)
        await jump("1")  # no place of that name
        assert driver.composer.has_focus
        assert driver.composer.text == ""
        await jump("g")
        await driver.until(lambda: driver.turns and driver.turns[0].question.content == "The first one?")


async def test_what_is_marked_in_the_question_is_copied_and_cut_to_every_clipboard(start: Start) -> None:
    async with start() as driver:
        driver.type("one two")
        driver.composer.selection = Selection((0, 0), (0, 3))
        await driver.press("ctrl+c")
        await driver.until(lambda: "Copied." in driver.notices)  # which is said when the desktop's tool was asked too
        assert driver.app.clipboard == "one"
        driver.app.clear_notifications()
        driver.composer.selection = Selection((0, 4), (0, 7))
        await driver.press("ctrl+x")
        await driver.until(lambda: "Copied." in driver.notices and driver.composer.text == "one ")
        assert driver.app.clipboard == "two"


async def test_what_the_mouse_marks_in_an_answer_is_copied_to_every_clipboard(start: Start) -> None:
    async with start() as driver:
        turn = await driver.settled("What?", TextDelta("The guest house is by the lake."), Done())
        driver.chat.selections = {turn.query_one(Document): SELECT_ALL}  # as a drag over it does
        await driver.press("ctrl+c")
        await driver.until(lambda: "Copied." in driver.notices)
        assert driver.app.clipboard == "The guest house is by the lake."
        assert driver.app.screen.get_selected_text() is None
