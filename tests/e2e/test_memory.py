"""Four models where two fit, asked by twelve clients at once; and the same daemon as the remote of another."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import psutil
import pytest
from conftest_e2e import PATIENCE_S, Home, end, new_home
from random_models import install

MODELS = ("a", "b", "c", "d")
CLIENTS = 12
LIMIT_MB = 190
"""Two workers with a tiny model each, booked with 80 MiB; not three."""


def engines(home: Home) -> list[int]:
    """Pids of the processes that hold a model."""
    found: list[int] = []
    for pid in home.workers():
        with contextlib.suppress(psutil.Error):
            found += [pid] if "engine" in psutil.Process(pid).cmdline() else []
    return found


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = new_home(tmp_path_factory.mktemp("tight"), None)
    try:
        settings = f'chat_model = "tiny:a"\ncontext = 2048\nmodels_memory_mb = {LIMIT_MB}\nprefix_ram_mb = 0\n'
        install(made, tmp_path_factory.mktemp("files"), {f"tiny:{name}": "llama" for name in MODELS}, settings)
        made.start()
        yield made
    finally:
        end(made)


async def test_twelve_are_answered_by_four_models_of_which_two_fit_and_none_is_there_twice(tight: Home) -> None:
    most = processes = reserved = 0

    async def client(number: int) -> list[str]:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{tight.port}", timeout=PATIENCE_S) as http:
            texts = []
            for turn in range(2 if number < len(MODELS) else 1):
                model = f"tiny:{MODELS[(number + 2 * turn) % len(MODELS)]}"
                body = {"model": model, "prompt": "the water", "max_tokens": 6, "ignore_eos": True, "temperature": 0}
                reply = await http.post("/v1/completions", json=body)
                assert reply.status_code == 200, reply.text
                texts.append(f"{model} {reply.json()['choices'][0]['text']}")
            return texts

    async def watch() -> None:
        nonlocal most, processes, reserved
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{tight.port}", timeout=PATIENCE_S) as http:
            while True:
                found = (await http.get("/localmind/v1/memory")).json()
                most = max(most, sum(model["stage"] != "cold" for model in found["models"]))
                processes = max(processes, len(engines(tight)))
                reserved = max(reserved, found["devices"][0]["reserved"])
                for model in found["models"]:
                    assert not model["running"] or model["stage"] == "hot", "nobody is taken away from under a request"
                await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    answers = await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    texts = {text for each in answers for text in each}
    assert len(texts) == len(MODELS), "a model says the same to all, also after it was away"
    assert 0 < reserved <= LIMIT_MB << 20
    assert most == processes == 2, "never a third, not even while another is ending, and none twice"
    status = tight.status()
    assert all(not model["deaths"] and not model["running"] for model in status["models"])
    assert sum(model["stage"] in ("hot", "warm") for model in status["models"]) <= 2


def test_a_model_is_loaded_pinned_shown_and_unloaded_by_name(tight: Home) -> None:
    loaded = tight.cli("models", "load", "tiny:a", "--keep-alive", "5m", "--pin")
    assert loaded.returncode == 0, loaded.stderr
    assert "tiny:a is in memory" in loaded.stderr
    assert "pinned" in loaded.stderr
    shown = tight.cli("status").stdout
    assert "RESERVED" in shown
    assert "pinned" in shown
    assert tight.cli("models", "unload", "tiny:a").returncode == 0
    (account,) = [m for m in tight.status()["models"] if m["model"] == "tiny:a"]
    assert (account["stage"], account["pinned"], account["pid"]) == ("cold", False, None)


def test_what_pins_leave_no_room_for_is_refused_with_both_numbers(tight: Home) -> None:
    with tight.client() as client, httpx2.Client(timeout=PATIENCE_S) as http:
        for name in ("tiny:a", "tiny:b"):
            client.post("/memory/pin", {"model": name, "pinned": True})
            asked = {"model": name, "prompt": "the water", "max_tokens": 1}
            assert http.post(f"{tight.url}/completions", json=asked).status_code == 200
    refused = tight.cli("models", "load", "tiny:c")
    assert refused.returncode == 1
    assert re.search(
        r"tiny:c needs 8\d MiB of memory, and models may have \d\d MiB beside tiny:\w, tiny:\w, pinned", refused.stderr
    )
    assert "hint: localmind models unload tiny:" in refused.stderr
    with tight.client() as client:
        for name in ("tiny:a", "tiny:b"):
            client.post("/memory/pin", {"model": name, "pinned": False})


def test_another_daemon_has_its_models_and_sends_no_files_there(
    tight: Home, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = new_home(tmp_path_factory.mktemp("here"), None)
    here.paths.config.mkdir(parents=True)
    here.paths.settings_file.write_text(f'[remotes.box]\nurl = "http://127.0.0.1:{tight.port}"\nkey = "sesame"\n')
    tight_token = tight.paths.token_file.read_text().strip()
    here.paths.settings_file.write_text(here.paths.settings_file.read_text().replace("sesame", tight_token))
    try:
        here.start()
        listed = here.cli("models", "list").stdout
        assert f"no: asking it leaves this machine for 127.0.0.1:{tight.port}" in listed
        asked: dict[str, Any] = {"prompt": "the water", "max_tokens": 8, "temperature": 0, "ignore_eos": True}
        with httpx2.Client(timeout=PATIENCE_S) as http:
            names = [each["id"] for each in http.get(f"{here.url}/models").json()["data"]]
            assert "box/tiny:b" in names
            there = http.post(f"{tight.url}/completions", json={"model": "tiny:b", **asked}).json()
            through = http.post(f"{here.url}/completions", json={"model": "box/tiny:b", **asked}).json()
        assert through["choices"][0]["text"] == there["choices"][0]["text"] != ""
        assert through["usage"]["completion_tokens"] == 8
        refused = here.cli("ask", "-m", "box/tiny:b", "-g", "*.md", "what is in my files?")
        assert refused.returncode != 0
        assert "passages of your files would leave this machine" in refused.stderr
        told = here.cli("ask", "--chat", "-m", "box/tiny:b", "--max-tokens", "4", "hello")
        assert "what you ask leaves this machine" in told.stderr
        assert "stay here" in here.cli("status").stdout
        assert here.workers() == [], "nothing was loaded here"
    finally:
        end(here)
