"""Signals that stop the daemon, where the loop delivers them and where it does not."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import pytest

from localmind.daemon.signals import on_stop

ONE = ("SIGUSR1", "SIGNONSENSE")


class FakeWindowsLoop:
    """A loop that delivers no signals but can be woken up."""

    def __init__(self) -> None:
        self.woken: list[object] = []

    def add_signal_handler(self, number: int, call: object) -> None:
        raise NotImplementedError

    def call_soon_threadsafe(self, call: object) -> None:
        self.woken.append(call)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGUSR1, before)
        yield


async def test_a_signal_makes_the_call_and_unknown_ones_are_passed_over() -> None:
    came = asyncio.Event()
    loop = asyncio.get_running_loop()
    assert on_stop(loop, came.set, ONE) == ["SIGUSR1"]
    signal.raise_signal(signal.SIGUSR1)
    await asyncio.wait_for(came.wait(), 60)
    loop.remove_signal_handler(signal.SIGUSR1)


def test_where_the_loop_delivers_none_it_is_woken_up_for_the_call() -> None:
    loop = FakeWindowsLoop()

    def call() -> None: ...

    assert on_stop(loop, call, ONE) == ["SIGUSR1"]
    signal.raise_signal(signal.SIGUSR1)
    assert loop.woken == [call]
