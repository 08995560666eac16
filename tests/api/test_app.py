"""The application over fakes: every answer has a documented form, whatever is sent, and nothing runs for nobody."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from api_fakes import FakeEngines, app_with, post
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from localmind.api.anthropic.bodies import MessagesBody
from localmind.api.embeddings import EmbeddingsRequest, RerankRequest
from localmind.api.llamacpp.generate import CompletionBody, InfillRequest
from localmind.api.llamacpp.tokens import TokenizeBody
from localmind.api.native.engine import GenerateRequest
from localmind.api.ollama.embed import EmbedBody
from localmind.api.ollama.forms import ChatBody, GenerateBody
from localmind.api.openai_chat import ChatRequest
from localmind.api.openai_responses.bodies import ResponsesBody
from localmind.api.openai_text import CompletionRequest
from localmind.api.streams import EventStream, ending, native_sse, started
from localmind.errors import ContextTooLong, WorkerDied
from localmind.events import Event, Failed, TextDelta

CHAT = {"messages": [{"role": "user", "content": "hi"}]}


async def test_a_whole_answer() -> None:
    reply = (await post(FakeEngines(), CHAT)).json()
    assert reply["choices"][0]["message"]["content"] == "Hello"
    assert reply["usage"]["total_tokens"] == 5


async def test_a_stream_ends_with_reason_usage_and_done() -> None:
    reply = await post(FakeEngines(), CHAT | {"stream": True, "stream_options": {"include_usage": True}})
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    parsed = [json.loads(line) for line in lines[:-1]]
    assert [c["choices"][0]["delta"].get("content") for c in parsed[:3]] == ["", "Hel", "lo"]
    assert parsed[-2]["choices"][0]["finish_reason"] == "stop"
    assert parsed[-1]["choices"] == []
    assert parsed[-1]["usage"]["completion_tokens"] == 2


async def test_an_error_before_the_first_token_is_a_status_also_for_a_stream() -> None:
    engines = FakeEngines(ContextTooLong("the prompt has 9 tokens and the context holds 8"))
    for body in (CHAT, CHAT | {"stream": True}):
        reply = await post(engines, body)
        assert reply.status_code == 400
        assert reply.json()["error"]["code"] == "context_length_exceeded"
        assert reply.headers["x-should-retry"] == "false"


async def test_an_error_in_mid_stream_is_the_last_event() -> None:
    reply = await post(FakeEngines(TextDelta("Hel"), WorkerDied("killed by SIGSEGV")), CHAT | {"stream": True})
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    assert json.loads(lines[-2])["error"]["code"] == "worker_died"
    assert lines[-1] == "[DONE]"


async def test_an_unforeseen_error_tells_nothing_of_the_inside() -> None:
    reply = await post(FakeEngines(RuntimeError("/secret/path")), CHAT)
    assert reply.status_code == 500
    assert "/secret" not in reply.text
    assert reply.json()["error"]["code"] == "internal_error"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = tuple(ChatRequest.model_fields)


ANY_ENGINE = FakeEngines()
"""For the tests with hundreds of examples."""

ROUTES: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/embeddings": EmbeddingsRequest,
    "/v1/rerank": RerankRequest,
    "/infill": InfillRequest,
    "/localmind/v1/generate": GenerateRequest,
    "/api/chat": ChatBody,
    "/api/generate": GenerateBody,
    "/api/embed": EmbedBody,
    "/v1/messages": MessagesBody,
    "/v1/responses": ResponsesBody,
    "/completion": CompletionBody,
    "/tokenize": TokenizeBody,
}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_route_answers_a_5xx_whatever_its_fields_hold(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(ROUTES)))
    fields = sorted(ROUTES[path].model_fields)
    body = data.draw(st.dictionaries(st.sampled_from(fields), json_values, max_size=6))
    if path == "/v1/chat/completions":
        body.setdefault("messages", CHAT["messages"])
    reply = asyncio.run(post(ANY_ENGINE, body, path))
    assert reply.status_code < 500, reply.text
    if reply.status_code >= 400:
        error = reply.json()["error"]
        assert error if path.startswith("/api/") else error["message"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(st.binary(max_size=60), json_values, st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5))
)
def test_whatever_is_sent_the_answer_is_no_5xx_and_has_the_documented_form(body: Any) -> None:
    if isinstance(body, dict) and "messages" not in body:
        body = CHAT | body
    reply = asyncio.run(post(ANY_ENGINE, body))
    assert reply.status_code < 500
    if reply.status_code >= 400:
        error = reply.json()["error"]
        assert error["message"]
        assert error["type"]
        assert "detail" not in reply.json()


async def test_native_errors_carry_what_our_own_client_needs() -> None:
    reply = await post(FakeEngines(), {"prompt": "Hi", "model": "unknown"}, "/localmind/v1/generate")
    assert reply.status_code == 404
    assert reply.json()["error"]["localmind"] == {
        "error": "ModelNotFound",
        "message": "no model named 'unknown' in the catalog",
        "hint": "localmind models list",
    }


class Generation:
    """Events until it is closed; notes that it was."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def events(self) -> AsyncIterator[Event]:
        try:
            while True:
                yield TextDelta("x")
                await asyncio.sleep(0)
        finally:
            self.closed.set()


async def test_a_client_that_hangs_up_closes_the_generation() -> None:
    generation = Generation()
    response = EventStream(native_sse(await started(generation.events())))
    sent: list[Any] = []
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 5:
            gone.set()

    await response(cast(Any, {"type": "http"}), receive, cast(Any, send))
    assert generation.closed.is_set()


async def test_a_client_that_does_not_read_holds_the_generation_and_not_the_memory() -> None:
    generation = Generation()
    response = EventStream(native_sse(await started(generation.events())))
    blocked = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await blocked.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            blocked.set()
            await asyncio.Event().wait()  # a full socket buffer

    await response(cast(Any, {"type": "http"}), receive, cast(Any, send))
    assert generation.closed.is_set()


async def test_a_failure_becomes_the_last_event() -> None:
    async def failing() -> AsyncIterator[Event]:
        yield TextDelta("a")
        raise WorkerDied("gone")

    events = [event async for event in ending(failing())]
    assert events == [TextDelta("a"), Failed.of(WorkerDied("gone"))]


def test_the_schema_lists_every_route_under_its_dialect() -> None:
    from fastapi import FastAPI

    app = cast(Any, app_with(FakeEngines()))
    while not isinstance(app, FastAPI):
        app = app._app
    paths = set(app.openapi()["paths"])
    own = {"/localmind/v1/ask", "/localmind/v1/search", "/localmind/v1/generate", "/localmind/v1/engine/sequences"}
    assert {"/health", "/metrics", "/infill", "/v1/models", "/v1/chat/completions", "/v1/completions"} | own <= paths
    dialects = ("/v1/", "/api/", "/localmind/v1/")
    llamacpp = {"infill", "completion", "tokenize", "detokenize", "apply-template", "props", "slots", "lora-adapters"}
    assert {path for path in paths if not path.startswith(dialects)} == {
        f"/{name}" for name in {"health", "metrics", *llamacpp}
    }


@pytest.fixture(autouse=True)
def _no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
