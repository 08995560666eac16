"""How clients of OpenAI's and Anthropic's dialects read answers, each rule as its source has it.

Only the parsing, in a few lines each, named after the program; the sources are in clients.md §1 of the research. A
rule that is broken is an AssertionError here and an empty list, a hang or an exception there.
"""

import base64
import json
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

Rule = Callable[[httpx2.Response], None]

ROLES = ("user", "assistant", "system", "tool")


def sse(answer: httpx2.Response) -> list[Any]:
    """The JSON payloads before `[DONE]`."""
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text[:300]
    found, done = [], False
    for line in answer.text.split("\n"):
        if not line or line.startswith((":", "event:")):
            assert not line.startswith(": ping"), "Continue takes that for the end"
            continue
        assert line.startswith("data: "), line
        assert not done, "nothing comes after [DONE]"
        if line == "data: [DONE]":
            done = True
        else:
            found.append(json.loads(line[6:]))
    return found


def whole(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text[:300]
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


# --- OpenAI's chat, streamed


def continue_openai(answer: httpx2.Response) -> None:
    """Reads content first and calls only where there is none; whatever carries usage is read last."""
    chunks = sse(answer)
    for chunk in chunks[:-1]:
        assert not chunk.get("usage")
        delta = chunk["choices"][0]["delta"]
        assert not (delta.get("content") and delta.get("tool_calls"))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0


def zed_openai(answer: httpx2.Response) -> None:
    """serde: integers where there are integers, a role from its list, all three counters."""
    for chunk in sse(answer):
        for choice in chunk["choices"]:
            assert type(choice["index"]) is int
            assert choice["delta"].get("role", "assistant") in ROLES
            for call in choice["delta"].get("tool_calls", ()):
                assert type(call["index"]) is int
        if chunk.get("usage"):
            assert {"prompt_tokens", "completion_tokens", "total_tokens"} <= set(chunk["usage"])


def gptel_openai(answer: httpx2.Response) -> None:
    """Calls are put together when `[DONE]` is seen; one call a delta, and a name begins a new one."""
    rows = [line for line in answer.text.split("\n") if line]
    assert rows[-1] == "data: [DONE]"
    assert json.loads(rows[-2][6:])["usage"]["prompt_tokens"] >= 0
    names = []
    for chunk in sse(answer):
        for choice in chunk["choices"]:
            calls = choice["delta"].get("tool_calls", [])
            assert len(calls) <= 1
            names += [call["function"]["name"] for call in calls if call["function"].get("name")]
    assert names in ([], ["weather"])


def gp_nvim(answer: httpx2.Response) -> None:
    """Patterns on raw lines, quotes right before colons."""
    text = ""
    for line in answer.text.split("\n"):
        line = line.removeprefix("data: ")
        if "choices" in line and "delta" in line and "content" in line:
            found = re.search(r'"content":"((?:[^"\\]|\\.)*)"', line)
            assert found is not None, line
            text += found[1]
        elif '"message":' in line and '"content":' in line:
            text += json.loads(line)["message"]["content"]
    assert text == "Hello"


def sdk_openai(answer: httpx2.Response) -> None:
    """The accumulator of `.stream()`: `tool_calls[chunk.index]`, contiguous from 0; fields of every chunk."""
    calls: list[str] = []
    reasons = []
    for chunk in sse(answer):
        assert {"id", "choices", "created", "model", "object"} <= set(chunk)
        assert chunk["object"] == "chat.completion.chunk"
        for choice in chunk["choices"]:
            assert choice["delta"].get("role", "assistant") == "assistant"
            for call in choice["delta"].get("tool_calls", ()):
                if call["index"] == len(calls):
                    assert call["id"]
                    assert call["type"] == "function"
                    calls.append("")
                calls[call["index"]] += call["function"]["arguments"]
            if choice["finish_reason"]:
                reasons.append(choice["finish_reason"])
    assert reasons == (["tool_calls"] if calls else ["stop"])
    assert all(json.loads(call) == {"city": "Ulm"} for call in calls)


def ai_sdk(answer: httpx2.Response) -> None:
    """zod of @ai-sdk/openai-compatible (opencode, Cline): the role is absent or "assistant", a call has a function."""
    for chunk in sse(answer):
        for choice in chunk["choices"]:
            assert choice["delta"].get("role") in (None, "assistant")
            for call in choice["delta"].get("tool_calls", ()):
                assert isinstance(call["function"]["arguments"], str)
    sdk_openai(answer)


def copilot_chat(answer: httpx2.Response) -> None:
    """Comments are skipped, `choices` is always there, usage has a chunk of its own."""
    for chunk in sse(answer):
        assert "choices" in chunk
        if chunk.get("usage"):
            assert chunk["choices"] == []
    sdk_openai(answer)


def zed_lmstudio(answer: httpx2.Response) -> None:
    for chunk in sse(answer):
        assert {"created", "model", "object", "choices"} <= set(chunk)


def codecompanion_openai(answer: httpx2.Response) -> None:
    """Makes up a call's id from `created` where there is none."""
    for chunk in sse(answer):
        assert type(chunk["created"]) is int
    sdk_openai(answer)


def avante_openai(answer: httpx2.Response) -> None:
    ends = [choice["finish_reason"] for chunk in sse(answer) for choice in chunk["choices"]]
    assert ends[-1] in ("stop", "eos_token", "length", "tool_calls")


def llama_vim_instruct(answer: httpx2.Response) -> None:
    text = "".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
        for line in answer.text.split("\n")
        if line.startswith("data: {")
    )
    assert text == "Hello"


