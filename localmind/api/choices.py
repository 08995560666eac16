"""Several answers to one request: n generations side by side, told apart by their index.

They are n ordinary requests, so the engine shares their prompt by itself. One fails, all are closed:
a client that asked for three answers has no use for two and an error. A single answer, which is
nearly every request, costs no task and no queue.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from localmind.api.security import Receive
from localmind.api.streams import unforeseen, wait_gone
from localmind.errors import Cancelled, InternalError, LocalmindError
from localmind.events import Done, Event, Failed
from localmind.messages import Timings, Usage


@dataclass(slots=True, frozen=True)
class At:
    """An event of the choice with that index."""

    choice: int
    event: Event


async def side_by_side(streams: Sequence[AsyncGenerator[Event, None]]) -> AsyncGenerator[At, None]:
    """The events of all streams as they come. Raises the first stream's error that there is."""
    if len(streams) == 1:
        async with contextlib.aclosing(streams[0]) as only:
            async for event in only:
                yield At(0, event)
        return
    inbox: asyncio.Queue[At | LocalmindError | None] = asyncio.Queue()

    async def pump(index: int) -> None:
        try:
            async with contextlib.aclosing(streams[index]) as events:
                async for event in events:
                    inbox.put_nowait(At(index, event))
        except LocalmindError as problem:
            inbox.put_nowait(problem)
        finally:
            inbox.put_nowait(None)

    tasks = [asyncio.create_task(pump(index)) for index in range(len(streams))]
    try:
        for _ in tasks:
            while (item := await inbox.get()) is not None:
                if isinstance(item, LocalmindError):
                    raise item
                yield item
        for task in tasks:
            task.result()  # what was not foreseen is raised here
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def begun(
    receive: Receive, events: AsyncGenerator[At, None], patience_s: float | None = None
) -> AsyncGenerator[At, None]:
    """The same once the first event is there, so that whatever fails before it can still be a status.

    After `patience_s` it is returned without: a client of a stream is then told that we are at work, and whatever
    fails later is the stream's last event. Raises Cancelled as soon as the client hangs up.
    """
    first = asyncio.ensure_future(anext(events))
    gone = asyncio.create_task(wait_gone(receive))
    try:
        await asyncio.wait({first, gone}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not first.done():
            raise Cancelled("the client went away")
    except (asyncio.CancelledError, Cancelled):
        first.cancel()
        await asyncio.wait({first})
        raise
    finally:
        gone.cancel()
    if first.done() and (problem := first.exception()) is not None:
        if isinstance(problem, StopAsyncIteration):
            raise InternalError("the answer had no events")
        raise problem

    async def rest() -> AsyncGenerator[At, None]:
        try:
            async with contextlib.aclosing(events):
                try:
                    yield await first
                    async for event in events:
                        yield event
                except LocalmindError as problem:
                    yield At(0, Failed.of(problem))
                except Exception as problem:
                    yield At(0, unforeseen(problem))
        finally:
            first.cancel()

    return rest()


def together(ends: Sequence[Done]) -> tuple[Usage, Timings]:
    """What all choices cost: answers add up, the prompt counts once, and times that passed side by side do not add."""
    usages, timings = [done.usage for done in ends], [done.timings for done in ends]
    usage = Usage(
        prompt_tokens=max(each.prompt_tokens for each in usages),
        completion_tokens=sum(each.completion_tokens for each in usages),
        cached_tokens=min(each.cached_tokens for each in usages),
    )
    return usage, Timings(
        queue_ms=max(each.queue_ms for each in timings),
        prefill_ms=max(each.prefill_ms for each in timings),
        decode_ms=max(each.decode_ms for each in timings),
        parked_ms=max(each.parked_ms for each in timings),
        drafted_tokens=sum(each.drafted_tokens for each in timings),
        accepted_tokens=sum(each.accepted_tokens for each in timings),
    )
