"""What no client sends, on the POST routes of each dialect: refused as 4xx in the dialect's own form, never a crash."""

import json
import random
from typing import Any

import httpx2
import pytest
from api_fakes import FakeEngines, post
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.workers.channel import Call, pack
from localmind.workers.request import Request

CHAT = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}]}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "smollm2:135m", "prompt": "Hi"},
    "/v1/responses": {"model": "smollm2:135m", "input": "Hi"},
    "/v1/embeddings": {"model": "all-minilm", "input": "Hi"},
    "/v1/rerank": {"model": "all-minilm", "query": "Hi", "documents": ["a", "b"]},
    "/api/chat": CHAT | {"stream": False},
    "/api/generate": {"model": "smollm2:135m", "prompt": "Hi", "stream": False},
    "/api/embed": {"model": "all-minilm", "input": "Hi"},
    "/v1/messages": CHAT | {"max_tokens": 8},
    "/v1/messages/count_tokens": CHAT,
    "/completion": {"prompt": "Hi"},
    "/infill": {"input_prefix": "a", "input_suffix": "b"},
    "/tokenize": {"content": "Hi"},
    "/detokenize": {"tokens": [1, 2]},
    "/apply-template": {"messages": CHAT["messages"]},
    "/localmind/v1/generate": {"model": "smollm2:135m", "prompt": "Hi"},
}
"""A body that each route answers."""

NOTHING_REQUIRED = {"/infill", "/tokenize", "/detokenize"}
DEEP = 100_000
NOT_JSON = {
    "arrays in arrays": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"messages":' * DEEP + b"1" + b"}" * DEEP,
    "a wall of brackets": b"[" * DEEP,
    "no UTF-8": b'{"model": "\xff\xfe", "prompt": "\xc3\x28", "messages": []}',
    "NULs": b"\0" * 1000,
    "a NUL in a name": b'{"model": "smollm2:135m", \0"prompt": "x"}',
    "an integer of 5000 digits": b'{"model": 1' + b"0" * 5000 + b"}",
    "nothing": b"",
    "a half": b'{"model": "smollm2',
    "no object": b"1e400",
}


class FakeEnginesThatSend(FakeEngines):
    """As the real ones: what does not fit the worker's protocol is an error here."""

    async def generate(self, spec: Any, request: Request) -> Any:
        pack(Call(1, "generate", request.params()))
        async for event in super().generate(spec, request):
            yield event

    async def ask(self, spec: Any, method: str, **params: Any) -> Any:
        pack(Call(1, method, params))
        return await super().ask(spec, method, **params)

    generate_with_progress = generate


ENGINES = FakeEnginesThatSend()


def refused(path: str, answer: httpx2.Response) -> None:
    assert 400 <= answer.status_code < 500, (path, answer.status_code, answer.text[:300])
    in_its_form(path, answer.json())


def in_its_form(path: str, error: Any) -> None:
    assert "detail" not in error
    assert "Traceback" not in json.dumps(error)
    if path.startswith("/v1/messages"):
        assert error["type"] == "error"
        assert set(error["error"]) == {"type", "message"}
    elif path.startswith("/api/"):
        assert set(error) == {"error"}
        assert isinstance(error["error"], str)
    elif path.startswith(("/v1/", "/localmind/")):
        assert {"message", "type", "param", "code"} <= set(error["error"])
    else:
        assert isinstance(error["error"]["code"], int)
        assert {"message", "type"} <= set(error["error"])


@pytest.mark.parametrize("path", BODIES)
async def test_the_bodies_of_these_tests_are_answered(path: str):
    answer = await post(ENGINES, BODIES[path], path)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", BODIES)
async def test_what_is_not_json_is_refused_in_the_form_of_the_dialect(path: str):
    for what, body in NOT_JSON.items():
        answer = await post(ENGINES, body, path)
        assert 400 <= answer.status_code < 500, (what, answer.status_code)
        refused(path, answer)


@pytest.mark.parametrize("path", BODIES)
async def test_a_hundred_thousand_bytes_of_random_json_are_refused(path: str):
    chance = random.Random(path)
    body = json.dumps(noise(chance, 100_000)).encode()
    assert len(body) > 100_000
    answer = await post(ENGINES, body, path)
    if path in NOTHING_REQUIRED:
        assert answer.status_code == 200  # names it does not know are ignored, as llama-server does
    else:
        refused(path, answer)
    refused(path, await post(ENGINES, {"model": noise(chance, 100_000)}, path))


