"""Models elsewhere: what is sent, what comes back, and what each of a server's faults ends as."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from remote_server import FakeRemote, delta, serving, sse

from localmind.api.cards import remote_card
from localmind.api.ollama.forms import details
from localmind.errors import (
    ContextTooLong,
    InvalidRequest,
    LocalmindError,
    ModelNotFound,
    QueueFull,
    RemoteFailed,
    RemoteUnreachable,
)
from localmind.events import Done, Event, ReasoningDelta, TextDelta, ToolCallDelta
from localmind.messages import Message, ResponseFormat, SamplingParams, Tool, ToolCall, ToolUse, Usage, stated
from localmind.remotes.body import body_of
from localmind.remotes.reading import Reader
from localmind.remotes.remotes import Remotes
from localmind.settings import Remote
from localmind.workers.elsewhere import RemoteModel
from localmind.workers.request import Infill, Request

HELLO = Request(messages=(Message("user", "hi"),))
TEXT = sse(delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo"), delta("stop"))


@contextlib.asynccontextmanager
async def opened(remote: FakeRemote, **settings: Any) -> AsyncIterator[tuple[Remotes, RemoteModel]]:
    async with serving(remote):
        remotes = Remotes({"work": Remote(url=remote.url, key=SecretStr("sesame"), **settings)})
        model = remotes.find("work/org/big")
        assert model is not None
        try:
            yield remotes, model
        finally:
            await remotes.close()


async def events_of(remote: FakeRemote, request: Request = HELLO) -> list[Event]:
    async with opened(remote) as (remotes, model):
        return [event async for event in remotes.generate(model, request)]


async def test_text_reasoning_tools_and_usage_come_through() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ": 1}"}}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}
    data = sse(
        delta(reasoning_content="hm"),
        delta(content="Hi"),
        delta(tool_calls=[call]),
        delta(tool_calls=[more]),
        delta("tool_calls"),
        {"choices": [], "usage": usage},
    )
    pieces = [data[:70], data[70:75], data[75:]]  # cut anywhere
    *found, done = await events_of(FakeRemote(pieces=pieces))
    assert found == [
        ReasoningDelta("hm"),
        TextDelta("Hi"),
        ToolCallDelta(0, "c1", "f", '{"a"'),
        ToolCallDelta(0, "", "", ": 1}"),
    ]
    assert isinstance(done, Done)
    assert (done.finish_reason, done.usage, done.model) == ("tool_calls", Usage(9, 4, 5), "work/org/big")


async def test_the_key_goes_to_its_server_and_a_redirect_is_not_followed() -> None:
    async with serving(FakeRemote(pieces=[TEXT])) as other:
        remote = FakeRemote(status=307, headers={"location": other.url + "/chat/completions"})
        with pytest.raises(RemoteFailed, match=rf"sends us on to 127.0.0.1:{other.port}, where we do not follow"):
            await events_of(remote)
        assert remote.seen[0].headers["authorization"] == "Bearer sesame"
        assert other.seen == []


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, {"error": {"message": "bad key"}}, RemoteFailed, "refuses the key"),
        (404, {"error": {"message": "no such model"}}, ModelNotFound, "no such model"),
        (400, {"error": {"message": "no such field"}}, InvalidRequest, "no such field"),
        (400, {"error": {"message": "too long", "type": "exceed_context_size_error"}}, ContextTooLong, "too long"),
        (422, {"detail": "wrong"}, InvalidRequest, "wrong"),
        (500, "<html>", RemoteFailed, "failed .500."),
    ],
)
async def test_a_refusal_keeps_its_meaning(status: int, body: Any, kind: type[LocalmindError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        await events_of(FakeRemote(status=status, pieces=[json.dumps(body).encode()]))
    assert "sesame" not in f"{caught.value} {caught.value.hint}"


async def test_a_busy_server_says_when_to_come_back() -> None:
    with pytest.raises(QueueFull) as caught:
        await events_of(FakeRemote(status=429, headers={"retry-after": "17"}, pieces=[b"{}"]))
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([sse(delta(content="Hel"), done=False), None], "broke off"),
        ([sse(delta(content="Hel"), done=False)], "broke off in the middle"),
        ([b"data: {nonsense\n\n"], "no JSON"),
        ([b"data: [1]\n\n"], "no object"),
        ([sse({"error": {"message": "cuda is out of memory"}})], "cuda is out of memory"),
    ],
)
async def test_an_answer_that_goes_wrong_is_an_error_and_no_end(pieces: list[bytes | None], words: str) -> None:
    with pytest.raises(RemoteFailed, match=words):
        await events_of(FakeRemote(pieces=pieces))


async def test_nobody_there_is_told_as_that() -> None:
    remotes = Remotes({"work": Remote(url="http://127.0.0.1:1/v1")})
    model = remotes.find("work/m")
    assert model is not None
    with pytest.raises(RemoteUnreachable, match=r"work does not answer at 127\.0\.0\.1:1"):
        async for _ in remotes.generate(model, HELLO):
            pass
    await remotes.close()


async def test_who_stops_reading_hangs_up_over_there() -> None:
    remote = FakeRemote(pieces=[sse(delta(content="Hel"), done=False), TEXT], hold=asyncio.Event())
    async with opened(remote) as (remotes, model):
        async with contextlib.aclosing(remotes.generate(model, HELLO)) as events:
            assert await anext(events) == TextDelta("Hel")
        async with asyncio.timeout(60):
            await remote.hung_up.wait()


async def test_models_are_listed_with_what_the_server_says_of_them() -> None:
    listed = {"data": [{"id": "org/big", "owned_by": "vllm", "max_model_len": 4096}, {"id": "x\x1b[31m"}, {"id": 3}]}
    remote = FakeRemote(listed=listed)
    async with opened(remote, files=True) as (remotes, _):
        await remotes.list_all()
        (model,) = remotes.models()
        assert (model.name, model.context, model.owner, model.reads_files) == ("work/org/big", 4096, "vllm", True)
        assert remotes.status()[0]["problem"] is None
        remote.listed = "nonsense"
        await remotes.list_all()
        assert remotes.status()[0]["problem"] == f"127.0.0.1:{remote.port} sent no list of models"
        assert remotes.find("smollm2:135m") is None
        assert remotes.find("hf.co/org/repo") is None


@pytest.mark.parametrize(
    ("entry", "role", "tools", "parameters"),
    [
        ({"id": "Qwen/Qwen3-32B", "owned_by": "vllm"}, "chat", None, 0),
        ({"id": "nomic-embed-text-v1.5.Q8_0.gguf", "meta": {"n_params": 136727040}}, "embed", None, 136727040),
        ({"id": "BAAI/bge-m3", "capabilities": ["embed"]}, "embed", None, 0),
        ({"id": "bge-m3"}, "embed", None, 0),
        ({"id": "BAAI/bge-reranker-v2-m3"}, "rerank", None, 0),
        ({"id": "whisper-1"}, "speech", None, 0),
        ({"id": "my-own", "type": "embeddings"}, "embed", None, 0),
        ({"id": "embedded-systems-chat", "type": "llm", "capabilities": ["tool_use"]}, "chat", True, 0),
        ({"id": "m", "capabilities": {"completion_chat": True, "function_calling": False}}, "chat", False, 0),
        ({"id": "m", "supported_parameters": ["tools", "top_p"]}, "chat", True, 0),
        ({"id": "m", "meta": {"capabilities": ["completion", "tools"], "n_params": True}}, "chat", True, 0),
        ({"id": "m", "meta": 3, "capabilities": 4, "type": None, "max_model_len": -1}, "chat", None, 0),
    ],
)
async def test_what_a_model_elsewhere_is_for_is_read_or_guessed_and_nothing_else_is_claimed(
    entry: dict[str, Any], role: str, tools: bool | None, parameters: int
) -> None:
    async with opened(FakeRemote(listed={"data": [entry]})) as (remotes, _):
        await remotes.list_all()
        (model,) = remotes.models()
    assert (model.role, model.tools, model.parameters) == (role, tools, parameters)
    card = remote_card(model)
    assert ("tools" in card.capabilities) == (tools is True)
    assert details(card)["parameter_size"] in ("", "136.73M")


async def test_vectors_come_in_their_order_and_of_length_one() -> None:
    rows = [{"index": 1, "embedding": [0.0, 2.0]}, {"index": 0, "embedding": [3.0, 4.0]}]
    answer = json.dumps({"data": rows, "usage": {"prompt_tokens": 5}}).encode()
    async with opened(FakeRemote(pieces=[answer])) as (remotes, model):
        vectors, tokens = await remotes.embed(model, ["a", "b"])
    assert [memoryview(each).cast("f").tolist() for each in vectors] == [pytest.approx([0.6, 0.8]), [0.0, 1.0]]
    assert tokens == 5


async def test_a_body_holds_what_was_asked_and_no_default() -> None:
    async with opened(FakeRemote()) as (_, model):
        route, body = body_of(model, HELLO)
        assert (route, body["messages"]) == ("/chat/completions", [{"role": "user", "content": "hi"}])
        assert set(body) == {"model", "stream", "stream_options", "messages"}
        calls = (ToolCall("c1", "f", "{}"),)
        asked = Request(
            messages=(Message("assistant", "", tool_calls=calls), Message("tool", "3", tool_call_id="c1")),
            sampling=SamplingParams(temperature=0.0, max_tokens=7, stop=("x",), seed=1),
            tools=ToolUse((Tool("f", "does", {"type": "object"}),), "required", "f"),
            format=ResponseFormat(json_schema={"type": "object"}),
            thinking=False,
        )
        _, body = body_of(model, asked)
        assert (body["temperature"], body["max_tokens"], body["stop"], body["seed"]) == (0.0, 7, ["x"], 1)
        assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
        assert body["messages"][1] == {"role": "tool", "content": "3", "tool_call_id": "c1"}
        assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
        same = SamplingParams(top_p=0.95, stated=stated({"temperature": 0.8, "top_p": 0.95, "top_k": None, "seed": 3}))
        sent = body_of(model, Request(messages=HELLO.messages, sampling=same))[1]
        assert (sent["temperature"], sent["top_p"], "top_k" in sent) == (0.8, 0.95, False), (
            "as asked, not as over there"
        )
        assert body_of(model, Request(infill=Infill("a", "b")))[1]["suffix"] == "b"
        for refused in (Request(prompt="x", adapters=(("tone", 1.0),)), Request(format=ResponseFormat(grammar="root"))):
            with pytest.raises(InvalidRequest):
                body_of(model, refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "tool_calls", "function", "index", "usage", "logprobs", "text", "error"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4), st.binary(max_size=20))
def test_whatever_a_server_sends_is_an_event_or_one_clear_error(chunks: list[Any], noise: bytes) -> None:
    reader = Reader("work/m")
    try:
        for payload in (*(json.dumps(chunk).encode() for chunk in chunks), noise):
            list(reader.feed(payload))
        reader.end()
    except RemoteFailed:
        return
