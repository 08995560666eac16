"""Tables 2 and 4 of the research on clients, row by row: what each endpoint must take and give, over a scripted engine.

What a row says of one client alone is in its replay (test_replays.py); what is said at length elsewhere is only named
there: docs/api-tests.md has the list.
"""

import json
from typing import Any

import httpx2
import pytest
from api_fakes import FakeEngines, post
from replays import HI, USAGE, WEATHER, M

from localmind.api.streams import KEEPALIVE

Speaking = tuple[FakeEngines, FakeEngines]
CHAT = "/v1/chat/completions"


async def told(engines: FakeEngines, path: str, body: Any = None, **more: Any) -> httpx2.Response:
    method = more.pop("method", "GET" if body is None else "POST")
    answer = await post(engines, b"" if body is None else body, path, method=method, **more)
    assert answer.status_code == 200, answer.text[:300]
    return answer


async def told_json(engines: FakeEngines, path: str, body: Any = None) -> Any:
    return (await told(engines, path, body)).json()


def events(answer: httpx2.Response) -> list[Any]:
    assert answer.text.endswith("data: [DONE]\n\n")
    return [json.loads(line[6:]) for line in answer.text.split("\n\n")[:-2]]


# --- row 1

TAKEN = {
    "max_tokens": 9,
    "max_completion_tokens": 9,
    "temperature": 0.1,
    "top_p": 0.9,
    "stop": [f"<{number}>" for number in range(16)],
    "seed": 7,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "tools": [WEATHER],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "response_format": {"type": "json_object"},
    "reasoning_effort": "low",
    "logprobs": True,
    "top_logprobs": 2,
    "n": 1,
    "user": "u",
    "store": False,
    "metadata": {"a": "b"},
    "prompt_cache_key": "k",
    "prediction": {"type": "content", "content": "x"},
    "cache_prompt": True,
    "id_slot": 0,
    "min_p": 0.1,
    "top_k": 40,
    "samplers": ["top_k", "infill"],
    "n_predict": 9,
    "json_schema": {"type": "object"},
    "grammar": 'root ::= "a"',
    "chat_template_kwargs": {"enable_thinking": False},
    "made_up": [1],
}


@pytest.mark.parametrize("field", TAKEN)
async def test_chat_takes_each_field_and_its_null(field: str, speaking: Speaking) -> None:
    with_it = {"model": M, "messages": HI, field: TAKEN[field]} | (
        {"logprobs": True} if field == "top_logprobs" else {}
    )
    await told(speaking[0], CHAT, with_it)
    await told(speaking[0], CHAT, {"model": M, "messages": HI, field: None})


