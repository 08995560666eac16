"""Fixtures of the model tests: a fake index and an empty store."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hub_fakes import FakeHub, running_hub
from index_fakes import FakeIndex, running_index

from localmind.models.store import Store


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with running_index() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "models")
    made.prepare()
    return made


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False) as made:
        yield made


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with running_hub() as running:
        yield running
