"""Ollama's API over a fake engine: what its clients send reaches it, and what they parse comes back."""

import json
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.api.ollama.modelfile import parse
from localmind.api.ollama.models import VERSION
from localmind.durations import FOREVER
from localmind.errors import ContextTooLong, InvalidRequest, WorkerDied
from localmind.events import Done, Event, ReasoningDelta, TextDelta, ToolCallDelta
from localmind.messages import Message, ResponseFormat, Timings, ToolCall, Usage
from localmind.models.go_template import to_jinja
from localmind.workers.request import Infill, Request

HI = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALLS: tuple[Event, ...] = (
    ReasoningDelta("Hm."),
    TextDelta("Look:"),
    ToolCallDelta(0, "a", "f", '{"x":'),
    ToolCallDelta(0, arguments="1}"),
    ToolCallDelta(1, "b", "g", "{}"),
    Done("tool_calls", Usage(30, 20), Timings(1, 200, 1000)),
)


async def asked(body: dict[str, Any], path: str = "/api/chat") -> Request:
    engines = FakeEngines()
    reply = await post(engines, body, path)
    assert reply.status_code == 200, reply.text
    return engines.asked[0]


async def lines(script: tuple[Event | Exception, ...], body: dict[str, Any], path: str = "/api/chat") -> list[Any]:
    reply = await post(FakeEngines(*script), body, path)
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert "" not in reply.text.removesuffix("\n").split("\n"), "an empty line is a parse error for half of the clients"
    return [json.loads(each) for each in reply.text.splitlines()]


async def test_a_chat_streams_lines_unless_told_not_to_and_the_last_has_times_in_nanoseconds() -> None:
    first, second, last = await lines((), HI)
    assert (first["message"], first["done"]) == ({"role": "assistant", "content": "Hel"}, False)
    assert second["message"]["content"] == "lo"
    assert (last["message"]["content"], last["done"], last["done_reason"]) == ("", True, "stop")
    for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"):
        assert isinstance(last[name], int)
    assert (last["prompt_eval_count"], last["eval_count"]) == (3, 2)
    whole = (await post(FakeEngines(), HI | {"stream": False}, "/api/chat")).json()
    assert (whole["message"], whole["done"]) == ({"role": "assistant", "content": "Hello"}, True)
    assert whole["model"] == "smollm2:135m"


async def test_each_call_has_a_line_of_its_own_with_arguments_as_an_object() -> None:
    found = await lines(CALLS, HI | {"tools": [TOOL]})
    assert [line["message"].get("thinking") for line in found[:1]] == ["Hm."]
    calls = [line["message"] for line in found if "tool_calls" in line["message"]]
    assert [call["content"] for call in calls] == ["", ""]
    assert [call["tool_calls"] for call in calls] == [
        [{"id": "a", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}],
        [{"id": "b", "function": {"index": 1, "name": "g", "arguments": {}}}],
    ]
    assert list(calls[0]["tool_calls"][0]) == ["id", "function"], "llm.el takes the second key for the function"
    assert found[-1]["done_reason"] == "stop"
    whole = (await post(FakeEngines(*CALLS), HI | {"stream": False}, "/api/chat")).json()["message"]
    assert [call["function"]["name"] for call in whole["tool_calls"]] == ["f", "g"]
    assert (whole["thinking"], whole["content"]) == ("Hm.", "Look:")


async def test_an_error_in_mid_stream_is_the_last_line() -> None:
    found = await lines((TextDelta("Hel"), WorkerDied("killed by SIGSEGV")), HI)
    assert found[-1] == {"error": "killed by SIGSEGV"}


async def test_a_prompt_too_long_is_a_status_with_ollamas_error() -> None:
    reply = await post(FakeEngines(ContextTooLong("9 tokens, and the context holds 8")), HI, "/api/chat")
    assert (reply.status_code, reply.json()) == (400, {"error": "9 tokens, and the context holds 8"})
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_curl_without_a_header_is_understood(content_type: str) -> None:
    reply = await post(FakeEngines(), HI, "/api/chat", headers={"content-type": content_type})
    assert reply.status_code == 200


