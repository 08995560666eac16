"""Embedders, rerankers, infill and adapters through a real daemon, on models of random weights."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import random_gguf
from conftest_e2e import PATIENCE_S, Home, end, gone, new_home, wait_until
from random_models import install

from localmind.models.gguf import read_header

KINDS = {f"tiny:{kind}": kind for kind in ("llama", "fim", "embedder", "reranker")} | {"tiny:shown": "llama"}
GREEDY: dict[str, Any] = {"prompt": "the water of people", "temperature": 0, "max_tokens": 10, "ignore_eos": True}
"""As far as no two tokens are nearly alike: with the adapter the 15th is chosen by 0.0003, and rounding is 0.001."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A daemon with one of each; tiny:llama is the default, tiny:shown is loaded by the test that shows it alone."""
    made = new_home(tmp_path_factory.mktemp("tiny"), None)
    try:
        settings = 'chat_model = "tiny:llama"\nrerank_model = "tiny:reranker"\ncontext = 1024\n'
        install(made, tmp_path_factory.mktemp("files"), KINDS, settings)
        made.start()
        yield made
    finally:
        end(made)


@pytest.fixture
def http(tiny: Home) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{tiny.port}", timeout=PATIENCE_S) as client:
        yield client


def post(http: httpx2.Client, route: str, status: int = 200, **body: Any) -> Any:
    reply = http.post(route, json=body)
    assert reply.status_code == status, reply.text
    return reply.json()


def completion(http: httpx2.Client, **more: Any) -> str:
    return str(post(http, "/v1/completions", **GREEDY, **more)["choices"][0]["text"])


def test_models_show_knows_the_kind_of_memory_after_the_first_load_and_over_a_restart(
    tiny: Home, http: httpx2.Client
) -> None:
    assert "not loaded yet" in tiny.cli("models", "show", "tiny:shown").stdout
    completion(http, model="tiny:shown")
    shown = tiny.cli("models", "show", "tiny:shown").stdout
    assert "any_prefix: every token is kept" in shown
    tiny.stop()
    tiny.start()
    assert tiny.cli("models", "show", "tiny:shown").stdout == shown
    assert tiny.workers() == [] or not tiny.status()["models"], "nothing was loaded for that"


def test_an_encoder_answers_with_vectors_and_refuses_to_chat(http: httpx2.Client) -> None:
    data = post(http, "/v1/embeddings", model="tiny:embedder", input=["the water", "people"])["data"]
    assert len(data[0]["embedding"]) == 128
    assert sum(x * x for x in data[0]["embedding"]) == pytest.approx(1, abs=1e-4)
    refused = post(http, "/v1/completions", 400, model="tiny:embedder", prompt="x")
    assert "not for chat" in refused["error"]["message"]


def test_a_chat_model_makes_vectors_too(http: httpx2.Client) -> None:
    assert len(post(http, "/v1/embeddings", model="tiny:llama", input="the water")["data"][0]["embedding"]) == 128


def test_documents_are_ranked_by_a_reranker_and_by_nothing_else(http: httpx2.Client) -> None:
    asked = {"query": "water", "documents": ["people", "the water", "of the time"]}
    results = post(http, "/v1/rerank", model="tiny:reranker", **asked)["results"]
    assert sorted(each["index"] for each in results) == [0, 1, 2]
    scores = [each["relevance_score"] for each in results]
    assert scores == sorted(scores, reverse=True)
    assert "cannot rerank" in post(http, "/v1/rerank", 400, model="tiny:embedder", **asked)["error"]["message"]


def test_the_passages_of_a_search_are_put_in_order_by_the_reranker(
    tiny: Home, http: httpx2.Client, tmp_path: Path
) -> None:
    for number, text in enumerate(("the water of people", "people of the time", "the time and the people of water")):
        (tmp_path / f"{number}.txt").write_text(text)
    assert tiny.cli("folders", "add", str(tmp_path)).returncode == 0
    asked = {"query": "time water people", "limit": 3}
    found = post(http, "/localmind/v1/search", explain=True, **asked)
    texts = [each["text"] for each in found["passages"]]
    assert len(texts) == 3
    assert found["trace"]["reranked"]
    before = [each["text"] for each in found["trace"]["stages"]["unranked"]]
    ranked = post(http, "/v1/rerank", model="tiny:reranker", query=asked["query"], documents=before)["results"]
    assert texts == [before[each["index"]] for each in ranked]


