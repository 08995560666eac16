"""Models come to a real daemon: from a loopback hub with progress, pause and cancel, and from other programs."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest_e2e import PATIENCE_S, Home, end, wait_until
from gguf_files import whole_file
from hub_fakes import FakeHub, running_hub
from index_fakes import Stall, noise
from ports import reserved_port

REPO = "Some-Org/Tiny-GGUF"
NAME = "hf.co/some-org/tiny-gguf:q4_k_m"
DATA = whole_file() + noise(3_000_000, 5)


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    with running_hub() as running:
        running.add(REPO, {"Tiny-Q4_K_M.gguf": DATA, "Tiny-Q8_0.gguf": whole_file() + noise(900_000, 6)})
        yield running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("pulls"), reserved_port())
    try:
        made.start()
        yield made
    finally:
        end(made)


@pytest.fixture(autouse=True)
def fresh(daemon: Home, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell of these tests knows the hub and has a home of its own; the daemon started without either."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    hub.files.faults.clear()
    with daemon.client() as client:
        for model in client.get("/models")["models"]:
            if model["installed"]:
                client.delete("/models", name=model["name"])
        client.post("/models/prune")


def models(home: Home) -> dict[str, dict[str, Any]]:
    return {m["name"]: m for m in json.loads(home.cli("models", "list", "--json").stdout)["models"]}


def started(home: Home, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", "localmind", *arguments]
    return subprocess.Popen(command, env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pulls(home: Home) -> dict[str, dict[str, Any]]:
    with home.client() as client:
        return {one["model"]: one["progress"] or {} for one in client.get("/models/pulls")["pulls"]}


def came(home: Home) -> int:
    """Bytes of downloads that lie on the disk."""
    return sum(path.stat().st_size for path in (home.paths.models / "partial").glob("*.part"))


def test_a_repository_of_the_hub_is_pulled_shown_verified_repaired_and_removed(daemon: Home, hub: FakeHub) -> None:
    pulled = daemon.cli("models", "pull", f"hf.co/{REPO}")
    assert (pulled.returncode, pulled.stdout) == (0, "")
    assert pulled.stderr.endswith(f"{NAME} is here\n")
    shown = daemon.cli("models", "show", NAME).stdout
    assert "hub Some-Org/Tiny-GGUF" in shown
    assert "Q4_K_M" in shown
    blob = daemon.paths.models / "blobs" / hashlib.sha256(DATA).hexdigest()
    blob.chmod(0o600)
    blob.write_bytes(bytes(len(DATA)))
    told = daemon.cli("models", "verify", "--no-repair", NAME)
    assert (told.returncode, "is damaged" in told.stderr) == (1, True)
    mended = daemon.cli("models", "verify", NAME)
    assert (mended.returncode, "is whole again" in mended.stderr) == (0, True)
    assert blob.read_bytes() == DATA
    assert daemon.cli("models", "rm", f"hf.co/{REPO}").returncode == 0
    assert NAME not in models(daemon)


def test_a_pull_is_paused_resumed_and_cancelled_from_another_terminal(daemon: Home, hub: FakeHub) -> None:
    hub.files.faults.append(Stall(2_000_000))
    pulling = started(daemon, "models", "pull", f"hf.co/{REPO}")
    wait_until(lambda: came(daemon) > 200_000, "a part of a download")
    assert daemon.cli("models", "pause", f"hf.co/{REPO}").returncode == 0
    wait_until(lambda: pulls(daemon)[NAME]["stage"] == "paused", "the pause")
    assert "paused" in daemon.cli("models", "pulls").stdout
    hub.files.faults.append(Stall(500_000))
    assert daemon.cli("models", "resume", NAME).returncode == 0
    wait_until(lambda: hub.files.downloads[-1].range, "a download that goes on")
    ended = daemon.cli("models", "cancel", NAME)
    assert (ended.returncode, "is stopped" in ended.stderr) == (0, True)
    _, said = pulling.communicate(timeout=PATIENCE_S)
    assert pulling.returncode == 130
    assert "hint: localmind models pull" in said
    freed = daemon.cli("models", "prune").stderr
    assert "MB freed" in freed
    assert list((daemon.paths.models / "partial").iterdir()) == []


def test_ctrl_c_stops_a_pull_and_the_same_command_goes_on(daemon: Home, hub: FakeHub) -> None:
    hub.files.faults.append(Stall(2_000_000))
    pulling = started(daemon, "models", "pull", f"hf.co/{REPO}")
    wait_until(lambda: came(daemon) > 200_000, "a part of a download")
    pulling.send_signal(signal.SIGINT)
    pulling.communicate(timeout=PATIENCE_S)
    assert pulling.returncode == 130
    wait_until(lambda: not pulls(daemon), "the end of the pull")
    assert daemon.cli("models", "pull", f"hf.co/{REPO}").returncode == 0
    assert hub.files.downloads[-1].range is not None


def test_other_programs_models_are_listed_and_taken_in(daemon: Home, tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    (folder / "One-Q8_0.gguf").write_bytes(DATA)
    (folder / "Bad.gguf").write_bytes(b"nothing" * 99)
    listed = json.loads(daemon.cli("models", "import", "--list", "--json", str(folder)).stdout)["models"]
    assert {m["name"]: m["installed"] for m in listed} == {"one-q8_0": False, "bad": False}
    done = daemon.cli("models", "import", str(folder))
    assert done.returncode == 0
    assert "one-q8_0 is here, from files" in done.stdout
    assert "bad was not taken in: Bad.gguf is not a GGUF file" in done.stdout
    ours = daemon.paths.models / "blobs" / hashlib.sha256(DATA).hexdigest()
    assert os.stat(ours).st_ino == (folder / "One-Q8_0.gguf").stat().st_ino
    assert models(daemon)["one-q8_0"]["installed"]


def test_offline_is_said_before_anybody_is_asked(daemon: Home, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = len(hub.seen)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = daemon.cli("models", "pull", f"hf.co/{REPO}")
    assert done.returncode == 1
    assert "hint: unset HF_HUB_OFFLINE" in done.stderr
    assert len(hub.seen) == asked


def test_the_daemon_starts_without_the_hubs_library() -> None:
    code = "import sys, localmind.daemon.run; print('huggingface_hub' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
