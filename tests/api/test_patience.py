"""A stream whose first event is long in coming: its client is told that we are at work, and errors still end it."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from localmind.api.choices import At, begun
from localmind.errors import ModelFileBroken
from localmind.events import Done, Failed, TextDelta


async def slow(gate: asyncio.Event, problem: Exception | None = None) -> AsyncGenerator[At, None]:
    await gate.wait()
    if problem is not None:
        raise problem
    yield At(0, TextDelta("x"))
    yield At(0, Done())


async def test_what_fails_in_time_is_raised_and_so_becomes_a_status() -> None:
    gate = asyncio.Event()
    gate.set()
    with pytest.raises(ModelFileBroken):
        await begun(slow(gate, ModelFileBroken("cut short")), 5.0)


async def test_after_the_patience_the_stream_begins_and_loses_nothing() -> None:
    gate = asyncio.Event()
    stream = await begun(slow(gate), 0.01)
    gate.set()
    assert [at.event async for at in stream] == [TextDelta("x"), Done()]


async def test_what_fails_after_the_patience_is_the_last_event() -> None:
    gate = asyncio.Event()
    stream = await begun(slow(gate, ModelFileBroken("cut short")), 0.01)
    gate.set()
    (last,) = [at.event async for at in stream]
    assert isinstance(last, Failed)
    assert last.exception().message == "cut short"


async def test_an_error_that_nobody_foresaw_ends_the_stream_in_our_words() -> None:
    gate = asyncio.Event()
    stream = await begun(slow(gate, RuntimeError("/secret/path")), 0.01)
    gate.set()
    (last,) = [at.event async for at in stream]
    assert isinstance(last, Failed)
    assert "/secret" not in str(last.error)


async def test_a_client_that_leaves_while_it_waits_stops_the_work() -> None:
    closed = asyncio.Event()

    async def waiting() -> AsyncGenerator[At, None]:
        try:
            await asyncio.Event().wait()
            yield At(0, Done())
        finally:
            closed.set()

    stream = await begun(waiting(), 0.01)
    reading = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    assert closed.is_set()
