"""Shared by all tests: a home of their own, and the starter models, fetched once a machine.

The models come through localmind's own pull into LOCALMIND_TEST_CACHE (default: the user's cache), so
that a second run needs no network. Tests marked with what they need of the machine are left out where it is not
there, and the head of the output says so.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import filelock
import hypothesis
import our_modules
import pytest
from programs import here

from localmind import catalog
from localmind.models.pull import pull_all
from localmind.models.store import Store

# Every run draws the same examples, so that a red run is somebody's change and not luck (see our_modules.py too);
# HYPOTHESIS_PROFILE=search looks for new ones. No deadlines, and slow is no fault: machines that test are often busy.
PATIENT: Any = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("same", derandomize=True, **PATIENT)
hypothesis.settings.register_profile("search", **PATIENT)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

ASKED_BY_PROGRAMS = (
    *("_PROXY", "NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES", "EDITOR", "VISUAL", "PAGER", "BROWSER"),
    *("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HOME", "OLLAMA_HOST", "OLLAMA_MODELS"),
    *("API_KEY", "API_BASE", "BASE_URL", "SSH_TTY", "TMUX", "DISPLAY"),
)
"""Ends of the names of variables that change what a program does: whoever runs the tests may have any of them."""

STARTER = ("smollm2:135m", "all-minilm:l6-v2", "whisper:tiny.en")


KNOWN = ("root", "network namespaces", "chromium", "nvim", "emacs", "llm", "aider")
FOUND = pytest.StashKey[frozenset[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*what): programs or rights of the machine (tests/e2e/programs.py)")
    told: list[str] | None = getattr(config, "workerinput", {}).get("found")
    # A shell's background job, as CI may be, has Ctrl-C ignored and hands that down to all that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["TZ"] = "UTC"  # days and hours are shown as they are where the user is
    time.tzset()
    config.stash[FOUND] = frozenset(told if told is not None else (what for what in KNOWN if here(what)))


def pytest_unconfigure() -> None:
    """llama_cpp opens /dev/null twice when it is imported and never closes it, which Python complains of at its end."""
    if (theirs := sys.modules.get("llama_cpp._utils")) is not None:
        theirs.outnull_file.close()
        theirs.errnull_file.close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Workers of one run are told what is here: two that each looked could see the machine differently."""
    node.workerinput["found"] = sorted(node.config.stash[FOUND])


def pytest_report_header(config: pytest.Config) -> str:
    found = [what for what in KNOWN if what in config.stash[FOUND]]
    missing = [what for what in KNOWN if what not in config.stash[FOUND]]
    absent = f"; not here, so its tests are left out: {', '.join(missing)}" if missing else ""
    return f"end to end with: {', '.join(found) or 'nothing but localmind'}{absent}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = {item: {what for mark in item.iter_markers("needs") for what in mark.args} for item in items}
    unknown = set().union(*wanted.values()) - set(KNOWN)
    assert not unknown, f"nobody has described how to find {unknown}"
    out = [item for item in items if not wanted[item] <= config.stash[FOUND]]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(item.get_closest_marker("hypothesis") for item in session.items):
        our_modules.load_all()


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
    for name in os.environ:
        ours = name.startswith("LOCALMIND_") and not name.startswith(("LOCALMIND_TEST", "LOCALMIND_WHEELS_DIR"))
        if name != "LOCALMIND_HOME" and (ours or name.upper().endswith(ASKED_BY_PROGRAMS)):
            monkeypatch.delenv(name)
    return home