def noise(chance: random.Random, size: int) -> dict[str, Any]:
    """An object that is at least `size` bytes as JSON."""
    made: dict[str, Any] = {}
    length = 0
    while length < 1.1 * size:
        key = f"{len(made)}" + "".join(chr(chance.randrange(1, 0xD7FF)) for _ in range(chance.randrange(12)))
        made[key] = [chance.random(), chance.randrange(-(10**30), 10**30), key, None, {key: [True, {}]}]
        length += len(json.dumps({key: made[key]}))
    return made


NESTED: Any = "x"
for _ in range(400):
    NESTED = {"type": [NESTED]}
NUMBERS = [float("inf"), float("nan"), 10**400, -(10**400), 2**63, 2**64, -1, True]
TEXTS = ["", "\0", "\ud800", "9" * 5000, "a" * 100_000]
SHAPES = [
    [],
    {},
    [[]],
    [{}],
    [None],
    NESTED,
    [10**400],
    {"\0": 10**400},
    {"type": 10**400},
    {"type": {}},
    {"\ud800": {}},
]
HOSTILE = st.sampled_from([*NUMBERS, *TEXTS, *SHAPES])
ODD = st.recursive(HOSTILE | st.none() | st.integers() | st.floats(), lambda inner: st.lists(inner, max_size=3))
PLACES: list[Any] = [
    lambda odd: {"logit_bias": {"1": odd}},
    lambda odd: {"logit_bias": [[odd, 1], [1, odd]]},
    lambda odd: {"stop": [odd]},
    lambda odd: {"messages": [{"role": "user", "content": odd}]},
    lambda odd: {"messages": [{"role": "user", "content": [{"type": "text", "text": odd}]}]},
    lambda odd: {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": call(odd)}]}]},
    lambda odd: {"tools": [{"type": "function", "function": {"name": "f", "parameters": odd}}]},
    lambda odd: {"tools": [{"name": "f", "input_schema": odd}], "tool_choice": odd},
    lambda odd: {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": odd}}},
    lambda odd: {"response_format": {"type": "json_object", "schema": {"properties": odd}}},
    lambda odd: {"json_schema": {"const": odd}, "chat_template_kwargs": {"x": odd}},
    lambda odd: {"format": {"enum": [odd]}},
    lambda odd: {"options": {"num_ctx": odd, "temperature": odd}},
    lambda odd: {"options": {"stop": odd, "num_predict": odd, "seed": odd}},
    lambda odd: {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"x": odd}}}},
    lambda odd: {"input_extra": [{"filename": odd, "text": odd}]},
    lambda odd: {"input": [{"role": "user", "content": [{"type": "input_text", "text": odd}]}]},
    lambda odd: {"input": [{"type": "function_call_output", "call_id": odd, "output": odd}]},
    lambda odd: {"metadata": {"x": odd}},
    lambda odd: {"thinking": {"type": odd, "budget_tokens": odd}, "system": [{"type": "text", "text": odd}]},
    lambda odd: {"lora": [{"id": odd, "scale": odd}]},
]
"""Where values lie deeper than a field."""


def call(odd: Any) -> dict[str, Any]:
    return {"name": "f", "arguments": {"x": odd}}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
@pytest.mark.parametrize("path", BODIES)
async def test_a_field_that_holds_nonsense_is_answered_or_refused_and_nothing_breaks(path: str, data: st.DataObject):
    fields = await fields_of(path)
    flat = st.dictionaries(st.sampled_from(fields), ODD, min_size=1, max_size=2)
    chosen = data.draw(flat | st.builds(lambda place, odd: place(odd), st.sampled_from(PLACES), ODD))
    answer = await post(ENGINES, json.dumps(BODIES[path] | chosen).encode(), path)
    assert answer.status_code < 500, (path, chosen, answer.text[:300])
    if answer.status_code >= 400:
        refused(path, answer)


KNOWN: dict[str, list[str]] = {}


async def fields_of(path: str) -> list[str]:
    """The names in the route's body, from our own OpenAPI document."""
    if not KNOWN:
        schema = (await post(ENGINES, b"", "/openapi.json", method="GET")).json()
        for each in BODIES:
            body = schema["paths"][each]["post"]["requestBody"]["content"]["application/json"]["schema"]
            shape = schema["components"]["schemas"][body["$ref"].rpartition("/")[2]]
            KNOWN[each] = sorted(shape["properties"])
    return KNOWN[path]