async def test_chat_answers_with_every_field(speaking: Speaking) -> None:
    found = await told_json(speaking[0], CHAT, {"model": M, "messages": HI})
    assert {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "timings"} <= set(found)
    [choice] = found["choices"]
    assert {"index", "message", "finish_reason"} <= set(choice)
    usage = found["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert type(usage["prompt_tokens_details"]["cached_tokens"]) is int


async def test_a_stream_says_its_role_once_and_each_call_in_its_place(speaking: Speaking) -> None:
    answer = await told(speaking[1], CHAT, {"model": M, "messages": HI, "tools": [WEATHER], "stream": True} | USAGE)
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    chunks = events(answer)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert not any("role" in delta for delta in deltas[1:])
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 0]
    assert "id" in calls[0]
    assert calls[0]["function"]["name"] == "weather"
    assert not any("id" in call or "name" in call["function"] for call in calls[1:])
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert reasons[-1] == "tool_calls"
    assert set(reasons[:-1]) == {None}
    assert [chunk["usage"] is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_what_is_sent_into_silence_is_a_comment_that_no_client_takes_for_an_end() -> None:
    assert KEEPALIVE.startswith(b":")
    assert not KEEPALIVE.startswith(b": ping")
    assert KEEPALIVE.endswith(b"\n\n")


# --- rows 2 to 19: what comes back

LISTS = [
    ("/v1/models", "data", {"id", "object", "created", "owned_by", "meta", "max_model_len", "context_length", "type"}),
    ("/v1/models", "data", {"architecture", "display_name", "created_at"}),
    ("/api/tags", "models", {"name", "model", "modified_at", "size", "digest", "details", "capabilities"}),
    ("/api/v0/models", "data", {"id", "object", "type", "publisher", "compatibility_type", "state"}),
]


@pytest.mark.parametrize(("path", "key", "names"), LISTS)
async def test_a_list_of_models_has_what_clients_read(path: str, key: str, names: set[str], speaking: Speaking) -> None:
    found = await told_json(speaking[0], path)
    chat = next(model for model in found[key] if M in (model.get("id"), model.get("name")))
    assert names <= set(chat)


async def test_one_model_is_told_by_its_name(speaking: Speaking) -> None:
    assert (await told_json(speaking[0], f"/v1/models/{M}"))["id"] == M


TIMES = {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"}
TEXT = {"model": M, "prompt": "x"}
ANSWERS: list[tuple[str, Any, set[str]]] = [
    (
        "/api/chat",
        {"model": M, "messages": HI, "stream": False},
        {"model", "created_at", "message", "done_reason"} | TIMES,
    ),
    ("/api/generate", {**TEXT, "stream": False}, {"response", "context", "done_reason"} | TIMES),
    ("/api/show", {"name": M}, {"modelfile", "parameters", "template", "details", "model_info", "capabilities"}),
    ("/api/embed", {"model": "all-minilm", "input": ["a"]}, {"embeddings", "prompt_eval_count"}),
    ("/api/embeddings", {"model": "all-minilm", "prompt": "a"}, {"embedding"}),
    ("/v1/completions", TEXT, {"id", "object", "created", "model", "choices", "usage"}),
    ("/v1/embeddings", {"model": "all-minilm", "input": "a"}, {"object", "data", "model", "usage"}),
    ("/completion", TEXT, {"content", "timings", "truncated", "tokens_cached"}),
    ("/infill", {"model": M, "input_prefix": "a", "input_suffix": "b"}, {"content", "timings", "truncated"}),
    (
        "/v1/messages",
        {"model": M, "max_tokens": 9, "messages": HI},
        {"id", "type", "role", "content", "stop_reason", "usage"},
    ),
    ("/v1/messages/count_tokens", {"model": M, "messages": HI}, {"input_tokens"}),
    (
        "/v1/responses",
        {"model": M, "input": "x"},
        {"id", "created_at", "output", "parallel_tool_calls", "tools", "usage"},
    ),
    ("/api/v0/chat/completions", {"model": M, "messages": HI}, {"created", "model", "object", "choices"}),
    ("/v1/rerank", {"model": "r", "query": "q", "documents": ["a"]}, {"results", "data", "usage"}),
    ("/tokenize", {"content": "a b"}, {"tokens"}),
    ("/detokenize", {"tokens": [1]}, {"content"}),
    ("/apply-template", {"messages": HI}, {"prompt"}),
    ("/props", None, {"default_generation_settings", "total_slots", "model_path", "chat_template", "modalities"}),
    ("/api/ps", None, {"models"}),
    ("/api/version", None, {"version"}),
    ("/health", None, {"status"}),
]


@pytest.mark.parametrize(("path", "body", "names"), ANSWERS, ids=[row[0] for row in ANSWERS])
async def test_an_answer_has_what_clients_read(path: str, body: Any, names: set[str], speaking: Speaking) -> None:
    found = await told_json(speaking[0], path, body)
    assert names <= set(found), names - set(found)


@pytest.mark.parametrize("path", ["/rerank", "/reranking", "/v1/reranking"])
async def test_rerank_has_all_its_names(path: str, speaking: Speaking) -> None:
    found = await told_json(speaking[0], path, {"model": "r", "query": "q", "documents": ["a", "bc"]})
    assert [set(row) >= {"index", "relevance_score"} for row in found["data"] + found["results"]] == [True] * 4


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("HEAD", "/", None),
        ("HEAD", "/api/hello", None),
        ("POST", "/api/event_logging/batch", {"events": []}),
        ("GET", "//v1//models", None),
        ("POST", "/v1/messages?beta=true", {"model": M, "max_tokens": 9, "messages": HI}),
    ],
)
async def test_what_programs_ask_beside_their_questions_is_no_error(
    method: str, path: str, body: Any, speaking: Speaking
) -> None:
    sent = {"anthropic-beta": "made-up-2031-01-01", "anthropic-version": "2023-06-01"}
    answer = await post(speaking[0], body if body is not None else b"", path, method=method, headers=sent)
    assert answer.status_code in (200, 204)


@pytest.mark.parametrize("content", [None, "", [], "absent"])
async def test_a_turn_without_content_is_taken(content: Any, speaking: Speaking) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    turn = {"role": "assistant", "tool_calls": [call]} | ({} if content == "absent" else {"content": content})
    result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    await told(speaking[0], CHAT, {"model": M, "messages": [*HI, turn, result]})
