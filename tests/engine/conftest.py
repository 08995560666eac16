"""Loops that end."""

from collections.abc import Iterator

import pytest
from engine_fakes import WAIT

from localmind.engine.loop import Loop


@pytest.fixture
def loops() -> Iterator[list[Loop]]:
    """Put every loop that a test starts in here: all are stopped after it."""
    started: list[Loop] = []
    yield started
    for loop in started:
        assert loop.stop(WAIT)
