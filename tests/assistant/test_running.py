"""Answers that go on whoever watches: followed from any position, stopped with their text, never two in a thread."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from running_fakes import PASSAGE, SPEC, FakeEngines, begun, read

from localmind.assistant.running import Question, Running
from localmind.errors import InvalidRequest, NotFound, ShuttingDown, WorkerDied
from localmind.events import Done, Event, Failed, ReasoningDelta, Sources, TextDelta
from localmind.knowledge.scope import ANY_FILE, Filters
from localmind.messages import Message, Usage
from localmind.store.threads import Threads
from localmind.store.transcript import Attachment, Options


async def test_an_answer_is_written_and_stored_while_nobody_watches(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    thread, message = await begun(running, "When?", folder=Path("/home/ines"))
    engines.say(
        Sources((PASSAGE,)), ReasoningDelta("hm"), TextDelta("On "), TextDelta("Monday"), Done("stop", Usage(9, 2))
    )
    events = await read(running, message)
    assert events[-1] == Done("stop", Usage(9, 2))
    stored = threads.get(thread).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.reasoning, stored.state) == ("On Monday", "hm", "done")
    assert (stored.sources, stored.usage) == ((PASSAGE,), Usage(9, 2))
    assert engines.asked[0][1] == Path("/home/ines")
    assert running.list() == []


async def test_the_filters_of_a_question_are_kept_for_its_other_answers(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    wanted = Filters(glob="notes/*.md", kind="markdown", after=1_800_000_000.0)
    engines.say(TextDelta("a"), Done("stop"), TextDelta("b"), Done("stop"), Done("stop"))
    thread, message = await begun(running, filters=wanted)
    await read(running, message)
    again = await running.again(threads.get(thread).turns[0].question.id)
    assert again.answer is not None
    await read(running, again.answer.id)
    _, plain = await begun(running)
    await read(running, plain)
    assert engines.filters == [wanted, wanted, ANY_FILE]


async def test_those_who_come_late_get_all_of_it_in_few_pieces(running: Running, engines: FakeEngines) -> None:
    _, message = await begun(running)
    first = running.follow(message)
    engines.say(TextDelta("a"), TextDelta("b"))
    seen = [await anext(first)]
    while "".join(cast(TextDelta, event).text for _, event in seen) != "ab":
        seen.append(await anext(first))
    position = seen[-1][0]
    await first.aclose()  # the terminal is closed
    engines.say(TextDelta("c"), TextDelta("d"), Done())
    assert await read(running, message, position) in (
        [TextDelta("cd"), Done()],
        [TextDelta("c"), TextDelta("d"), Done()],
    )
    assert await read(running, message) == [TextDelta("abcd"), Done()]
    assert await read(running, message, 10**9) == []


async def test_stopping_keeps_the_text_and_closes_the_generation(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    thread, message = await begun(running)
    engines.say(TextDelta("Once upon"))
    assert [event async for _, event in _until_text(running, message)]
    assert await running.stop(message)
    assert not await running.stop(message)
    assert (await read(running, message))[-1] == Done("cancelled", model=SPEC.name)
    stored = threads.get(thread).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.state, engines.closed) == ("Once upon", "stopped", 1)


async def _until_text(running: Running, message: int) -> AsyncIterator[tuple[int, Event]]:
    async for position, event in running.follow(message):
        yield position, event
        return


async def test_a_failure_is_the_last_event_and_is_stored_with_its_text(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    thread, message = await begun(running)
    engines.say(TextDelta("half"), WorkerDied("killed by SIGSEGV"))
    last = (await read(running, message))[-1]
    assert isinstance(last, Failed)
    assert isinstance(last.exception(), WorkerDied)
    stored = threads.get(thread).turns[0].answer
    assert stored is not None
    assert (stored.content, stored.state, type(stored.error)) == ("half", "failed", WorkerDied)


async def test_a_bug_ends_the_answer_and_not_the_daemon(running: Running, engines: FakeEngines) -> None:
    _, message = await begun(running)
    engines.say(RuntimeError("secret inside"))
    last = (await read(running, message))[-1]
    assert isinstance(last, Failed)
    assert "secret" not in str(last.exception())


async def test_writing_again_is_a_second_answer_to_the_same_question(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    thread, first = await begun(running, "one")
    engines.say(TextDelta("bad"), Done())
    await read(running, first)
    turn = await running.again(first)
    assert turn.answer is not None
    engines.say(TextDelta("good"), Done())
    await read(running, turn.answer.id)
    path = threads.get(thread).turns
    assert (path[0].answers, path[0].answer and path[0].answer.content) == ((first, turn.answer.id), "good")


async def test_a_thread_has_one_answer_at_a_time_and_different_threads_any_number(
    running: Running, engines: FakeEngines
) -> None:
    thread, _ = await begun(running)
    with pytest.raises(InvalidRequest):
        await running.ask(Question("and?", thread=thread))
    other, _ = await begun(running)
    assert [run.thread_id for run in running.list()] == [thread, other]
    await running.stop_thread(thread)
    assert [run.thread_id for run in running.list()] == [other]


async def test_of_questions_that_come_at_the_same_moment_one_is_taken_and_the_others_are_kept_nowhere(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    thread, message = await begun(running)
    await running.stop(message)
    asked = [running.ask(Question(f"{number}?", thread=thread)) for number in range(3)] + [running.again(message)]
    came = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(each).__name__ for each in came) == ["InvalidRequest"] * 3 + ["Turn"]
    assert len(running.list()) == 1
    assert len(threads.get(thread).turns) == 2


async def test_a_chat_has_what_was_said_before_with_the_threads_own_instructions(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    thread, message = await begun(running, "one", mode="chat")
    engines.say(TextDelta("1"), Done())
    await read(running, message)
    threads.set_options(thread, Options(system="Be brief.", temperature=0.1, max_tokens=7))
    await running.ask(Question("two", thread=thread, mode="chat"))
    engines.say(Done())
    await read(running, running.list()[0].message_id)
    asked = engines.asked[-1][0]
    said = [("system", "Be brief."), ("user", "one"), ("assistant", "1"), ("user", "two")]
    assert [(message.role, message.content) for message in asked.messages] == said
    assert (asked.sampling.temperature, asked.sampling.max_tokens) == (0.1, 7)


async def test_attached_files_stand_before_the_question_and_are_all_it_is_about(
    running: Running, engines: FakeEngines
) -> None:
    _, message = await begun(running, "What is it?", attachments=(Attachment("/a.md", "A text"),))
    engines.say(Done())
    await read(running, message)
    assert engines.asked[0][0].messages == (Message("user", "File /a.md:\n\nA text\n\nWhat is it?"),)
    assert engines.alone == 1


async def test_a_question_after_one_with_a_file_stays_with_the_file_until_the_folders_are_asked_for(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    thread, message = await begun(running, "What is it?", attachments=(Attachment("/a.md", "A text"),))
    engines.say(TextDelta("A text."), Done())
    await read(running, message)
    alone = []
    for more in ({}, {}, {"mode": "files"}, {}):
        _, message = await begun(running, "And then?", thread=thread, **more)
        engines.say(TextDelta("x"), Done())
        await read(running, message)
        alone.append(engines.alone)
    assert alone == [2, 3, 3, 3]
    assert engines.asked[1][0].messages[0].content == "File /a.md:\n\nA text\n\nWhat is it?"
    again = await running.again(threads.get(thread).turns[1].question.id)
    assert again.answer is not None
    engines.say(Done())
    await read(running, again.answer.id)
    assert engines.alone == 4


async def test_deleting_the_thread_of_a_running_answer_ends_it_with_the_reason(
    running: Running, engines: FakeEngines, threads: Threads
) -> None:
    thread, message = await begun(running)
    threads.delete(thread)
    engines.say(TextDelta("x"), Done())
    assert isinstance((await read(running, message))[-1], Done | Failed)


async def test_an_unknown_answer_is_not_found_and_nothing_begins_while_stopping(
    running: Running, engines: FakeEngines
) -> None:
    with pytest.raises(NotFound):
        await read(running, 99)
    thread, message = await begun(running)
    await running.close()
    assert (await read(running, message))[-1] == Done("cancelled", model=SPEC.name)
    for question in (Question("?", thread=thread), Question("?")):
        with pytest.raises(ShuttingDown):
            await running.ask(question)
