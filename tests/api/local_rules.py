"""How clients of Ollama, llama.cpp and LM Studio read answers; see client_rules.py for what a rule is."""

import json
import re
from datetime import datetime
from typing import Any

import httpx2
from client_rules import Rule, sse, whole


def lines(answer: httpx2.Response) -> list[Any]:
    """ollama-python: every line is JSON, also the empty ones that there must not be."""
    assert answer.headers["content-type"] == "application/x-ndjson", "llm.el listens to nothing else"
    return [json.loads(line) for line in answer.text.removesuffix("\n").split("\n")]


# --- llama.cpp


def llama_vim_infill(answer: httpx2.Response) -> None:
    """Flattened keys with slashes in them, and only those."""
    found = whole(answer)
    assert found["content"] == "Hello"
    assert {"timings/prompt_n", "timings/predicted_ms", "truncated", "tokens_cached"} <= set(found)
    assert "timings" not in found


def llama_vim_warm(answer: httpx2.Response) -> None:
    assert whole(answer) == {}


def continue_llamacpp(answer: httpx2.Response) -> None:
    assert "".join(chunk["content"] for chunk in sse(answer)) == "Hello"


def llama_vscode_models(answer: httpx2.Response) -> None:
    """An object `meta` says that this is llama.cpp."""
    for model in whole(answer)["data"]:
        assert isinstance(model["meta"], dict)
        assert model["meta"]["n_ctx"] > 0


def llama_vscode_props(answer: httpx2.Response) -> None:
    assert whole(answer)["default_generation_settings"]["n_ctx"] > 0


def has(*names: str) -> Rule:
    def rule(answer: httpx2.Response) -> None:
        assert set(names) <= set(whole(answer))

    return rule


# --- Ollama


def ollama_chat(answer: httpx2.Response) -> None:
    """ollama-python, Roo, Cline: text in pieces, arguments a mapping, counters on the last line."""
    found = lines(answer)
    for each in found:
        assert each["message"]["role"] == "assistant"
        assert isinstance(each["message"]["content"], str)
        datetime.fromisoformat(each["created_at"])
        for call in each["message"].get("tool_calls", ()):
            assert isinstance(call["function"]["arguments"], dict)
    assert [each["done"] for each in found] == [False] * (len(found) - 1) + [True]
    last = found[-1]
    assert last["done_reason"] in ("stop", "length")
    for name in ("total_duration", "load_duration", "prompt_eval_count", "eval_count", "eval_duration"):
        assert type(last[name]) is int


def zed_ollama(answer: httpx2.Response) -> None:
    """Of a line only the first call, and no text beside it."""
    for each in lines(answer):
        calls = each["message"].get("tool_calls", [])
        assert len(calls) <= 1
        assert not (calls and each["message"]["content"])


def llm_el_ollama(answer: httpx2.Response) -> None:
    """`(cdadr call)`: the second key of a call is its function."""
    for each in lines(answer):
        for call in each["message"].get("tool_calls", ()):
            assert list(call)[1] == "function"


def gptel_ollama(answer: httpx2.Response) -> None:
    """Each object begins at column 0."""
    assert all(line.startswith("{") for line in answer.text.removesuffix("\n").split("\n"))
    ollama_chat(answer)


def generate_whole(answer: httpx2.Response) -> None:
    found = whole(answer)
    assert found["response"] == "Hello"
    datetime.fromisoformat(found["created_at"])


def generate_lines(answer: httpx2.Response) -> None:
    assert "".join(each["response"] for each in lines(answer)) == "Hello"


def ollama_version(answer: httpx2.Response) -> None:
    """Copilot: numbers and dots, at least 0.6.4."""
    assert tuple(map(int, whole(answer)["version"].split("."))) >= (0, 6, 4)


def greeting(answer: httpx2.Response) -> None:
    assert answer.text == "Ollama is running"


def tags(answer: httpx2.Response) -> None:
    """zod of Roo and serde of Zed: one entry that lacks something costs the list."""
    models = whole(answer)["models"]
    assert models
    for model in models:
        assert all(isinstance(model[name], str) for name in ("name", "model", "modified_at", "digest"))
        assert type(model["size"]) is int
        details = ("format", "family", "parameter_size", "quantization_level")
        assert all(isinstance(model["details"][name], str) for name in details)
        assert re.fullmatch(r"[0-9a-f]{64}", model["digest"])
        datetime.fromisoformat(model["modified_at"])


def show(answer: httpx2.Response) -> None:
    """Copilot, Roo, codecompanion, Continue: abilities, and the context by three different ways to find it."""
    found = whole(answer)
    assert "tools" in found["capabilities"]
    info, family = found["model_info"], found["details"]["family"]
    first = next(key for key in info if "context_length" in key)
    assert first == f"{info['general.architecture']}.context_length" == f"{family}.context_length"
    assert info[first] > 0
    rows = dict(re.fullmatch(r"(\S+)\s+((?:\".*\")|\S+)", row).groups() for row in found["parameters"].split("\n"))
    assert int(rows["num_ctx"]) == info[first]
    assert isinstance(found["template"], str)


def ps(answer: httpx2.Response) -> None:
    for model in whole(answer)["models"]:
        datetime.fromisoformat(model["expires_at"])


def embeddings_ollama(answer: httpx2.Response) -> None:
    assert all(isinstance(number, float) for number in whole(answer)["embeddings"][0])


def models_lmstudio(answer: httpx2.Response) -> None:
    for model in whole(answer)["data"]:
        assert model["type"] in ("llm", "embeddings", "vlm")
        assert model["compatibility_type"] in ("gguf", "mlx")
        assert model["state"] in ("loaded", "loading", "not-loaded")
        assert {"id", "object", "publisher"} <= set(model)
