"""Workers and daemons that really die: what the user sees, and what is left."""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from conftest_e2e import PATIENCE_S, Home, wait_until

CRASHING = Path(__file__).with_name("daemon_that_crashes.py")
LONG = {
    "model": "default",
    "messages": [{"role": "user", "content": "Tell a long story."}],
    "max_tokens": 2000,
    "temperature": 0,
    "stream": True,
    "ignore_eos": True,
}
SHORT = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}


def chat(home: Home, body: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(f"{home.url}/chat/completions", json=body, timeout=PATIENCE_S)


def data_lines(reply: httpx2.Response) -> Iterator[str]:
    for line in reply.iter_lines():
        if line.startswith("data: "):
            yield line[6:]


def engine_pid(home: Home) -> int:
    return int(next(model["pid"] for model in home.status()["models"] if model["pid"]))


def test_a_crash_on_the_first_load_is_healed_remembered_and_explained(home: Home) -> None:
    home.start([sys.executable, "-P", str(CRASHING), str(home.port)])
    assert chat(home, SHORT).status_code == 200
    loaded = home.status()["models"][0]
    assert loaded["plan"]["use_extra_bufts"] is False
    log = home.paths.log_file.read_text()
    home.stop()

    home.start([sys.executable, "-P", str(CRASHING), str(home.port)])
    assert chat(home, SHORT).status_code == 200
    fresh = home.paths.log_file.read_text().removeprefix(log)
    assert "SIGSEGV" not in fresh, "the second load knows better"
    told = home.cli("doctor").stdout
    assert "a load of smollm2:135m died with SIGSEGV; localmind stepped down to a load without" in told


def test_a_killed_engine_costs_one_stream_an_error_and_nothing_else(home: Home) -> None:
    home.start()
    assert chat(home, SHORT).status_code == 200
    assert home.daemon is not None
    received: list[str] = []
    with httpx2.stream("POST", f"{home.url}/chat/completions", json=LONG, timeout=PATIENCE_S) as reply:
        lines = data_lines(reply)
        received += [next(lines) for _ in range(5)]
        os.kill(engine_pid(home), signal.SIGKILL)
        killed = threading.Event()
        timer = threading.Timer(1.0, killed.set)
        timer.start()
        received += list(lines)
        assert not killed.is_set(), "the error must come within a second"
        timer.cancel()
    assert received[-1] == "[DONE]"
    error = json.loads(received[-2])["error"]
    assert error["code"] == "worker_died"
    assert "SIGKILL" in error["message"]
    assert home.daemon.poll() is None
    assert chat(home, SHORT).status_code == 200, "the next request is answered"


def test_three_deaths_quarantine_the_model_and_doctor_says_why(home: Home) -> None:
    home.start()
    for _ in range(3):
        assert chat(home, SHORT).status_code == 200
        pid = engine_pid(home)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: home.status()["models"][0]["pid"] != pid, "the death to be noticed")
    refused = chat(home, SHORT)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "model_quarantined"
    told = home.cli("doctor")
    assert told.returncode == 1
    assert "died 3 times in 10 minutes" in told.stdout


def test_a_killed_daemon_leaves_no_worker_and_the_next_one_starts(home: Home) -> None:
    home.start()
    assert home.cli("folders", "add", str(Path(__file__).parents[2] / "samples" / "home")).returncode == 0
    assert chat(home, SHORT).status_code == 200
    workers = [psutil.Process(pid) for pid in home.workers()]
    assert len(workers) >= 3, "engine, embedder, vector index"
    home.stop(signal.SIGKILL)
    _, left = psutil.wait_procs(workers, timeout=10)
    assert left == []
    home.start()
    assert home.cli("search", "boiler").returncode == 0


def test_a_daemon_whose_home_was_deleted_still_ends(home: Home) -> None:
    home.start()
    assert home.cli("folders", "add", str(Path(__file__).parents[2] / "samples" / "home")).returncode == 0
    shutil.rmtree(home.directory, ignore_errors=True)
    assert home.daemon is not None
    home.daemon.send_signal(signal.SIGTERM)
    assert home.daemon.wait(PATIENCE_S) == 0


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
