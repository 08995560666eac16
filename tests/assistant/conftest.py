"""Threads in a database of the test's own, and whoever answers in them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from running_fakes import FakeEngines

from localmind.assistant.running import Running
from localmind.store.threads import Threads


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[Threads]:
    store = Threads(tmp_path / "threads.db")
    yield store
    store.close()


@pytest.fixture
def engines() -> FakeEngines:
    return FakeEngines()


@pytest.fixture
async def running(threads: Threads, engines: FakeEngines) -> AsyncIterator[Running]:
    room = Running(engines, cast(Any, engines), threads)
    yield room
    await room.close()
