"""How answers end that are stopped or go round in circles: with their text, with what they cost, and for good."""

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from running_fakes import SPEC, FakeEngines, begun, read

from localmind.assistant.running import Question, Running
from localmind.errors import WorkerDied
from localmind.events import Done, Event, ReasoningDelta, TextDelta
from localmind.messages import ResponseFormat, Timings, Usage
from localmind.store.threads import Threads
from localmind.store.transcript import Attachment, Mode, Options

COST = Done("cancelled", Usage(30, 12, 4), Timings(prefill_ms=40, decode_ms=300), SPEC.name)


@pytest.mark.parametrize("mode", ["chat", "files"])
async def test_a_stopped_answer_says_what_it_cost_where_its_engine_does(
    running: Running, engines: FakeEngines, threads: Threads, mode: Mode
) -> None:
    engines.cost = COST
    thread, message = await begun(running, mode=mode)
    engines.say(TextDelta("Once upon"))
    await anext(running.follow(message))
    assert await running.stop(message)
    assert await read(running, message) == [TextDelta("Once upon"), COST]
    stored = threads.get(thread).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.state, stored.finish_reason) == ("Once upon", "stopped", "cancelled")
    assert (stored.usage, stored.timings, engines.closed) == (COST.usage, COST.timings, 1)


@pytest.mark.parametrize("last", [WorkerDied("gone"), ReasoningDelta("")], ids=["it dies of it", "it says nothing"])
async def test_an_engine_that_does_not_say_what_an_answer_cost_holds_no_stop_up(
    engines: FakeEngines, threads: Threads, last: Event | Exception
) -> None:
    running = Running(engines, cast(Any, engines), threads, last_word_s=0.05)
    engines.cost = last
    thread, message = await begun(running)
    engines.say(TextDelta("Once upon"))
    await anext(running.follow(message))
    assert await running.stop(message)
    stored = threads.get(thread).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.state, stored.usage, engines.closed) == ("Once upon", "stopped", Usage(), 1)
    assert (await read(running, message))[-1] == Done("cancelled", model=SPEC.name)


class SlowThreads(Threads):
    """A disk that takes the end of an answer only when it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.began, self.may = threading.Event(), threading.Event()

    def finish(self, *arguments: Any, **more: Any) -> bool:
        self.began.set()
        assert self.may.wait(60)
        return super().finish(*arguments, **more)


async def test_a_stop_never_cuts_the_storing_of_an_end_off(tmp_path: Path, engines: FakeEngines) -> None:
    threads = SlowThreads(tmp_path / "slow.db")
    running = Running(engines, cast(Any, engines), threads)
    thread, message = await begun(running)
    engines.say(TextDelta("Monday"), Done("stop", Usage(9, 2)))
    assert await asyncio.to_thread(threads.began.wait, 60)
    stopping = asyncio.create_task(running.stop(message))
    await asyncio.sleep(0)
    threads.may.set()
    await stopping
    assert (await read(running, message))[-1] == Done("stop", Usage(9, 2))
    stored = threads.get(thread).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.state, stored.usage) == ("Monday", "done", Usage(9, 2))
    threads.close()


ROUND = [TextDelta("She represents herself. ")] * 1000
"""What SmolLM2-135M said of a bee, until its context was full."""


async def test_an_answer_that_goes_round_in_circles_is_ended_with_its_text_and_its_generation(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    thread, message = await begun(running, mode="chat")
    engines.say(ReasoningDelta("hm"), *ROUND)
    *said, last = await read(running, message)
    assert last == Done("repetition", model=SPEC.name)
    stored = threads.get(thread).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.reasoning) == ("She represents herself. " * 250, "hm"), "all of it as it was said"
    assert (stored.state, stored.finish_reason) == ("done", "repetition")
    assert "".join(event.text for event in said if isinstance(event, TextDelta)) == stored.content
    assert (engines.closed, running.list()) == (1, [])


async def test_an_answer_in_circles_says_what_it_cost_and_little_of_it_is_told_with_the_next_question(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    engines.cost = COST
    thread, message = await begun(running, mode="chat")
    engines.say(TextDelta("A bee. "), *ROUND)
    last = (await read(running, message))[-1]
    assert last == Done("repetition", COST.usage, COST.timings, SPEC.name)
    stored = threads.get(thread).turns[0].answer
    assert stored is not None
    assert (stored.usage, stored.timings) == (COST.usage, COST.timings)
    while not engines.steps.empty():
        engines.steps.get_nowait()
    engines.say(Done("stop"))
    second = await running.ask(Question("And a wasp?", thread=thread, mode="chat"))
    assert second.answer is not None
    await read(running, second.answer.id)
    _, told, _ = engines.asked[-1][0].messages
    assert told.content.startswith("A bee.")
    assert len(told.content) < 300 < len(stored.content)
    assert threads.get(thread).turns[0].answer == stored, "what was said stays as it was"


async def test_an_answer_in_circles_that_is_kept_nowhere_is_ended_too(running: Running, engines: FakeEngines) -> None:
    engines.say(*ROUND)
    events = [event async for event in running.unstored(Question("?", mode="chat"))]
    assert (len(events), events[-1], engines.closed) == (251, Done("repetition", model=SPEC.name), 1)


@pytest.mark.parametrize(
    "question",
    [
        Question("?", mode="chat"),
        Question("?", attachments=(Attachment("/a.md", "A text"),)),
        Question("?", mode="chat", options=Options(temperature=0.0)),
        Question("?", mode="chat", format=ResponseFormat(json_schema={})),
    ],
)
async def test_thoughts_and_blanks_go_round_as_well_whatever_is_asked_about(
    running: Running, engines: FakeEngines, question: Question
) -> None:
    for piece in (ReasoningDelta("But wait. "), TextDelta("\n    ")):
        engines.say(*[piece] * 2000)
        turn = await running.ask(question)
        assert turn.answer is not None
        assert cast(Done, (await read(running, turn.answer.id))[-1]).finish_reason == "repetition"
        while not engines.steps.empty():
            engines.steps.get_nowait()


async def test_nobody_is_judged_who_says_how_long_an_answer_may_be_nor_what_comes_from_the_files(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    own = threads.create().id
    threads.set_options(own, Options(max_tokens=4000))
    for question in (
        Question("?", mode="chat", options=Options(max_tokens=4000)),
        Question("?", mode="chat", thread=own),
        Question("?", mode="files"),
    ):
        engines.say(*ROUND, Done("length"))
        turn = await running.ask(question)
        assert turn.answer is not None
        assert (await read(running, turn.answer.id))[-1] == Done("length")
