"""Workers and daemons that really die: what the user sees, and what is left."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from conftest_e2e import PATIENCE_S, SAMPLES, Home, gone, wait_until
from random_models import install
from stopwatch import Stopwatch

CRASHING = Path(__file__).with_name("daemon_that_crashes.py")
LONG = {
    "model": "default",
    "messages": [{"role": "user", "content": "Tell a long story."}],
    "max_tokens": 2000,
    "temperature": 0,
    "stream": True,
    "ignore_eos": True,
}
MODEL = "tiny:llama"
SHORT = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}


@pytest.fixture
def babbler(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose model is of random weights, for what is the same whatever it says: it loads in a moment."""
    settings = f'chat_model = "{MODEL}"\ncontext = 512\n'
    install(home, tmp_path_factory.mktemp("files"), {MODEL: "llama"}, settings)
    return home


def chat(home: Home, body: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(f"{home.url}/chat/completions", json=body, timeout=PATIENCE_S)


def data_lines(reply: httpx2.Response) -> Iterator[str]:
    for line in reply.iter_lines():
        if line.startswith("data: "):
            yield line[6:]


def engine_pid(home: Home) -> int:
    return int(next(model["pid"] for model in home.status()["models"] if model["pid"]))


def test_a_crash_on_the_first_load_is_healed_remembered_and_explained(babbler: Home) -> None:
    babbler.start([sys.executable, "-P", str(CRASHING), str(babbler.port)])
    assert chat(babbler, SHORT).status_code == 200
    loaded = babbler.status()["models"][0]
    assert loaded["plan"]["use_extra_bufts"] is False
    log = babbler.paths.log_file.read_text()
    babbler.stop()

    babbler.start([sys.executable, "-P", str(CRASHING), str(babbler.port)])
    assert chat(babbler, SHORT).status_code == 200
    fresh = babbler.paths.log_file.read_text().removeprefix(log)
    assert "SIGSEGV" not in fresh, "the second load knows better"
    told = babbler.cli("doctor").stdout
    assert f"a load of {MODEL} died with SIGSEGV; localmind stepped down to a load without" in told


@pytest.mark.alone
def test_a_killed_engine_costs_one_stream_an_error_and_nothing_else(home: Home) -> None:
    home.start()
    assert chat(home, SHORT).status_code == 200
    assert home.daemon is not None
    received: list[str] = []
    with httpx2.stream("POST", f"{home.url}/chat/completions", json=LONG, timeout=PATIENCE_S) as reply:
        lines = data_lines(reply)
        received += [next(lines) for _ in range(5)]
        os.kill(engine_pid(home), signal.SIGKILL)
        with Stopwatch() as watch:
            received += list(lines)
        assert watch.seconds < 1.0, "the error must come within a second"
    assert received[-1] == "[DONE]"
    error = json.loads(received[-2])["error"]
    assert error["code"] == "worker_died"
    assert "SIGKILL" in error["message"]
    assert home.daemon.poll() is None
    assert chat(home, SHORT).status_code == 200, "the next request is answered"


def test_three_deaths_quarantine_the_model_and_doctor_says_why(babbler: Home) -> None:
    babbler.start()
    for _ in range(3):
        assert chat(babbler, SHORT).status_code == 200
        pid = engine_pid(babbler)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: babbler.status()["models"][0]["pid"] != pid, "the death to be noticed")
    refused = chat(babbler, SHORT)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "model_quarantined"
    told = babbler.cli("doctor")
    assert told.returncode == 1
    assert "died 3 times in 10 minutes" in told.stdout


def test_a_killed_daemon_leaves_no_worker_and_the_next_one_starts(babbler: Home) -> None:
    babbler.start()
    assert babbler.cli("folders", "add", str(SAMPLES / "home")).returncode == 0
    assert chat(babbler, SHORT).status_code == 200
    workers = babbler.workers()
    assert len(workers) >= 3, "engine, embedder, vector index"
    babbler.stop(signal.SIGKILL)
    wait_until(lambda: all(gone(pid) for pid in workers), "the end of its workers")
    babbler.start()
    assert babbler.cli("search", "boiler").returncode == 0


def test_a_daemon_whose_home_was_deleted_still_ends(babbler: Home) -> None:
    babbler.start()
    assert babbler.cli("folders", "add", str(SAMPLES / "home")).returncode == 0
    shutil.rmtree(babbler.directory, ignore_errors=True)
    assert babbler.daemon is not None
    babbler.daemon.send_signal(signal.SIGTERM)
    assert babbler.daemon.wait(PATIENCE_S) == 0


def test_sigterm_ends_a_stream_with_a_last_event(home: Home) -> None:
    home.start()
    with httpx2.stream("POST", f"{home.url}/chat/completions", json=LONG, timeout=PATIENCE_S) as reply:
        lines = data_lines(reply)
        next(lines), next(lines)
        assert home.daemon is not None
        home.daemon.send_signal(signal.SIGTERM)
        received = list(lines)
    assert json.loads(received[-2])["error"]["code"] == "shutting_down"
    assert received[-1] == "[DONE]"
    assert home.daemon.wait(PATIENCE_S) == 0
    assert not home.paths.socket.exists()


def test_hanging_up_in_any_phase_frees_the_engine(home: Home) -> None:
    home.start()
    assert chat(home, SHORT).status_code == 200
    long_prompt = LONG | {"messages": [{"role": "user", "content": "harbor copper lantern meadow " * 1500}]}
    with httpx2.stream("POST", f"{home.url}/chat/completions", json=LONG, timeout=PATIENCE_S) as reply:
        next(reply.iter_lines())  # hang up while it decodes
    with pytest.raises(httpx2.ReadTimeout):  # hang up while it is prefilled: 9,000 tokens take far longer
        httpx2.post(f"{home.url}/chat/completions", json=long_prompt, timeout=1.0)
    wait_until(lambda: home.status()["models"][0]["running"] == 0, "the engine to be idle")
    assert chat(home, SHORT).status_code == 200


def test_a_model_file_cut_short_is_named_with_the_command_that_repairs_it(home: Home) -> None:
    model = next(path for path in (home.paths.models / "blobs").iterdir() if path.stat().st_size > 95_000_000)
    whole = model.read_bytes()
    model.unlink()  # not truncated in place: the file is linked from the cache of the tests
    model.write_bytes(whole[: len(whole) // 2])
    home.start()
    answer = chat(home, SHORT)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "model_file_broken"
    assert "localmind models" in answer.json()["error"]["message"]
    assert home.cli("status").returncode == 0
