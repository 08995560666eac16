"""Pulls of the daemon: one a model, followed by many, ended with the last of them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from localmind import catalog
from localmind.catalog import ModelSpec
from localmind.errors import Cancelled, DownloadFailed, NotFound, ShuttingDown
from localmind.events import Done, Event, Progress
from localmind.models.pulls import Pulls
from localmind.models.store import Store

SPEC = catalog.bundled()[0]


class FakePuller:
    """Yields a step each time `step` is set; notes how it ended."""

    def __init__(self, failure: DownloadFailed | None = None) -> None:
        self.starts = 0
        self.ended = ""
        self.started, self.go = asyncio.Event(), asyncio.Event()
        self.failure = failure

    async def __call__(self, spec: ModelSpec, store: Store) -> AsyncGenerator[Progress, None]:
        self.starts += 1
        self.started.set()
        try:
            yield Progress("download", 1, 2)
            await self.go.wait()
            if self.failure:
                raise self.failure
            yield Progress("ready", 2, 2)
            self.ended = "well"
        except (GeneratorExit, asyncio.CancelledError):
            self.ended = "cancelled"
            raise


class Installed:
    def __init__(self) -> None:
        self.names: list[str] = []

    async def __call__(self, spec: ModelSpec) -> None:
        self.names.append(spec.name)


async def collect(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


async def test_two_who_ask_at_once_share_one_pull(tmp_path: Path) -> None:
    puller, installed = FakePuller(), Installed()
    pulls = Pulls(Store(tmp_path), installed, puller)
    first, second = (asyncio.create_task(collect(pulls.pull(SPEC))) for _ in range(2))
    await asyncio.sleep(0)
    puller.go.set()
    for events in await asyncio.gather(first, second):
        assert events[-1] == Done()
        assert Progress("ready", 2, 2) in events
    assert puller.starts == 1
    assert installed.names == [SPEC.name]


async def test_a_pull_goes_on_when_one_of_two_hangs_up_and_stops_with_the_last(tmp_path: Path) -> None:
    puller, installed = FakePuller(), Installed()
    pulls = Pulls(Store(tmp_path), installed, puller)
    async with contextlib.aclosing(pulls.pull(SPEC)) as stays:
        assert await anext(stays) == Progress("download", 1, 2)
        async with contextlib.aclosing(pulls.pull(SPEC)) as leaves:
            assert await anext(leaves) == Progress("download", 1, 2)
        assert puller.ended == ""
    assert puller.ended == "cancelled"
    assert installed.names == []


async def test_a_failure_reaches_everyone_who_waits_and_the_next_pull_starts_anew(tmp_path: Path) -> None:
    puller = FakePuller(DownloadFailed("the line went dead"))
    puller.go.set()
    pulls = Pulls(Store(tmp_path), Installed(), puller)
    for _ in range(2):
        with pytest.raises(DownloadFailed, match="the line went dead"):
            await collect(pulls.pull(SPEC))
    assert puller.starts == 2


async def test_stopping_ends_those_who_wait_and_refuses_new_ones(tmp_path: Path) -> None:
    puller = FakePuller()
    pulls = Pulls(Store(tmp_path), Installed(), puller)
    waiting = asyncio.create_task(collect(pulls.pull(SPEC)))
    await puller.started.wait()
    await pulls.stop()
    with pytest.raises(ShuttingDown, match="was stopped"):
        await waiting
    with pytest.raises(ShuttingDown, match="is stopping"):
        await collect(pulls.pull(SPEC))


async def test_a_paused_pull_moves_nothing_until_it_is_resumed_and_its_followers_stay(tmp_path: Path) -> None:
    puller, installed = FakePuller(), Installed()
    pulls = Pulls(Store(tmp_path), installed, puller)
    async with contextlib.aclosing(pulls.pull(SPEC)) as events:
        assert await anext(events) == Progress("download", 1, 2)
        assert pulls.running() == {SPEC.name: Progress("download", 1, 2)}
        assert pulls.pause(SPEC.name.upper()) == SPEC.name
        assert await anext(events) == Progress("paused", 1, 2)
        assert puller.ended == "cancelled"
        assert pulls.resume(SPEC.name) == SPEC.name
        assert await anext(events) == Progress("download", 1, 2)
        puller.go.set()
        assert [event async for event in events] == [Progress("ready", 2, 2), Done()]
    assert (puller.starts, puller.ended) == (2, "well")
    assert installed.names == [SPEC.name]


async def test_what_is_not_being_pulled_can_be_neither_paused_nor_resumed_nor_cancelled(tmp_path: Path) -> None:
    pulls = Pulls(Store(tmp_path), Installed(), FakePuller())
    with pytest.raises(NotFound, match="is not being pulled"):
        pulls.pause(SPEC.name)
    with pytest.raises(NotFound, match="is not being pulled"):
        pulls.resume(SPEC.name)
    with pytest.raises(NotFound, match="is not being pulled"):
        await pulls.cancel(SPEC.name)


async def test_a_cancelled_pull_tells_all_its_followers_and_leaves_the_model_free(tmp_path: Path) -> None:
    puller = FakePuller()
    pulls = Pulls(Store(tmp_path), Installed(), puller)
    place = msgspec.structs.replace(SPEC, name="hf.co/some/repo:q4_k_m")
    waiting = [asyncio.create_task(collect(pulls.pull(place))) for _ in range(2)]
    await puller.started.wait()
    assert await pulls.cancel("hf.co/Some/Repo") == place.name
    for task in waiting:
        with pytest.raises(Cancelled, match="was stopped"):
            await task
    assert pulls.running() == {}


async def test_a_paused_pull_that_nobody_follows_any_more_ends(tmp_path: Path) -> None:
    puller = FakePuller()
    pulls = Pulls(Store(tmp_path), Installed(), puller)
    async with contextlib.aclosing(pulls.pull(SPEC)) as events:
        await anext(events)
        pulls.pause(SPEC.name)
        await anext(events)
    with pytest.raises(NotFound):
        pulls.resume(SPEC.name)
