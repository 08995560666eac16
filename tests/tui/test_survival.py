"""Nothing typed is lost: daemons that go away, drafts, signals of another kind, pastes and hostile text."""

import tempfile
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from textual.events import Paste
from textual.widgets import Static
from tui_driver import Start, stored
from tui_fakes import STATUS, FakeDaemon

from localmind.events import Done, TextDelta
from localmind_tui.commands import BY_NAME
from localmind_tui.following import AWAY
from localmind_tui.remembered import HISTORY_KEPT, Remembered
from localmind_tui.screens.asking import Prompt
from localmind_tui.sharing import Changed
from localmind_tui.state import Memory


async def test_the_daemon_goes_away_in_mid_answer_and_the_answer_goes_on_when_it_is_back(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Tell me")
        driver.daemon.say(TextDelta("Once "))
        await driver.until(lambda: turn.answer == "Once ")
        driver.daemon.go_away()
        await driver.until(lambda: turn.note == AWAY and driver.header.state == "unreachable")
        driver.daemon.say(TextDelta("more."))
        driver.daemon.come_back()
        await driver.until(lambda: turn.answer == "Once more.")
        driver.daemon.say(Done())
        await driver.until(lambda: turn.state == "done" and driver.header.state == "ready")
        assert driver.daemon.ensured > 0


async def test_after_a_restart_the_stored_answer_is_shown_with_what_became_of_it(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Tell me")
        driver.daemon.say(TextDelta("Half of it"))
        await driver.until(lambda: turn.answer)
        driver.daemon.go_away()
        await driver.until(lambda: turn.note == AWAY)
        await driver.daemon.running.close()
        driver.daemon.lose_running()
        driver.daemon.come_back()
        await driver.until(lambda: turn.state == "stopped")
        assert turn.answer == "Half of it"


async def test_a_daemon_of_another_version_that_takes_over_is_told_and_lost_nothing(start: Start) -> None:
    async with start() as driver:
        turn = await driver.ask("Tell me")
        driver.daemon.say(TextDelta("Half "))
        await driver.until(lambda: turn.answer == "Half ")
        driver.type("meanwhile")
        driver.daemon.go_away()
        await driver.until(lambda: driver.header.state == "unreachable")
        await driver.daemon.running.close()
        driver.daemon.lose_running()
        driver.daemon.status_answer = driver.daemon.status_answer | {"version": "9.9.9"}
        driver.daemon.come_back()
        await driver.until(lambda: "The daemon is 9.9.9 now" in driver.notices)
        await driver.until(lambda: turn.state == "stopped" and driver.header.state == "ready")
        assert (turn.answer, driver.composer.text) == ("Half ", "meanwhile")


async def test_an_app_that_opens_onto_a_daemon_of_another_version_says_so_once_and_what_to_type(
    start: Start, tmp_path: Path
) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db", status=STATUS | {"version": "9.9.9"})
    async with start(daemon) as driver:
        await driver.until(lambda: "The daemon is 9.9.9, this window" in driver.notices)
        assert "`localmind stop`" in driver.notices
        for _ in range(2):  # it looks every few seconds, and once when it is asked to
            await driver.chat._show_link()
        assert driver.notices.count("9.9.9") == 1
        daemon.status_answer = STATUS  # stopped and started again, as it was told
        driver.app.desk.link.ask()
        await driver.until(lambda: driver.chat._version == STATUS["version"])
        assert driver.notices.count("daemon") == 1


async def test_a_daemon_of_the_same_version_is_worth_no_word(start: Start) -> None:
    async with start() as driver:
        await driver.until(lambda: driver.header.state == "ready" and driver.chat._version)
        assert driver.notices == ""


async def test_a_question_that_cannot_be_sent_stays_where_it_was_typed(start: Start) -> None:
    async with start() as driver:
        driver.daemon.go_away()
        driver.type("Important words")
        await driver.press("enter")
        await driver.until(lambda: "no daemon answers" in driver.notices)
        assert driver.composer.text == "Important words"


async def test_drafts_are_kept_per_thread_and_through_a_closed_terminal(start: Start, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    memory = tmp_path / "tui.json"
    async with start(daemon, memory=memory) as driver:
        await driver.settled("one", TextDelta("1"), Done())
        driver.type("half a thought")
        first = driver.chat._key
        await driver.press("ctrl+n")
        await driver.until(lambda: not driver.turns and driver.composer.text == "")
        driver.type("elsewhere")
        await driver.pilot.pause()
    async with start(daemon, memory=memory, thread=first) as driver:
        await driver.until(lambda: driver.composer.text == "half a thought")
        await driver.press("ctrl+n")
        await driver.until(lambda: driver.composer.text == "elsewhere")
    await daemon.stop()


class FakeMemory(Memory):
    """Knows which threads waited for the disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.waited: list[int] = []

    def _write(self, number: int, changed: Changed) -> Remembered | None:
        self.waited.append(threading.get_ident())
        return super()._write(number, changed)


async def test_a_draft_is_written_while_the_app_goes_on_for_a_disk_may_be_slow(start: Start, tmp_path: Path) -> None:
    async with start() as driver:
        memory = driver.app.desk.memory = FakeMemory(tmp_path / "tui.json")
        driver.type("half a thought")
        await driver.until(lambda: memory.waited)
        assert threading.get_ident() not in memory.waited
        await driver.until(lambda: stored(tmp_path / "tui.json").drafts == {"": "half a thought"})


def test_an_older_copy_is_never_written_over_a_newer_one(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "tui.json")
    memory.draft("", "older")
    older = memory._copy()
    memory.draft("", "newer")
    memory.save()
    memory._write(*older)
    assert stored(tmp_path / "tui.json").drafts == {"": "newer"}


async def test_what_was_being_typed_comes_back_when_an_older_question_was_worded_anew_or_was_not(start: Start) -> None:
    async with start() as driver:
        await driver.settled("First?", TextDelta("Yes."), Done())
        driver.type("a draft")
        await driver.press("ctrl+up", "e")
        await driver.until(lambda: driver.composer.text == "First?")
        await driver.press("escape")
        await driver.until(lambda: driver.composer.text == "a draft")
        await driver.press("ctrl+up", "e")
        await driver.until(lambda: driver.composer.text == "First?")
        await driver.press("!", "enter")
        await driver.until(lambda: driver.chat.answering and driver.turns[0].question.content == "First?!")
        assert driver.composer.text == "a draft"
        driver.daemon.say(Done())
        await driver.ended()


async def test_a_command_that_was_not_done_stays_to_be_corrected_and_the_palette_takes_no_draft(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "brief.md").write_text("To {{name}}: {{input}}")
    async with start() as driver:
        driver.type("/set temperature warm")
        await driver.press("enter")
        await driver.until(lambda: "warm is no value" in driver.notices)
        await driver.until(lambda: driver.composer.text == "/set temperature warm")
        driver.composer.put("/template brief buy milk")
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, Prompt))
        await driver.press("escape")
        await driver.until(lambda: driver.composer.text == "/template brief buy milk")
        driver.composer.put("Look at ")
        await driver.chat.run_from_palette(BY_NAME["file"])
        assert driver.composer.text == "Look at @"
        driver.composer.put("")
        await driver.chat.run_from_palette(BY_NAME["rename"])
        assert driver.composer.text == "/rename "


async def test_what_was_asked_before_comes_back_by_the_arrows(start: Start) -> None:
    async with start() as driver:
        await driver.settled("first", TextDelta("1"), Done())
        await driver.settled("second", TextDelta("2"), Done())
        driver.type("third")
        for key, text in (("up", "second"), ("up", "first"), ("up", "first"), ("down", "second"), ("down", "third")):
            await driver.press(key)
            assert driver.composer.text == text


async def test_a_megabyte_is_pasted_at_once_and_goes_along_as_a_file(start: Start) -> None:
    async with start() as driver:
        driver.composer.post_message(Paste("line of text\n" * 80_000))
        await driver.until(lambda: "[pasted 1: 80,001 lines]" in driver.composer.text)
        driver.type("what is it?")
        await driver.press("enter")
        await driver.until(lambda: driver.daemon.model.asked)
        asked = driver.daemon.model.asked[0].messages[-1].content
        assert asked.startswith("File pasted-1:\n\nline of text\n")
        assert asked.endswith("what is it?")
        driver.daemon.say(Done())


async def test_what_terminals_paste_for_a_new_line_is_one(start: Start) -> None:
    async with start() as driver:
        driver.composer.post_message(Paste("one\rtwo\r\nthree\nfour"))
        await driver.until(lambda: driver.composer.text == "one\ntwo\nthree\nfour")


async def test_a_long_paste_is_kept_with_its_draft_through_a_closed_terminal(start: Start, tmp_path: Path) -> None:
    memory = tmp_path / "tui.json"
    daemon = FakeDaemon(tmp_path / "threads.db")
    async with start(daemon, memory=memory) as driver:
        driver.composer.post_message(Paste("a line\r" * 900))
        await driver.until(lambda: "[pasted 1: 901 lines]" in driver.composer.text)
    async with start(daemon, memory=memory) as driver:
        await driver.until(lambda: "[pasted 1: 901 lines]" in driver.composer.text)
        await driver.press("enter")
        await driver.until(lambda: daemon.model.asked)
        assert "File pasted-1:\n\na line\na line\n" in daemon.model.asked[0].messages[-1].content
        daemon.say(Done())
        await driver.ended()
        assert driver.app.desk.memory.now.pastes == {}
    await daemon.stop()


async def test_a_dropped_file_becomes_a_reference_and_is_read(start: Start, tmp_path: Path) -> None:
    note = tmp_path / "a note.md"
    note.write_text("The pump was replaced.")
    async with start() as driver:
        driver.composer.post_message(Paste(f"'{note}'"))
        await driver.until(lambda: driver.composer.text == f'@"{note}" ')
        driver.type("What was done?")
        await driver.press("enter")
        await driver.until(lambda: driver.daemon.model.asked)
        assert "The pump was replaced." in driver.daemon.model.asked[0].messages[-1].content
        driver.daemon.say(Done())


async def test_escapes_and_direction_marks_reach_the_terminal_from_nowhere(start: Start) -> None:
    evil = "\x1b]52;c;aGk=\x07\u202egpj.exe\x1b[2J"
    async with start() as driver:
        driver.type("Is ")
        driver.composer.post_message(Paste(evil))
        await driver.until(lambda: "gpj.exe" in driver.composer.text)
        await driver.press("enter")
        await driver.until(lambda: driver.turns)
        driver.daemon.say(*(TextDelta(each) for each in evil + "```" + evil + "\n" + evil + "\n```\n"), Done())
        await driver.until(lambda: driver.turns[0].state == "done")
        drawn = driver.app.export_screenshot()
        assert "gpj.exe" in drawn
        for bad in ("\x1b", "\u202e", "]52;"):
            assert bad not in drawn
            assert bad not in str(driver.turns[0].query_one(".question", Static).content)


async def test_wide_and_combining_characters_and_any_size_are_drawn(start: Start) -> None:
    async with start() as driver:
        text = "日本語のテスト 👩‍👩‍👧‍👦 e\u0301 שלום عربى\n\n" * 12
        await driver.settled("日本語", TextDelta(text), Done())
        for size in ((1, 1), (20, 5), (480, 135), (3, 60), (120, 2), (80, 24)):
            await driver.pilot.resize_terminal(*size)
        await driver.press("pageup", "pagedown", "escape")
        for key in ("f2", "f3", "f4", "f1"):  # and so are the windows
            await driver.press(key)
            await driver.until(lambda: driver.app.screen is not driver.chat)
            for size in ((1, 1), (9, 40)):
                await driver.pilot.resize_terminal(*size)
            await driver.press("escape")
            await driver.until(lambda: driver.app.screen is driver.chat)
        assert driver.turns[0].answer.startswith("日本語")


@given(st.binary(max_size=300))
def test_a_broken_memory_file_begins_anew_and_is_kept_beside(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tui.json"
        path.write_bytes(data)
        memory = Memory(path)
        memory.draft("t", "words")
        memory.save()
        assert Memory(path).now.drafts == {"t": "words"}


def test_the_history_is_bounded_and_has_each_question_once(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "tui.json")
    for number in range(HISTORY_KEPT + 10):
        memory.asked(f"question {number}")
    memory.asked("question 100")
    assert len(memory.now.history) == HISTORY_KEPT
    assert memory.now.history[-1] == "question 100"
    assert memory.now.history.count("question 100") == 1
