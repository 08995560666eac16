"""One daemon for all suites: the starter models, and a folder of one file, so that little is read for an answer."""

import os
import shutil
from collections.abc import Iterator

import pytest
from conftest_e2e import SAMPLES, Home, new_home, running

from localmind.models.store import Store


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, starter_store: Store) -> Iterator[Home]:
    """Running; LOCALMIND_TEST_COMPAT_PORT names one that is there already instead."""
    place = tmp_path_factory.mktemp("compat")
    if port := os.environ.get("LOCALMIND_TEST_COMPAT_PORT"):
        made = new_home(place, starter_store)
        made.port = int(port)
        yield made
        return
    watched = place / "samples"
    watched.mkdir()
    shutil.copy(SAMPLES / "home" / "boiler.md", watched)
    with running(place, starter_store, watched) as made:
        yield made


@pytest.fixture(scope="session")
def base(daemon: Home) -> str:
    """Where it listens, without a path."""
    return f"http://127.0.0.1:{daemon.port}"