def llama_vscode_chat(answer: httpx2.Response) -> None:
    found = whole(answer)
    assert found["choices"][0]["finish_reason"] in ("stop", "tool_calls")
    assert found["usage"]["prompt_tokens"] >= 0
    assert "timings" in found


def chat_whole(answer: httpx2.Response) -> None:
    message = whole(answer)["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert message["content"] == "Hello"


# --- text completions


def minuet(answer: httpx2.Response) -> None:
    assert "".join(chunk["choices"][0]["text"] for chunk in sse(answer)) == "Hello"


def zed_raw_completion(answer: httpx2.Response) -> None:
    """RawCompletionResponse, where usage is no option."""
    found = whole(answer)
    assert {"id", "object", "created", "model"} <= set(found)
    assert {"prompt_tokens", "completion_tokens", "total_tokens"} <= set(found["usage"])
    assert {"text", "finish_reason"} <= set(found["choices"][0])


def echoed(answer: httpx2.Response) -> None:
    """lm-eval: the prompt comes first, and the key for the log probabilities is there."""
    (choice,) = whole(answer)["choices"]
    assert choice["text"].startswith("x")
    assert "logprobs" in choice


def mistral_fim(answer: httpx2.Response) -> None:
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in sse(answer) if c["choices"]) == "Hello"


# --- embeddings, rerank, models


def embeddings_base64(answer: httpx2.Response) -> None:
    """The SDK's default: little-endian floats."""
    raw = base64.b64decode(whole(answer)["data"][0]["embedding"], validate=True)
    assert sum(number * number for number in struct.unpack(f"<{len(raw) // 4}f", raw)) == 1.0


def embeddings_floats(answer: httpx2.Response) -> None:
    assert [each["index"] for each in whole(answer)["data"]] == [0, 1]


def langchain_token_arrays(answer: httpx2.Response) -> None:
    """Ids of another vocabulary: wrong vectors in silence would be worse than an error that names the way out."""
    assert answer.status_code == 400
    assert "check_embedding_ctx_length=False" in answer.json()["error"]["message"]


def rerank(answer: httpx2.Response) -> None:
    """Continue reads `data` with its openai provider and `results` with vLLM's."""
    found = whole(answer)
    assert found["data"] == found["results"]
    assert {"index", "relevance_score"} <= set(found["data"][0])


def models_openai(answer: httpx2.Response) -> None:
    found = whole(answer)
    assert found["object"] == "list"
    assert all(model["object"] == "model" and isinstance(model["created"], int) for model in found["data"])


# --- Anthropic and Responses


def named(answer: httpx2.Response) -> Iterator[tuple[str, Any]]:
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text[:300]
    for event in answer.text.removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        yield name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def anthropic_stream(answer: httpx2.Response) -> None:
    """message_start first, blocks by their index, a reason and the tokens before the stop."""
    events = [(name, data) for name, data in named(answer) if name != "ping"]
    assert all(name == data["type"] for name, data in events)
    names = [name for name, _ in events]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    assert events[0][1]["message"]["usage"]["input_tokens"] > 0
    opened = -1
    for name, data in events:
        if name == "content_block_start":
            opened += 1
        if name.startswith("content_block"):
            assert data["index"] == opened
    assert events[-2][1]["delta"]["stop_reason"] in ("end_turn", "tool_use")
    assert events[-2][1]["usage"]["output_tokens"] >= 0


def only_input_tokens(answer: httpx2.Response) -> None:
    assert set(whole(answer)) == {"input_tokens"}


def responses_stream(answer: httpx2.Response) -> None:
    """The SDK's helper (and Codex): created first, `output[output_index]`, numbers without gaps, completed last."""
    events = list(named(answer))
    assert events[0][0] == "response.created"
    assert events[-1][0] == "response.completed"
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    output: list[Any] = []
    for name, data in events:
        if name == "response.output_item.added":
            assert data["output_index"] == len(output)
            output.append(data["item"])
        elif "output_index" in data:
            assert data["output_index"] < len(output)
    final = events[-1][1]["response"]
    needed = {"id", "created_at", "model", "object", "output", "parallel_tool_calls", "tool_choice", "tools"}
    assert needed <= set(final)
    assert [item["id"] for item in final["output"]] == [item["id"] for item in output]


def nothing_wrong(answer: httpx2.Response) -> None:
    assert answer.status_code in (200, 204)


def refused(status: int, words: str) -> Rule:
    """The error of Ollama's or OpenAI's form, with a word that the client looks for."""

    def rule(answer: httpx2.Response) -> None:
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert words in (error if isinstance(error, str) else error["message"])
        assert answer.headers["x-should-retry"] == "false"

    return rule
