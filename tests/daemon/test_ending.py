"""Whatever becomes of one part at the end, those after it end too."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable

import pytest

from localmind.daemon.ending import one_after_the_other
from localmind.errors import WorkerDied

FORESEEN = (WorkerDied("it died"), FileNotFoundError("the home is gone"), sqlite3.OperationalError("disk I/O error"))
UNFORESEEN = (RuntimeError("no loop"), KeyError("x"), AssertionError(), ExceptionGroup("two", [ValueError("a")]))


def part(name: str, ended: list[str], problem: BaseException | None = None) -> Callable[[], Awaitable[None]]:
    async def end() -> None:
        ended.append(name)
        if problem is not None:
            raise problem

    return end


@pytest.mark.parametrize("problem", [*FORESEEN, *UNFORESEEN], ids=lambda each: type(each).__name__)
async def test_an_error_of_any_kind_is_told_and_the_rest_ends_in_its_order(
    problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[str] = []
    with caplog.at_level(logging.WARNING):
        await one_after_the_other([part("a", ended), part("b", ended, problem), part("c", ended)])
    assert ended == ["a", "b", "c"]
    [record] = caplog.records
    assert "at the end" in record.message
    assert (record.exc_info is not None) == (problem in UNFORESEEN)


async def test_every_part_may_fail() -> None:
    ended: list[str] = []
    await one_after_the_other([part(str(number), ended, ValueError(number)) for number in range(4)])
    assert ended == ["0", "1", "2", "3"]


async def test_who_is_cancelled_meanwhile_stops_there() -> None:
    ended: list[str] = []
    with pytest.raises(asyncio.CancelledError):
        await one_after_the_other([part("a", ended, asyncio.CancelledError()), part("b", ended)])
    assert ended == ["a"]