async def test_a_double_slash_is_one() -> None:
    assert (await post(FakeEngines(), HI, "/api//chat")).status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"format": "json"}, "format", ResponseFormat({})),
        ({"format": ""}, "format", ResponseFormat()),
        ({"format": None}, "format", ResponseFormat()),
        ({"format": {"type": "array"}}, "format", ResponseFormat({"type": "array"})),
        ({"think": True}, "thinking", True),
        ({"think": False}, "thinking", False),
        ({"think": None}, "thinking", None),
        ({"think": "high"}, "template_kwargs", {"reasoning_effort": "high"}),
        ({"keep_alive": 1800}, "keep_alive", 1800.0),
        ({"keep_alive": "5m"}, "keep_alive", 300.0),
        ({"keep_alive": -1}, "keep_alive", FOREVER),
        ({"tools": []}, "tools", Request().tools),
    ],
)
async def test_a_field_of_the_body_reaches_the_engine(body: dict[str, Any], field: str, expected: Any) -> None:
    assert getattr(await asked(HI | body), field) == expected


async def test_options_are_sampling_and_nulls_and_foreign_ones_say_nothing() -> None:
    foreign = {"num_ctx": 131072, "num_gpu": 99, "use_mmap": True, "num_thread": 4, "penalize_newline": False}
    ours = {"temperature": 0.2, "top_k": 5, "num_predict": -1, "seed": 3, "stop": ["x"] * 16, "repeat_penalty": 1.1}
    options = {**foreign, **ours, "top_p": None, "mirostat": 0}
    sampling = (await asked(HI | {"options": options})).sampling
    assert (sampling.temperature, sampling.top_k, sampling.seed, sampling.stop) == (0.2, 5, 3, ("x",) * 16)
    assert (sampling.max_tokens, sampling.repeat_penalty) == (None, 1.1)


async def test_messages_come_in_every_form_that_clients_have() -> None:
    call = {"id": "c1", "type": "function", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}
    text_call = {"function": {"name": "g", "arguments": '{"b":2}'}}
    said = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "Weather?", "images": []},
        {"role": "assistant", "content": None, "thinking": "Hm.", "tool_calls": [call, text_call]},
        {"role": "tool", "tool_name": "f", "content": "rain"},
        {"role": "tool", "content": "sun"},
        {"role": "user"},
    ]
    assert (await asked(HI | {"messages": said})).messages == (
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message(
            "assistant",
            "",
            reasoning="Hm.",
            tool_calls=(ToolCall("c1", "f", '{"a": 1}'), ToolCall("call_1", "g", '{"b":2}')),
        ),
        Message("tool", "rain", name="f"),
        Message("tool", "sun"),
        Message("user", ""),
    )


@pytest.mark.parametrize(("kept", "reason"), [(None, "load"), (0, "unload"), ("0s", "unload"), (-1, "load")])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_nothing_to_say_loads_or_unloads(path: str, kept: Any, reason: str) -> None:
    engines = FakeEngines()
    reply = (await post(engines, {"model": "smollm2:135m", "keep_alive": kept}, path)).json()
    assert (reply["done"], reply["done_reason"]) == (True, reason)
    assert engines.calls[0][0] == reason


async def test_generate_is_a_chat_of_one_message_whose_tokens_come_back() -> None:
    body = {"model": "smollm2:135m", "prompt": "hi there", "system": "Be brief."}
    request = await asked(body, "/api/generate")
    assert request.messages == (Message("system", "Be brief."), Message("user", "hi there"))
    found = await lines((), body, "/api/generate")
    assert [line["response"] for line in found] == ["Hel", "lo", ""]
    assert found[-1]["context"] == [8, 2, 6, 6, 2, 5, 5], "the prompt's words and the answer's"
    again = await asked(body | {"context": [1, 2]}, "/api/generate")
    assert again.tokens == (1, 2, 8, 2, 6, 6, 2, 5)


async def test_generate_in_a_template_of_the_request() -> None:
    body = {"model": "x", "prompt": "hello", "system": "Arr."}
    own = await asked(body | {"template": "{{ .System }}> {{ .Prompt }}"}, "/api/generate")
    assert [message.role for message in own.messages] == ["system", "user"]
    assert own.template == to_jinja("{{ .System }}> {{ .Prompt }}")
    assert (await asked(body, "/api/generate")).template is None


