"""Answers that were cut short: what is said of them when they end, and when they are read again."""

from pathlib import Path

from tui_driver import Start
from tui_fakes import FakeDaemon

from localmind.events import Done, TextDelta
from localmind.messages import Timings, Usage


async def test_an_answer_that_went_round_in_circles_says_so_and_what_to_do_also_when_it_is_read_again(
    start: Start, tmp_path: Path
) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    async with start(daemon) as driver:
        await driver.press("ctrl+t")
        turn = await driver.settled("Tell of a bee.", *[TextDelta("She represents herself. ")] * 1000)
        assert turn.note == (
            "ended here, since it was repeating itself\n"
            "hint: /again writes another answer, /model asks another model, "
            "/set max_tokens 4000 lets it go on to that length"
        )
        assert (turn.state, turn.answer) == ("done", "She represents herself. " * 250)
        thread, note = driver.chat.thread["id"], turn.note
    async with start(daemon, thread=thread) as driver:
        await driver.until(lambda: driver.turns and driver.turns[0].note == note)
    await daemon.stop()


async def test_a_stopped_answer_says_what_it_cost_also_when_it_is_read_again(start: Start, tmp_path: Path) -> None:
    daemon = FakeDaemon(tmp_path / "threads.db")
    async with start(daemon) as driver:
        await driver.ask("Tell me everything")
        daemon.say(TextDelta("Once upon"), Done("cancelled", Usage(300, 20), Timings(0, 200, 400), "smollm2:135m"))
        await driver.until(lambda: driver.turns[0].state == "stopped")
        assert driver.turns[0].note == "stopped · 20 tokens · 50 tokens/s · first after 0.2 s"
        thread, note = driver.chat.thread["id"], driver.turns[0].note
    async with start(daemon, thread=thread) as driver:
        await driver.until(lambda: driver.turns and driver.turns[0].note == note)
        assert driver.turns[0].usage == Usage(300, 20), "the context gauge counts it"
    await daemon.stop()
