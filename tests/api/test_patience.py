"""A stream whose first event is long in coming: its client is told that we are at work, and errors still end it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from localmind.api.choices import At, begun
from localmind.errors import Cancelled, ModelFileBroken
from localmind.events import Done, Failed, TextDelta


async def stays() -> dict[str, Any]:
    """What a server says of a client that does not hang up: nothing."""
    await asyncio.Event().wait()
    return {}


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
        await begun(stays, slow(gate, ModelFileBroken("cut short")), 5.0)


async def test_after_the_patience_the_stream_begins_and_loses_nothing() -> None:
    gate = asyncio.Event()
    stream = await begun(stays, slow(gate), 0.01)
    gate.set()
    assert [at.event async for at in stream] == [TextDelta("x"), Done()]


async def test_what_fails_after_the_patience_is_the_last_event() -> None:
    gate = asyncio.Event()
    stream = await begun(stays, slow(gate, ModelFileBroken("cut short")), 0.01)
    gate.set()
    (last,) = [at.event async for at in stream]
    assert isinstance(last, Failed)
    assert last.exception().message == "cut short"


async def test_an_error_that_nobody_foresaw_ends_the_stream_in_our_words() -> None:
    gate = asyncio.Event()
    stream = await begun(stays, slow(gate, RuntimeError("/secret/path")), 0.01)
    gate.set()
    (last,) = [at.event async for at in stream]
    assert isinstance(last, Failed)
    assert "/secret" not in str(last.error)


class Waiting:
    """An answer that never comes."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def __call__(self) -> AsyncGenerator[At, None]:
        try:
            await asyncio.Event().wait()
            yield At(0, Done())
        finally:
            self.closed.set()


async def test_a_client_that_leaves_while_it_waits_stops_the_work() -> None:
    waiting = Waiting()
    stream = await begun(stays, waiting(), 0.01)
    reading = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    assert waiting.closed.is_set()


@pytest.mark.parametrize("patience", [None, 60.0])
async def test_a_client_that_hangs_up_before_the_first_event_stops_the_work(patience: float | None) -> None:
    async def leaves() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    waiting = Waiting()
    with pytest.raises(Cancelled):
        await begun(leaves, waiting(), patience)
    assert waiting.closed.is_set()


async def test_a_request_that_is_given_up_while_it_waits_stops_the_work() -> None:
    waiting = Waiting()
    request = asyncio.create_task(begun(stays, waiting(), None))
    await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert waiting.closed.is_set()
