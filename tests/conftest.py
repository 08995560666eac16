"""Shared by all tests: a home of their own, and the starter models, fetched once a machine.

The models come through localmind's own pull into LOCALMIND_TEST_CACHE (default: the user's cache), so
that a second run needs no network.
"""

import asyncio
import os
from pathlib import Path

import filelock
import hypothesis
import pytest

from localmind import catalog
from localmind.models.pull import pull_all
from localmind.models.store import Store

# Every run draws the same examples, so that a red run is somebody's change and not luck;
# HYPOTHESIS_PROFILE=search looks for new ones. No deadlines: machines that test are often busy.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

STARTER = ("smollm2:135m", "all-minilm:l6-v2", "whisper:tiny.en")


def cache_dir() -> Path:
    place = os.environ.get("LOCALMIND_TEST_CACHE")
    return Path(place) if place else Path("~/.cache/localmind-tests").expanduser()


@pytest.fixture(scope="session")
def starter_store() -> Store:
    """A store that holds the starter models. Tests read it; one that changes models works on a copy."""
    place = cache_dir() / "models"
    place.mkdir(parents=True, exist_ok=True)
    store = Store(place)
    known = {spec.name: spec for spec in catalog.bundled()}
    with filelock.FileLock(cache_dir() / "lock"):
        for name in STARTER:
            asyncio.run(pull_all(known[name], store))
    return store


@pytest.fixture(scope="session")
def chat_model_path(starter_store: Store) -> Path:
    """SmolLM2-135M-Instruct Q4_1, a GGUF."""
    return starter_store.locate("smollm2:135m")


@pytest.fixture(scope="session")
def embed_model_dir(starter_store: Store) -> Path:
    """all-MiniLM-L6-v2, safetensors and tokenizer."""
    return starter_store.locate("all-minilm:l6-v2")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the home of whoever runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LOCALMIND_HOME", str(home))
    for name in [name for name in os.environ if name.startswith("LOCALMIND_") and name != "LOCALMIND_HOME"]:
        if not name.startswith("LOCALMIND_TEST") and name != "LOCALMIND_WHEELS_DIR":
            monkeypatch.delenv(name)
    return home