async def test_generate_raw_and_with_a_suffix() -> None:
    raw = await asked({"model": "x", "prompt": "<|fim_prefix|>a", "raw": True}, "/api/generate")
    assert raw.prompt == "<|fim_prefix|>a"
    hole = await asked({"model": "x", "prompt": "def f(", "suffix": "return"}, "/api/generate")
    assert hole.infill == Infill("def f(", "return")


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/api/chat", {"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}, "image 1 is no PNG"),
        ("/api/generate", {"prompt": "x", "images": ["aGk"]}, "not in base64"),
        ("/api/generate", {"prompt": "x", "template": "{{ .Prompt }}{{ .Secret }}"}, "line 1: .Secret"),
        ("/api/chat", {"messages": [{"role": "user", "content": "x"}], "format": "xml"}, "format"),
        ("/api/chat", {"messages": [{"role": "user", "content": "x"}], "keep_alive": "soon"}, "keep_alive"),
        ("/api/chat", {"messages": [{"role": "wizard", "content": "x"}]}, "wizard"),
        ("/api/chat", {"messages": "x"}, "messages"),
        ("/api/create", {"from": "x"}, "model is required"),
        ("/api/create", {"model": "y", "files": {"a": "sha256:0"}}, "files"),
        ("/api/create", {"model": "y", "from": "/tmp/m.gguf"}, "FROM a file"),
        ("/api/create", {"model": "y", "modelfile": "FROM x\nADAPTER y"}, "ADAPTER"),
        ("/api/push", {"model": "x"}, "sends no models"),
    ],
)
async def test_what_cannot_be_is_a_400_in_ollamas_words(path: str, body: dict[str, Any], named: str) -> None:
    reply = await post(FakeEngines(), body if path == "/api/create" else {"model": "x"} | body, path)
    assert reply.status_code == 400
    assert list(reply.json()) == ["error"]
    assert named in reply.json()["error"]


async def test_an_unknown_model_is_not_found_in_ollamas_words() -> None:
    reply = await post(FakeEngines(), HI | {"model": "unknown"}, "/api/chat")
    assert reply.status_code == 404
    assert reply.json()["error"].startswith("model 'unknown' not found")


async def test_the_greeting_and_a_version_of_numbers() -> None:
    greeting = await post(FakeEngines(), b"", "/", method="GET")
    assert greeting.text == "Ollama is running"
    assert (await post(FakeEngines(), b"", "/", method="HEAD")).status_code == 200
    assert (await post(FakeEngines(), b"", "/api/version", method="GET")).json() == {"version": VERSION}
    assert tuple(int(part) for part in VERSION.split(".")) >= (0, 6, 4)


async def test_embeddings_are_lists_and_nothing_has_none() -> None:
    found = (await post(FakeEngines(), {"model": "x", "input": ["a", "b"]}, "/api/embed")).json()
    assert found["embeddings"] == [[0.5, 0.5, 0.5, 0.5]] * 2
    assert found["prompt_eval_count"] == 6
    assert (await post(FakeEngines(), {"model": "x", "input": ""}, "/api/embed")).json()["embeddings"] == []
    old = await post(FakeEngines(), {"model": "x", "prompt": "a"}, "/api/embeddings")
    assert old.json() == {"embedding": [0.5, 0.5, 0.5, 0.5]}


def test_a_modelfile_is_read_line_by_line_and_over_lines() -> None:
    recipe = parse(
        '# mine\nFROM smollm2:135m\n\nPARAMETER temperature 0.2\nparameter stop "</s>"\nPARAMETER stop END\n'
        'SYSTEM """You are\nbrief."""\nMESSAGE user Hello\nMESSAGE assistant """Hi\nthere"""\nLICENSE MIT\n'
    )
    assert recipe.base == "smollm2:135m"
    assert recipe.parameters == {"temperature": 0.2, "stop": ["</s>", "END"]}
    assert recipe.system == "You are\nbrief."
    assert recipe.messages == [Message("user", "Hello"), Message("assistant", "Hi\nthere")]
    assert recipe.licence == ["MIT"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no FROM"),
        ("FROM x\nDANCE now", "line 2"),
        ("FROM x\nMESSAGE wizard hi", "MESSAGE"),
        ("what", "no command"),
    ],
)
def test_a_modelfile_that_cannot_be_says_which_line(text: str, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        parse(text)
