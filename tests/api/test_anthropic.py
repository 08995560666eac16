"""Anthropic's messages over a fake engine: bodies in, events out, in the order that the SDK insists on."""

import json
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.errors import QueueFull, WorkerDied
from localmind.events import Done, Event, ReasoningDelta, TextDelta, ToolCallDelta
from localmind.messages import Message, ResponseFormat, Tool, ToolCall, Usage
from localmind.workers.request import Request

PATH = "/v1/messages"
HI = {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": "hi there"}]}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALLS: tuple[Event, ...] = (
    ReasoningDelta("Hm."),
    TextDelta("Look:"),
    ToolCallDelta(0, "a", "f", '{"x":'),
    ToolCallDelta(0, arguments="1}"),
    ToolCallDelta(1, "b", "g", ""),
    Done("tool_calls", Usage(30, 20, 10)),
)


async def asked(body: dict[str, Any]) -> Request:
    engines = FakeEngines()
    reply = await post(engines, HI | body, PATH + "?beta=true")
    assert reply.status_code == 200, reply.text
    return engines.asked[0]


async def streamed(*script: Event | Exception) -> list[tuple[str, dict[str, Any]]]:
    reply = await post(FakeEngines(*script), HI | {"stream": True}, PATH)
    found = []
    for block in reply.text.strip().split("\n\n"):
        name, _, data = block.partition("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    assert all(name == data["type"] for name, data in found)
    return found


async def test_a_whole_message_has_blocks_a_reason_and_usage_without_the_cached_part() -> None:
    reply = (await post(FakeEngines(*CALLS), HI, PATH)).json()
    assert [block["type"] for block in reply["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert reply["content"][0]["signature"]
    assert reply["content"][2] == {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
    assert reply["content"][3]["input"] == {}
    assert (reply["type"], reply["role"], reply["stop_reason"]) == ("message", "assistant", "tool_use")
    usage = reply["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (20, 10, 20)
    assert "timings" not in reply


async def test_events_open_fill_and_close_one_block_after_the_other() -> None:
    events = await streamed(*CALLS)
    assert [name for name, _ in events] == [
        "message_start", "ping",
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "content_block_start", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert events[0][1]["message"]["usage"]["input_tokens"] == 2, "the prompt is counted before it is answered"
    starts = [data for name, data in events if name == "content_block_start"]
    assert [start["index"] for start in starts] == [0, 1, 2, 3]
    assert [start["content_block"]["type"] for start in starts] == ["thinking", "text", "tool_use", "tool_use"]
    deltas = [data["delta"] for name, data in events if name == "content_block_delta"]
    kinds = ["thinking_delta", "signature_delta", "text_delta", "input_json_delta", "input_json_delta"]
    assert [delta["type"] for delta in deltas] == kinds
    assert deltas[3]["partial_json"] + deltas[4]["partial_json"] == '{"x":1}'
    assert events[-2][1]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2][1]["usage"]["output_tokens"] == 20


@pytest.mark.parametrize(
    ("done", "reason", "stop"),
    [
        (Done("stop"), "end_turn", None),
        (Done("length"), "max_tokens", None),
        (Done("stop", stop="END"), "stop_sequence", "END"),
    ],
)
async def test_the_reason_of_the_end_is_told(done: Done, reason: str, stop: str | None) -> None:
    reply = (await post(FakeEngines(TextDelta("x"), done), HI, PATH)).json()
    assert (reply["stop_reason"], reply["stop_sequence"]) == (reason, stop)


async def test_an_answer_of_nothing_still_has_a_block() -> None:
    assert (await post(FakeEngines(Done()), HI, PATH)).json()["content"] == [{"type": "text", "text": ""}]
    assert [name for name, _ in await streamed(Done())][2:4] == ["content_block_start", "content_block_stop"]


async def test_an_error_in_mid_stream_is_an_error_event() -> None:
    name, data = (await streamed(TextDelta("x"), WorkerDied("killed")))[-1]
    assert (name, data["error"]) == ("error", {"type": "api_error", "message": "killed"})


async def test_errors_have_anthropics_form_and_status() -> None:
    reply = await post(FakeEngines(), HI | {"model": "unknown"}, PATH)
    assert (reply.status_code, reply.json()["type"]) == (404, "error")
    assert reply.json()["error"]["type"] == "not_found_error"
    full = await post(FakeEngines(QueueFull("256 wait")), HI | {"stream": True}, PATH)
    assert (full.status_code, full.json()["error"]["type"]) == (429, "rate_limit_error")
    assert full.headers["x-should-retry"] == "true"


async def test_a_conversation_of_blocks_is_one_of_messages() -> None:
    request = await asked(
        {
            "system": [
                {"type": "text", "text": "x-anthropic-billing-header: cch=1;"},
                {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
            ],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                        {"type": "redacted_thinking", "data": "?"},
                        {"type": "text", "text": "Let me look."},
                        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True},
                        {"type": "text", "text": "And now?"},
                    ],
                },
                {"role": "system", "content": "Hurry."},
            ],
        }
    )
    assert request.messages == (
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message("assistant", "Let me look.", reasoning="Hm.", tool_calls=(ToolCall("t1", "f", '{"a": 1}'),)),
        Message("tool", "Error: no", tool_call_id="t1"),
        Message("user", "And now?"),
        Message("system", "Hurry."),
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ("auto", None, True)),
        ({"type": "any"}, ("required", None, False)),
        ({"type": "tool", "name": "f"}, ("required", "f", False)),
        ({"type": "none"}, ("none", None, True)),
        ({"type": "auto", "disable_parallel_tool_use": True}, ("auto", None, False)),
    ],
)
async def test_tools_are_offered_without_the_services_own(choice: Any, expected: tuple[str, str | None, bool]) -> None:
    own = {"name": "f", "description": "Does.", "input_schema": SCHEMA, "eager_input_streaming": True}
    service = {"type": "web_search_20250305", "name": "web_search"}
    use = (await asked({"tools": [own, service], "tool_choice": choice})).tools
    assert use.tools == (Tool("f", "Does.", SCHEMA),)
    assert (use.choice, use.name, use.parallel) == expected


async def test_limits_stops_thinking_and_a_form_reach_the_engine() -> None:
    request = await asked(
        {
            "stop_sequences": ["END"],
            "temperature": 0.1,
            "top_k": 3,
            "thinking": {"type": "enabled", "budget_tokens": 99},
        }
    )
    assert (request.sampling.max_tokens, request.sampling.stop, request.sampling.top_k) == (50, ("END",), 3)
    assert request.thinking is True
    shaped = await asked({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}})
    assert shaped.format == ResponseFormat(SCHEMA)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "source of type base64"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "video"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "role"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"output_format": {"type": "xml"}}, "json_schema"),
    ],
)
async def test_what_cannot_be_is_a_400_that_names_it(body: dict[str, Any], named: str) -> None:
    reply = await post(FakeEngines(), HI | body, PATH)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert named in reply.json()["error"]["message"]


async def test_counting_says_only_how_many() -> None:
    body = {"model": "x", "messages": HI["messages"], "system": "Be brief now."}
    assert (await post(FakeEngines(), body, PATH + "/count_tokens?beta=true")).json() == {"input_tokens": 5}


async def test_what_claude_code_knocks_on_is_there() -> None:
    assert (await post(FakeEngines(), b"", "/api/hello", method="HEAD")).status_code == 200
    assert (await post(FakeEngines(), {"events": []}, "/api/event_logging/batch")).status_code == 200
