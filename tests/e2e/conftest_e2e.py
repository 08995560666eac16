"""Real daemons on real models, each in a home of its own, driven as a user drives them. Fixtures and what they need."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from ports import reserved_port

from localmind.client import Client
from localmind.models.store import Store
from localmind.paths import Paths

PATIENCE_S = 240.0
"""A fence against hangs, not a promise of speed: an answer took 60 s on a host that gave us a tenth of its cores."""

SAMPLES = Path(__file__).parents[2] / "samples"

THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
"""Side by side, an engine has one core: two threads that wait for each other are slow where another takes one."""


def wait_until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE_S) -> Any:
    """The first true value of `condition`, asked every 20 ms."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        pause(0.02)
    raise AssertionError(f"waited {timeout} s in vain for {what}")


def gone(pid: int) -> bool:
    """Whether a process has ended. Where the first process of a container reaps nobody, its entry stays as a zombie."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def pause(seconds: float) -> None:
    """Let others work for a moment; only for the inside of a wait on a condition."""
    threading.Event().wait(seconds)


@dataclass(slots=True)
class Home:
    """A LOCALMIND_HOME with its port and, while it runs, its daemon."""

    directory: Path
    port: int
    daemon: "subprocess.Popen[bytes] | None" = None

    @property
    def paths(self) -> Paths:
        return Paths.find({"LOCALMIND_HOME": str(self.directory)})

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "LOCALMIND_HOME": str(self.directory),
            "LOCALMIND_PORT": str(self.port),
            "LOCALMIND_THREADS": THREADS,
            "NO_COLOR": "1",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, command: Sequence[str] | None = None) -> None:
        command = command or [sys.executable, "-P", "-m", "localmind", "serve", "--background"]
        with open(self.directory / "daemon.out", "ab") as log:
            self.daemon = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, cwd=self.directory)
        with self.client() as client:
            wait_until(lambda: client.healthy() or self._ended(), "a healthy daemon")

    def _ended(self) -> bool:
        assert self.daemon is not None
        if self.daemon.poll() is not None:
            raise AssertionError((self.directory / "daemon.out").read_text())
        return False

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, return the exit code."""
        assert self.daemon is not None
        self.daemon.send_signal(how)
        return self.daemon.wait(PATIENCE_S)

    def client(self) -> Client:
        return Client(self.paths)

    def status(self) -> dict[str, Any]:
        with self.client() as client:
            state: dict[str, Any] = client.get("/status")
        return state

    def workers(self) -> list[int]:
        """Pids of all worker processes of this daemon."""
        assert self.daemon is not None
        return [child.pid for child in psutil.Process(self.daemon.pid).children(recursive=True)]

    def cli(self, *arguments: str, input: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a localmind command as a script would: no terminal, output captured."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "localmind", *arguments],
            env=self.environment,
            cwd=self.directory,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )


def new_home(directory: Path, store: Store | None) -> Home:
    """A home with the starter models in it (hard links: no bytes are copied), or with none."""
    home = Home(directory, reserved_port())
    if store is not None:
        shutil.copytree(store.root, home.paths.models, symlinks=True, copy_function=os.link)
    return home


def end(home: Home) -> None:
    """No daemon of this home is left, whoever started it: a test that broke off leaves none for those after it."""
    if home.daemon is not None and home.daemon.poll() is None:
        home.stop(signal.SIGKILL)
    with contextlib.suppress(FileNotFoundError):
        pid = json.loads((home.paths.data / "runtime.json").read_bytes())["pid"]
        if not gone(pid):
            home.cli("stop")


@contextlib.contextmanager
def running(directory: Path, store: Store | None, *folders: Path) -> Iterator[Home]:
    """A home with a store's models and a daemon that runs, with some folders indexed; it is ended whatever happens."""
    made = new_home(directory, store)
    try:
        made.start()
        for folder in folders:
            added = made.cli("folders", "add", str(folder))
            assert added.returncode == 0, added.stderr
        yield made
    finally:
        end(made)


@pytest.fixture
def home(tmp_path: Path, starter_store: Store) -> Iterator[Home]:
    """A home with models and no daemon yet; whatever daemon a test starts in it is ended."""
    made = new_home(tmp_path, starter_store)
    yield made
    end(made)


@pytest.fixture
def bare_home(tmp_path: Path) -> Iterator[Home]:
    """A home without models."""
    made = new_home(tmp_path, None)
    yield made
    end(made)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, starter_store: Store) -> Iterator[Home]:
    """A running daemon with the starter models and the samples indexed, shared by the tests of a module."""
    with running(tmp_path_factory.mktemp("served"), starter_store, SAMPLES) as made:
        yield made


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory, starter_store: Store) -> Iterator[Home]:
    """A daemon as everybody has it, with the models, for all tests of those who must get nothing from it."""
    with running(tmp_path_factory.mktemp("strangers"), starter_store) as made:
        yield made
