"""A question that is worded anew takes along what it had: files, long pastes; and what was being typed comes back."""

from pathlib import Path

from textual.events import Paste
from tui_driver import Start

from localmind.events import Done, TextDelta
from localmind_tui.attaching import Before, before

PAGES = "a line of a long letter\n" * 300


def test_what_a_question_took_along_is_told_apart_by_how_its_words_name_it() -> None:
    attached = [
        {"path": "pasted-3", "text": "three"},
        {"path": "/home/notes.md", "text": "named by @"},
        {"path": "/home/letter.txt", "text": "from the command line"},
        {"path": "pasted-", "text": "a file called so"},
        {"path": "pasted-9999999999999", "text": "another one"},
    ]
    letter, *odd = attached[2:]
    assert before(attached, [Path("/home/notes.md")]) == Before(("", "", "three"), (letter, *odd))
    assert before([], []) == Before()


async def test_files_and_long_pastes_go_along_when_a_question_is_worded_anew(start: Start) -> None:
    async with start() as driver:
        files = [{"path": "/gone/letter.txt", "text": "Dear Ann"}, {"path": "pasted-2", "text": PAGES}]
        begun = await driver.daemon.begin("Sum up [pasted 2: 300 lines]", attachments=files)
        driver.daemon.say(TextDelta("A letter."), Done())
        await driver.until(lambda: not driver.daemon.running.list())
        await driver.chat.open(begun["thread"]["id"])
        await driver.press("ctrl+up", "e")
        await driver.until(lambda: "with letter.txt" in str(driver.composer.border_title))
        driver.composer.put("Shorter: [pasted 2: 300 lines]")
        await driver.press("enter")
        await driver.until(lambda: len(driver.daemon.model.asked) == 2)
        asked = driver.daemon.model.asked[1].messages[-1].content
        assert "Dear Ann" in asked
        assert PAGES.strip() in asked
        driver.daemon.say(Done())
        await driver.until(lambda: not driver.daemon.running.list())
        await driver.until(lambda: "Ask about" in str(driver.composer.border_title))


async def test_a_long_paste_that_was_being_written_comes_back_after_an_older_question_was_looked_at(
    start: Start,
) -> None:
    async with start() as driver:
        await driver.settled("first", TextDelta("answer"), Done())
        driver.composer.post_message(Paste(PAGES))
        await driver.until(lambda: driver.composer.pasted)
        typed, pasted = driver.composer.text, driver.composer.pasted
        await driver.press("ctrl+up", "e")
        await driver.until(lambda: driver.composer.text == "first")
        assert driver.composer.pasted == []
        await driver.press("escape")
        await driver.until(lambda: driver.composer.text == typed)
        assert driver.composer.pasted == pasted
