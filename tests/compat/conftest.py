"""One daemon for all suites: the starter models, the samples watched, nothing else."""

import os
from collections.abc import Iterator

import pytest
from conftest_e2e import SAMPLES, Home, end, new_home

from localmind.models.store import Store


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, starter_store: Store) -> Iterator[Home]:
    """Running; LOCALMIND_TEST_COMPAT_PORT names one that is there already instead."""
    made = new_home(tmp_path_factory.mktemp("compat"), starter_store)
    if port := os.environ.get("LOCALMIND_TEST_COMPAT_PORT"):
        made.port = int(port)
        yield made
        return
    try:
        made.start()
        added = made.cli("folders", "add", str(SAMPLES))
        assert added.returncode == 0, added.stderr
        yield made
    finally:
        end(made)


@pytest.fixture(scope="session")
def base(daemon: Home) -> str:
    """Where it listens, without a path."""
    return f"http://127.0.0.1:{daemon.port}"
