"""The conversation, with a pilot at the keys and a fake daemon behind."""

import asyncio
from pathlib import Path
from typing import Any

from textual.widgets import Static
from tui_driver import Start
from tui_fakes import STATUS, FakeDaemon

from localmind.errors import WorkerDied
from localmind.events import Done, Passage, Progress, ReasoningDelta, Sources, TextDelta
from localmind.messages import Timings, Usage
from localmind_tui.screens.help import HelpScreen
from localmind_tui.widgets.document import Document
from localmind_tui.widgets.sidebar import Sidebar
from localmind_tui.widgets.sources import SourcesView

DONE = Done("stop", Usage(300, 20), Timings(1, 200, 400), "smollm2:135m")


async def test_an_answer_streams_in_and_ends_as_markdown_with_its_costs(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("When was the boiler serviced?")
        assert driver.header.state == "answering"
        driver.daemon.say(TextDelta("It was on "), TextDelta("**9 Octo"))
        await driver.until(lambda: turn.query(Document) and "9 Octo" in turn.query_one(Document).open)
        driver.daemon.say(TextDelta("ber 2026** [1]."), DONE)
        await driver.until(lambda: turn.state == "done")
        assert turn.answer == "It was on **9 October 2026** [1]."
        assert turn.query_one(Document).source == turn.answer
        assert turn.query_one(Document).open == ""
        assert turn.note == "20 tokens · 50 tokens/s · first after 0.2 s"
        await driver.until(lambda: driver.header.state == "ready")
        assert "320 of 8,192" in str(driver.composer.border_subtitle)
        assert driver.header.thread == "When was the boiler serviced?"


async def test_closed_blocks_stay_while_the_open_one_is_read_anew(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Explain")
        driver.daemon.say(TextDelta("First paragraph.\n\n- an item\n- another"))
        await driver.until(lambda: turn.query(Document) and turn.query_one(Document).source == "First paragraph.\n\n")
        await driver.until(lambda: turn.query_one(Document).open == "- an item\n- another")
        driver.daemon.say(DONE)
        await driver.until(lambda: turn.state == "done")
        assert turn.query_one(Document).source == "First paragraph.\n\n- an item\n- another"


async def test_escape_stops_the_answer_and_keeps_the_text(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Tell me everything")
        driver.daemon.say(TextDelta("Once upon a time"))
        await driver.until(lambda: turn.answer)
        await driver.press("escape")
        await driver.until(lambda: turn.state == "stopped")
        assert (turn.answer, turn.note) == ("Once upon a time", "stopped")
        assert driver.daemon.model.open == 0
        stored = driver.daemon.threads.get(driver.chat._key).turns[0].answer
        assert stored is not None
        assert (stored.content, stored.state) == ("Once upon a time", "stopped")
        await driver.settled("And then?", TextDelta("The end."), DONE)


async def test_escape_before_the_first_word_is_said_so(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Hello?")
        driver.daemon.say(Progress("load", 1, 4, "", "loading the model"))
        await driver.until(lambda: turn.note == "loading the model 25 %")
        await driver.press("escape")
        await driver.until(lambda: turn.state == "stopped")
        assert turn.note == "stopped before the first word"


async def test_a_failed_answer_keeps_its_text_and_shows_the_hint(start: Start) -> None:
    async with start() as driver:
        turn = await driver.settled("?", TextDelta("half"), WorkerDied("killed", hint="localmind doctor"))
        assert turn.state == "failed"
        assert turn.answer == "half"
        assert turn.note == "killed\nhint: localmind doctor"


async def test_thoughts_are_folded_counted_and_shown_on_demand(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Think")
        driver.daemon.say(ReasoningDelta("Let me "), ReasoningDelta("see"))
        await driver.until(lambda: turn.query(".thoughts"))
        thinking, thoughts = turn.query_one(".thinking", Static), turn.query_one(".thoughts", Static)
        await driver.until(lambda: "Thinking" in str(thinking.content))
        assert not thoughts.display
        driver.daemon.say(TextDelta("42"), DONE)
        await driver.until(lambda: turn.state == "done")
        assert "Thought" in str(thinking.content)
        await driver.press("ctrl+up", "z")
        assert thoughts.display
        assert str(thoughts.content) == "Let me see"


async def test_thoughts_that_are_looked_at_are_drawn_now_and_then_and_are_whole_in_the_end(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Think")
        driver.daemon.say(ReasoningDelta("Let me "))
        await driver.until(lambda: turn.query(".thoughts"))
        thoughts = turn.query_one(".thoughts", Static)
        turn.action_fold()
        for number in range(200):
            turn.think(f"{number} ")
        assert str(thoughts.content) == "Let me ", "laying out all of them for each word takes half a core"
        await driver.until(lambda: str(thoughts.content).endswith(" 198 199 "))
        turn.think("done")
        driver.daemon.say(TextDelta("42"), DONE)
        await driver.until(lambda: turn.state == "done")
        assert str(thoughts.content).endswith(" 199 done")


async def test_a_closed_app_leaves_the_answer_to_the_daemon_and_finds_it_finished(start: Start, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    memory = tmp_path / "tui.json"
    async with start(daemon, memory=memory) as driver:
        turn = await driver.ask("Write a book")
        daemon.say(TextDelta("Chapter one"))
        await driver.until(lambda: turn.answer)
        thread = driver.chat._key
    daemon.say(TextDelta(", and the end."), DONE)
    async with start(daemon, memory=memory, thread=thread) as driver:
        await driver.until(lambda: driver.turns and driver.turns[0].state == "done")
        assert driver.turns[0].answer == "Chapter one, and the end."
    await daemon.stop()


async def test_a_running_answer_is_joined_where_it_is(start: Start, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    async with start(daemon) as driver:
        await driver.ask("Write")
        thread = driver.chat._key
    daemon.say(TextDelta("already "))
    async with start(daemon, thread=thread) as driver:
        await driver.until(lambda: driver.turns and driver.turns[0].answer == "already ")
        assert driver.header.state == "answering"
        daemon.say(TextDelta("there"), DONE)
        await driver.until(lambda: driver.turns[0].state == "done")
        assert driver.turns[0].answer == "already there"
    await daemon.stop()


async def test_several_threads_are_answered_at_once_and_the_list_says_which(start: Start) -> None:
    async with start(size=(140, 40)) as driver:
        await driver.ask("First thread")
        first = driver.chat._key
        await driver.press("ctrl+n")
        await driver.until(lambda: not driver.turns)
        await driver.ask("Second thread")
        second = driver.chat._key
        assert {run.thread_id for run in driver.daemon.running.list()} == {first, second}
        sidebar = driver.chat.query_one(Sidebar)
        await driver.until(lambda: len(sidebar.answering) == 2)
        await driver.press("alt+down")
        await driver.until(lambda: driver.chat._key == first and driver.turns)  # they come after their name
        assert [turn.question.content for turn in driver.turns] == ["First thread"]


async def test_a_question_typed_during_an_answer_is_sent_when_that_ends(start: Start) -> None:
    async with start() as driver:
        await driver.ask("one")
        driver.type("two")
        await driver.press("enter")
        await driver.until(lambda: "when this answer ends" in str(driver.composer.border_title))
        assert driver.composer.text == "two"
        driver.daemon.say(TextDelta("1"), DONE)
        await driver.until(lambda: len(driver.turns) == 2)
        assert driver.turns[1].question.content == "two"
        assert driver.composer.text == ""


async def test_a_waiting_question_that_is_worded_anew_waits_for_enter_and_loses_no_letter(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("one")
        driver.type("two")
        await driver.press("enter", "s")
        await driver.until(lambda: "Ask your files" in str(driver.composer.border_title))
        driver.daemon.say(TextDelta("1"), DONE)
        await driver.until(lambda: turn.state == "done" and driver.header.state == "ready")
        assert driver.composer.text == "twos"
        assert len(driver.turns) == 1


async def test_enter_pressed_twice_asks_once_and_what_is_typed_meanwhile_stays(start: Start) -> None:
    async with start() as driver:
        begin, let_go = driver.daemon.begin, asyncio.Event()

        async def slow(question: str, **how: Any) -> dict[str, Any]:
            await let_go.wait()
            return await begin(question, **how)

        driver.daemon.begin = slow  # type: ignore[method-assign]
        driver.type("one")
        await driver.press("enter", "enter")
        driver.type(" and more")
        let_go.set()
        await driver.until(lambda: driver.turns)
        await driver.until(lambda: driver.composer.text == "and more")
        driver.daemon.say(TextDelta("1"), DONE)
        await driver.ended()
        assert [turn.question.content for turn in driver.turns] == ["one"]


async def test_editing_a_question_asks_again_beside_it_and_both_can_be_seen(start: Start) -> None:
    async with start() as driver:
        await driver.settled("wrong question", TextDelta("wrong answer"), DONE)
        await driver.press("ctrl+up", "e")
        await driver.until(lambda: driver.composer.text == "wrong question")
        driver.composer.put("right question")
        await driver.press("enter")
        driver.daemon.say(TextDelta("right answer"), DONE)
        await driver.until(lambda: driver.turns and driver.turns[0].answer == "right answer")
        await driver.until(lambda: driver.turns[0].state == "done")
        assert "‹ 2/2 ›" in str(driver.turns[0].query_one(".question", Static).content)
        await driver.press("ctrl+up", "H")
        await driver.until(lambda: driver.turns and driver.turns[0].answer == "wrong answer")
        await driver.until(lambda: driver.turns[0].has_focus)
        await driver.press("L")
        await driver.until(lambda: driver.turns and driver.turns[0].answer == "right answer")


async def test_an_answer_written_again_is_a_branch(start: Start) -> None:
    async with start() as driver:
        await driver.settled("question", TextDelta("first"), DONE)
        await driver.press("ctrl+up", "r")
        await driver.until(lambda: driver.daemon.model.open and driver.turns and driver.chat.answering)
        driver.daemon.say(TextDelta("second"), DONE)
        await driver.until(lambda: driver.turns[0].state == "done" and driver.turns[0].answer == "second")
        assert "‹ 2/2 ›" in str(driver.turns[0].query_one(".note", Static).content)
        await driver.press("ctrl+up", "h")
        await driver.until(lambda: driver.turns and driver.turns[0].answer == "first")
        await driver.until(lambda: driver.turns[0].has_focus)
        await driver.press("l")
        await driver.until(lambda: driver.turns and driver.turns[0].answer == "second")


async def test_a_turn_is_deleted_with_what_follows_when_confirmed(start: Start) -> None:
    async with start() as driver:
        await driver.settled("keep", TextDelta("kept"), DONE)
        await driver.settled("drop", TextDelta("dropped"), DONE)
        await driver.press("ctrl+up", "D")
        await driver.confirm("n")
        await driver.until(lambda: driver.app.screen is driver.chat)
        assert len(driver.daemon.threads.get(driver.chat._key).turns) == 2
        await driver.press("D")
        await driver.confirm()
        await driver.until(lambda: len(driver.turns) == 1)
        assert driver.daemon.threads.search("dropped") == []


async def test_moving_among_turns_by_letters(start: Start) -> None:
    async with start() as driver:
        for number in ("one", "two", "three"):
            await driver.settled(number, TextDelta(number), DONE)
        await driver.press("ctrl+up")
        assert driver.turns[2].has_focus
        await driver.press("k")
        assert driver.turns[1].has_focus
        await driver.press("g")
        assert driver.turns[0].has_focus
        await driver.press("j", "G")
        assert driver.turns[2].has_focus
        await driver.press("j")
        assert driver.composer.has_focus
        await driver.press("ctrl+up", "i")
        assert driver.composer.has_focus


async def test_copying_answers_questions_and_code_blocks(start: Start) -> None:
    async with start() as driver:
        text = "Do\n\n```sh\nls\n```\n\nor\n\n~~~\ncat x\n~~~\n"
        await driver.settled("How?", TextDelta(text), DONE)
        await driver.press("ctrl+up", "y")
        await driver.until(lambda: driver.app.clipboard == text)
        for key, copied in (("Y", "How?"), ("c", "ls\n"), ("c", "cat x\n"), ("c", "ls\n")):
            await driver.press(key)
            await driver.until(lambda copied=copied: driver.app.clipboard == copied)


async def test_sources_are_listed_shown_beside_and_opened_at_their_line(start: Start, tmp_path: Path) -> None:
    note = tmp_path / "boiler.md"
    note.write_text("x\n" * 20)
    passage = Passage(1, str(note), 7, 9, None, "Service", "The \x1b[31mboiler", 0.7)
    async with start() as driver:
        turn = await driver.settled("When?", Sources((passage,)), TextDelta("Then [1]."), DONE)
        await driver.press("f5")
        panel = driver.chat.query_one("#passages-text", Static)
        await driver.until(lambda: "The boiler" in str(panel.content))
        await driver.press("ctrl+o")
        assert isinstance(driver.app.focused, SourcesView)
        await driver.press("enter")
        await driver.until(lambda: driver.launched)
        assert driver.launched[0].argv == ("true", "+7", str(note))
        await driver.press("y")
        await driver.until(lambda: driver.app.clipboard == f"{note}:7-9")
        note.unlink()
        await driver.press("enter")
        await driver.until(lambda: "no longer there" in driver.notices)
        assert turn.sources.passages == (passage,)


async def test_instructions_and_parameters_can_be_set_before_the_first_question_and_stay(start: Start) -> None:
    async with start() as driver:
        for line in ("/system Be brief.", "/set temperature 0.2", "/set max_tokens 1"):
            driver.composer.put(line)
            await driver.press("enter")
            await driver.until(lambda: driver.composer.text == "")
        driver.composer.put("/set")
        await driver.press("enter")
        await driver.until(lambda: "temperature: 0.2\ntop_p: as the model likes\nmax_tokens: 1" in driver.notices)
        await driver.press("ctrl+t")
        await driver.ask("Hello?")
        assert driver.daemon.model.asked[0].sampling.temperature == 0.2
        assert driver.daemon.model.asked[0].messages[0].content == "Be brief."
        driver.daemon.say(DONE)
        await driver.ended()
        assert driver.chat.options["system"] == "Be brief."
        await driver.press("ctrl+n")
        await driver.until(lambda: not driver.chat.options)


async def test_the_mode_decides_whether_files_are_asked_and_is_said_above_the_question(start: Start) -> None:
    async with start() as driver:
        assert driver.composer.border_title == "Ask your files"
        await driver.press("ctrl+t")
        assert driver.composer.border_title == "Chat, without your files"
        await driver.settled("Hi", TextDelta("Hello"), DONE)
        stored = driver.daemon.threads.get(driver.chat._key).turns[0]
        assert stored.mode == "chat"


async def test_after_a_file_the_next_question_is_about_it_until_the_folders_are_asked_for(
    start: Start, tmp_path: Path
) -> None:
    async with start() as driver:
        (tmp_path / "here" / "note.md").write_text("The boiler was serviced in May.")
        await driver.settled("When? @note.md", TextDelta("In May."), DONE)
        assert driver.composer.border_title == "Ask about note.md"
        await driver.settled("By whom?", TextDelta("x"), DONE)
        assert driver.composer.border_title == "Ask about note.md"
        titles = []
        for _ in range(3):
            await driver.press("ctrl+t")
            titles.append(driver.composer.border_title)
        assert titles == ["Ask your files", "Chat, without your files", "Ask about note.md"]
        driver.composer.put("/mode files")
        await driver.press("enter")
        await driver.until(lambda: driver.composer.border_title == "Ask your files")
        await driver.settled("And the roof?", TextDelta("y"), DONE)
        assert driver.composer.border_title == "Ask your files"
        turns = driver.daemon.threads.get(driver.chat._key).turns
        assert [turn.mode for turn in turns] == ["files", "attached", "files"]


async def test_help_is_for_where_the_focus_is(start: Start) -> None:
    async with start() as driver:
        await driver.opened("f1", HelpScreen)
        assert "in the question" in str(driver.app.screen.query_one("#help").border_title)
        await driver.press("f1")
        await driver.until(lambda: driver.app.screen is driver.chat)


async def test_an_empty_home_says_how_to_begin(start: Start, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db", status=STATUS | {"folders": []})
    async with start(daemon) as driver:
        await driver.until(lambda: "F4" in str(driver.chat.query_one("#welcome", Static).content))
    await daemon.stop()