def test_holes_are_filled_by_infill_and_by_suffix_alike(http: httpx2.Client) -> None:
    asked = {"temperature": 0, "ignore_eos": True, "model": "tiny:fim"}
    filled = post(http, "/infill", input_prefix="the water ", input_suffix=" people", n_predict=12, **asked)
    assert filled["tokens_predicted"] == 12
    suffixed = post(http, "/v1/completions", prompt="the water ", suffix=" people", max_tokens=12, **asked)
    assert suffixed["choices"][0]["text"] == filled["content"] != ""
    refused = post(http, "/infill", 400, model="tiny:llama", input_prefix="a", input_suffix="b")
    assert "cannot fill in the middle" in refused["error"]["message"]


def reserved(home: Home) -> int:
    """Bytes of main memory that are booked for the model."""
    return next(model["reserved"]["RAM"] for model in home.status()["models"] if model["model"] == "tiny:llama")


def test_an_adapter_is_chosen_by_a_request_and_is_there_again_after_a_death(
    tiny: Home, http: httpx2.Client, tmp_path: Path
) -> None:
    plain = completion(http)
    path = random_gguf.write_lora(tmp_path / "lora.gguf")
    adapters = "/localmind/v1/engine/adapters"
    before = reserved(tiny)
    assert post(http, adapters, name="tone", path=str(path))["rank"] == 4
    size = sum(tensor.size for tensor in read_header(path).tensors)
    assert reserved(tiny) == before + size
    toned = completion(http, lora=[{"name": "tone", "scale": 1.0}])
    assert toned != plain == completion(http)
    assert http.get("/lora-adapters").json() == [{"id": 0, "path": path.name, "scale": 0.0}]
    assert completion(http, lora=[{"id": 0, "scale": 1.0}]) == toned
    unknown = post(http, "/v1/completions", 404, **GREEDY, lora=[{"name": "nobody"}])
    assert "loaded are: tone" in unknown["error"]["message"]
    post(http, adapters, 400, name="relative", path="lora.gguf")

    pid = next(model["pid"] for model in tiny.status()["models"] if model["model"] == "tiny:llama")
    psutil.Process(pid).send_signal(signal.SIGKILL)
    wait_until(lambda: gone(pid), "the end of the worker")
    assert [each["name"] for each in http.get(adapters).json()["adapters"]] == ["tone"]
    assert completion(http, lora=[{"name": "tone", "scale": 1.0}]) == toned
    assert http.request("DELETE", adapters, params={"name": "tone"}).status_code == 200
    assert http.get(adapters).json()["adapters"] == []
    assert reserved(tiny) == before
    assert http.request("DELETE", adapters, params={"name": "tone"}).status_code == 404


def test_the_metrics_count_steps_and_tokens(http: httpx2.Client) -> None:
    completion(http)
    page = http.get("/metrics").text
    counted = {
        line.split("{")[0]: float(line.split()[-1]) for line in page.splitlines() if 'model="tiny:llama"' in line
    }
    assert counted["localmind_steps_total"] >= GREEDY["max_tokens"]
    assert counted["localmind_prefilled_tokens_total"] > 0
    assert counted["localmind_generated_tokens_total"] >= GREEDY["max_tokens"]
    assert counted["localmind_prompt_tokens_total"] > 0


def test_a_draft_model_that_does_not_fit_is_refused_by_the_settings_name(tiny: Home) -> None:
    text = tiny.paths.settings_file.read_text()
    tiny.stop()
    tiny.paths.settings_file.write_text(text + 'draft_model = "tiny:embedder"\n')
    tiny.start()
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{tiny.port}", timeout=PATIENCE_S) as http:
            message = post(http, "/v1/completions", 400, **GREEDY)["error"]["message"]
            assert "`draft_model`: embedder.gguf cannot draft" in message
            assert "LOCALMIND_DRAFT_MODEL" in message
            assert completion(http, model="tiny:fim"), "only the default model is drafted for"
    finally:
        tiny.stop()
        tiny.paths.settings_file.write_text(text)
        tiny.start()
