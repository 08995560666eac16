"""Models loaded, pinned and refused by their bytes; and the same daemon as the remote of another."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import random_gguf
from conftest_e2e import Home, end, new_home

from localmind import catalog
from localmind.models.store import Store

pytestmark = pytest.mark.timeout(120)

MODELS = ("a", "b", "c", "d")
LIMIT_MB = 330

MODEL = """
[[model]]
name = "tiny:{name}"
role = "chat"
format = "gguf"
family = "random"
licence = "CC0-1.0"
parameters = 1
context = 512
quantisation = "F16"
files = [{{ name = "{name}.gguf", size = {size}, sha256 = "{sha256}" }}]
sources = [{{ kind = "wheel", package = "none", version = "1", wheel = "none.whl", size = 1, sha256 = "{sha256}" }}]
"""


def install(home: Home, place: Path) -> None:
    store = Store(home.paths.models)
    store.prepare()
    text = "schema = 1\n"
    for seed, name in enumerate(MODELS):
        path = random_gguf.write(place / f"{name}.gguf", "llama", seed=seed)
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        shutil.copy(path, store.blob(sha256))
        text += MODEL.format(name=name, size=len(data), sha256=sha256)
    home.paths.config.mkdir(parents=True)
    home.paths.catalog_overlay.write_text(text)
    known = catalog.load(home.paths)
    for name in MODELS:
        store.install(known.find(f"tiny:{name}"), "a test")


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = new_home(tmp_path_factory.mktemp("tight"), None)
    try:
        install(made, tmp_path_factory.mktemp("files"))
        made.paths.settings_file.write_text(
            f'chat_model = "tiny:a"\ncontext = 2048\nmodels_memory_mb = {LIMIT_MB}\nprefix_ram_mb = 0\n'
        )
        made.start()
        yield made
    finally:
        end(made)


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
    wrong = tight.cli("models", "load", "tiny:a", "--keep-alive", "soon")
    assert wrong.returncode == 2
    assert "10m or 1h30m" in wrong.stderr


def test_a_model_that_can_never_fit_is_refused_with_both_numbers(tight: Home) -> None:
    with tight.client() as client:
        client.post("/memory/pin", {"model": "tiny:a", "pinned": False})
    text = tight.paths.settings_file.read_text()
    tight.stop()
    tight.paths.settings_file.write_text(text.replace(str(LIMIT_MB), "50"))
    tight.start()
    try:
        refused = tight.cli("models", "load", "tiny:a")
        assert refused.returncode == 1
        assert "tiny:a needs" in refused.stderr
        assert "models may have 50 MiB" in refused.stderr
    finally:
        tight.stop()
        tight.paths.settings_file.write_text(text)
        tight.start()


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
        with httpx2.Client(timeout=60) as http:
            names = [each["id"] for each in http.get(f"{here.url}/models").json()["data"]]
            assert "box/tiny:b" in names
            there = http.post(f"{tight.url}/completions", json={"model": "tiny:b", **asked}).json()
            through = http.post(f"{here.url}/completions", json={"model": "box/tiny:b", **asked}).json()
        assert through["choices"][0]["text"] == there["choices"][0]["text"] != ""
        assert through["usage"]["completion_tokens"] == 8
        refused = here.cli("ask", "-m", "box/tiny:b", "what is in my files?")
        assert refused.returncode != 0
        assert "passages of your files would leave this machine" in refused.stderr
        told = here.cli("ask", "--chat", "-m", "box/tiny:b", "--max-tokens", "4", "hello")
        assert "what you ask leaves this machine" in told.stderr
        assert "stay here" in here.cli("status").stdout
        assert here.workers() == [], "nothing was loaded here"
    finally:
        end(here)
