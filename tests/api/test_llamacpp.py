"""llama-server's routes over a fake engine: prompts of every kind, tokens, templates, errors in its form."""

import json
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.errors import ContextTooLong, ShuttingDown, WorkerDied
from localmind.events import Done, Logprob, TextDelta, TokenLogprob
from localmind.messages import Usage

LIKELY = TokenLogprob(Logprob("a", b"a", -0.5, 7), (Logprob("a", b"a", -0.5, 7),))


async def test_a_prompt_is_text_ids_or_a_mixture() -> None:
    engines = FakeEngines()
    await post(engines, {"prompt": "<|fim_prefix|>x"}, "/completion")
    await post(engines, {"prompt": [1, 2]}, "/completion")
    await post(engines, {"prompt": ["a bc", 5]}, "/completion")
    assert [request.prompt for request in engines.asked] == ["<|fim_prefix|>x", None, None]
    assert [request.tokens for request in engines.asked[1:]] == [(1, 2), (1, 2, 5)]


async def test_an_answer_says_what_ended_it() -> None:
    for done, kind, word in (
        (Done("length", Usage(3, 2)), "limit", ""),
        (Done("stop", stop="END"), "word", "END"),
        (Done("stop"), "eos", ""),
    ):
        reply = (await post(FakeEngines(TextDelta("x"), done), {"prompt": "a"}, "/completion")).json()
        assert (reply["content"], reply["stop_type"], reply["stopping_word"]) == ("x", kind, word)


async def test_a_stream_has_content_and_ends_with_stop() -> None:
    text = (await post(FakeEngines(), {"prompt": "a", "stream": True}, "/completion")).text
    parts = [json.loads(line[6:]) for line in text.splitlines() if line]
    assert [(part["content"], part["stop"]) for part in parts] == [("Hel", False), ("lo", False), ("", True)]
    broken = FakeEngines(TextDelta("x"), WorkerDied("killed"))
    text = (await post(broken, {"prompt": "a", "stream": True}, "/completion")).text
    assert json.loads(text.splitlines()[-2][6:])["error"] == {"code": 502, "message": "killed", "type": "server_error"}


async def test_tokens_and_probabilities_are_given_when_asked_for() -> None:
    engines = FakeEngines(TextDelta("a", (LIKELY,)), Done())
    reply = (await post(engines, {"prompt": "x", "n_probs": 1, "return_tokens": True}, "/completion")).json()
    assert reply["tokens"] == [7]
    assert reply["completion_probabilities"][0]["id"] == 7
    assert engines.asked[0].sampling.logprobs == 1


async def test_several_completions_are_a_list() -> None:
    body = {"input_prefix": "a", "n_cmpl": 2, "response_fields": ["content"]}
    assert (await post(FakeEngines(), body, "/infill")).json() == [{"content": "Hello"}] * 2


@pytest.mark.parametrize(
    ("problem", "status", "kind"),
    [
        (
            ContextTooLong("too long", numbers={"n_prompt_tokens": 9, "n_ctx": 8}),
            400,
            "exceed_context_size_error",
        ),
        (ShuttingDown("stopping"), 503, "unavailable_error"),
    ],
)
async def test_errors_have_llama_servers_form(problem: Exception, status: int, kind: str) -> None:
    reply = await post(FakeEngines(problem), {"prompt": "a"}, "/completion")
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["type"]) == (status, status, kind)
    if status == 400:
        assert (error["n_prompt_tokens"], error["n_ctx"]) == (9, 8)


async def test_the_same_numbers_are_in_openais_form() -> None:
    problem = ContextTooLong("too long", numbers={"n_prompt_tokens": 9, "n_ctx": 8})
    body = {"messages": [{"role": "user", "content": "x"}]}
    error = (await post(FakeEngines(problem), body)).json()["error"]
    assert (error["code"], error["n_prompt_tokens"], error["n_ctx"]) == ("context_length_exceeded", 9, 8)


async def test_text_becomes_tokens_and_tokens_text() -> None:
    assert (await post(FakeEngines(), {"content": "a bc"}, "/tokenize")).json() == {"tokens": [1, 2]}
    pieces = (await post(FakeEngines(), {"content": "a bc", "with_pieces": True}, "/tokenize")).json()
    assert pieces == {"tokens": [{"id": 1, "piece": "x"}, {"id": 2, "piece": "xx"}]}
    assert (await post(FakeEngines(), {"tokens": [1, 2]}, "/detokenize")).json() == {"content": "x x"}


async def test_a_conversation_becomes_a_prompt() -> None:
    body: dict[str, Any] = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}
    assert (await post(FakeEngines(), body, "/apply-template")).json() == {"prompt": "<system> s <user> u"}


async def test_the_aliases_without_a_version_are_there() -> None:
    body = {"messages": [{"role": "user", "content": "x"}]}
    assert (await post(FakeEngines(), body, "/chat/completions")).status_code == 200
    assert (await post(FakeEngines(), {"prompt": "x"}, "/completions")).json()["content"] == "Hello"
    assert (await post(FakeEngines(), {"model": "x", "input": "a"}, "/embeddings")).status_code == 200


class FakeAdapters:
    async def listed(self, spec: Any) -> list[dict[str, Any]]:
        return [{"name": "a", "path": "/home/ann/secret/style.gguf"}]


async def test_adapters_are_named_without_the_place_where_they_lie() -> None:
    engines = FakeEngines()
    engines.adapters = FakeAdapters()  # type: ignore[attr-defined]
    answer = await post(engines, b"", "/lora-adapters", method="GET")
    assert answer.json() == [{"id": 0, "path": "style.gguf", "scale": 0.0}]
