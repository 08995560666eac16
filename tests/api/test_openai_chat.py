"""OpenAI's chat completions over a fake engine: each field reaches it, and each event leaves in the documented form."""

import json
from typing import Any

import httpx2
import pytest
from api_fakes import FakeEngines, post

from localmind.api.fields import NEVER
from localmind.errors import InvalidRequest, QueueFull, WorkerDied
from localmind.events import Done, Event, Logprob, ReasoningDelta, TextDelta, TokenLogprob, ToolCallDelta
from localmind.messages import Message, ResponseFormat, SamplingParams, Timings, Tool, ToolCall, ToolUse, Usage
from localmind.workers.request import Request

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLS: tuple[Event, ...] = (
    TextDelta("Let me look."),
    ToolCallDelta(0, "call_a", "get_weather", ""),
    ToolCallDelta(0, arguments='{"city":'),
    ToolCallDelta(0, arguments='"Lyon"}'),
    ToolCallDelta(1, "call_b", "get_weather", '{"city":"Graz"}'),
    Done("tool_calls", Usage(30, 20)),
)


async def asked(body: dict[str, Any]) -> Request:
    engines = FakeEngines()
    reply = await post(engines, CHAT | body)
    assert reply.status_code == 200, reply.text
    return engines.asked[0]


async def refused(body: dict[str, Any]) -> str:
    engines = FakeEngines()
    reply = await post(engines, CHAT | body)
    assert reply.status_code == 400, reply.text
    assert not engines.asked
    assert reply.json()["error"]["type"] == "invalid_request_error"
    return str(reply.json()["error"]["message"])


def streamed(reply: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize(
    ("field", "value", "name", "expected"),
    [
        ("temperature", 0, "temperature", 0.0),
        ("top_k", -1, "top_k", 0),
        ("top_p", 0.5, "top_p", 0.5),
        ("min_p", 0.1, "min_p", 0.1),
        ("max_tokens", 7, "max_tokens", 7),
        ("max_tokens", -1, "max_tokens", None),
        ("max_completion_tokens", 8, "max_tokens", 8),
        ("n_predict", 9, "max_tokens", 9),
        ("stop", "END", "stop", ("END",)),
        ("stop", ["a", "b"], "stop", ("a", "b")),
        ("stop", "", "stop", ()),
        ("seed", 5, "seed", 5),
        ("seed", -1, "seed", None),
        ("seed", 2**32 + 3, "seed", 3),
        ("ignore_eos", True, "ignore_eos", True),
        ("min_tokens", 4, "min_tokens", 4),
        ("typical_p", 0.7, "typical_p", 0.7),
        ("typ_p", 0.7, "typical_p", 0.7),
        ("xtc_probability", 0.2, "xtc_probability", 0.2),
        ("xtc_threshold", 0.3, "xtc_threshold", 0.3),
        ("repeat_penalty", 1.3, "repeat_penalty", 1.3),
        ("repetition_penalty", 1.3, "repeat_penalty", 1.3),
        ("repeat_last_n", -1, "repeat_last_n", -1),
        ("presence_penalty", 0.5, "presence_penalty", 0.5),
        ("frequency_penalty", -0.5, "frequency_penalty", -0.5),
        ("dry_multiplier", 0.8, "dry_multiplier", 0.8),
        ("dry_base", 2, "dry_base", 2.0),
        ("dry_allowed_length", 3, "dry_allowed_length", 3),
        ("dry_penalty_last_n", 99, "dry_penalty_last_n", 99),
        ("dry_sequence_breakers", ["x"], "dry_sequence_breakers", ("x",)),
        ("mirostat", 2, "mirostat", 2),
        ("mirostat_tau", 4.5, "mirostat_tau", 4.5),
        ("mirostat_eta", 0.2, "mirostat_eta", 0.2),
        ("logit_bias", {"13": -100, "7": 2.5}, "logit_bias", ((13, -100.0), (7, 2.5))),
        ("logit_bias", [[13, False], ["7", 1]], "logit_bias", ((13, NEVER), (7, 1.0))),
        ("logprobs", True, "logprobs", 0),
        ("logprobs", False, "logprobs", None),
    ],
)
async def test_a_sampling_field_reaches_the_engine(field: str, value: Any, name: str, expected: Any) -> None:
    request = await asked({field: value})
    assert getattr(request.sampling, name) == expected


async def test_what_is_not_given_or_null_stays_at_its_default() -> None:
    nulls = dict.fromkeys(
        ("temperature", "top_p", "stop", "seed", "n", "logprobs", "tools", "response_format", "stream")
    )
    assert (await asked(nulls)).sampling == SamplingParams()
    assert (await asked({})).tools == ToolUse()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"n": 0}, "n:"),
        ({"n": 17}, "n:"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["x"] * 65}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"mirostat": 3}, "mirostat"),
        ({"top_logprobs": 3}, "top_logprobs needs logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"the": 1}}, "'the' is not a token id"),
        ({"logit_bias": {"5": "much"}}, "token 5"),
        ({"logit_bias": [[5, True]]}, "token 5"),
        ({"logit_bias": [5]}, "logit_bias"),
        ({"top_n_sigma": 1}, "top_n_sigma is not supported"),
        ({"dynatemp_range": 0.5}, "dynatemp_range is not supported"),
        ({"priority": "urgent"}, "priority"),
        ({"response_format": {"type": "xml"}}, "'xml'"),
        ({"response_format": {"type": "json_schema"}}, "schema"),
        ({"response_format": {"type": "json_object", "schema": "x"}}, "response_format.schema"),
        ({"response_format": {"type": "json_object"}, "grammar": "root ::= x"}, "exclude each other"),
        ({"response_format": {"type": "json_object"}, "json_schema": {}}, "exclude each other"),
        ({"tools": [{"type": "web_search"}]}, "'web_search'"),
        ({"tools": [{"type": "function", "function": {"name": "bad name"}}]}, "'bad name'"),
        ({"tools": [WEATHER, WEATHER]}, "twice"),
        ({"tools": [WEATHER], "functions": [WEATHER["function"]]}, "exclude each other"),
        ({"tool_choice": "required"}, "no tools"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "'f'"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "wizard"),
        ({"messages": [{"role": "user", "tool_calls": [{"function": {"name": "f"}}]}]}, "assistant"),
        ({"messages": []}, "messages"),
    ],
)
async def test_what_cannot_be_is_a_400_that_names_it(body: dict[str, Any], named: str) -> None:
    assert named in await refused(body)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ("auto", None)),
        ("auto", ("auto", None)),
        ("none", ("none", None)),
        ("required", ("required", None)),
        ({"type": "function", "function": {"name": "get_weather"}}, ("required", "get_weather")),
        ({"type": "function", "name": "get_weather"}, ("required", "get_weather")),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [WEATHER]}},
            ("required", None),
        ),
    ],
)
async def test_a_tool_choice_reaches_the_engine(choice: Any, expected: tuple[str, str | None]) -> None:
    use = (await asked({"tools": [WEATHER], "tool_choice": choice})).tools
    assert (use.choice, use.name) == expected
    assert use.tools == (Tool("get_weather", "Tells the weather.", WEATHER["function"]["parameters"]),)  # type: ignore[index]  # a plain dict
    assert use.parallel == (use.choice != "required"), "who must call is asked for one call, unless it says otherwise"


async def test_several_forced_calls_can_be_asked_for() -> None:
    assert (await asked({"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": True})).tools.parallel


async def test_parallel_calls_can_be_forbidden_and_a_tool_can_be_strict() -> None:
    strict = {"type": "function", "function": {"name": "f", "strict": True}}
    use = (await asked({"tools": [strict], "parallel_tool_calls": False})).tools
    assert use.tools == (Tool("f", strict=True),)
    assert not use.parallel


async def test_functions_of_2023_are_tools_with_one_call() -> None:
    use = (await asked({"functions": [WEATHER["function"]], "function_call": {"name": "get_weather"}})).tools
    assert (use.choice, use.name, use.parallel) == ("required", "get_weather", False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"response_format": {"type": "text"}}, ResponseFormat()),
        ({"response_format": {"type": "json_object"}}, ResponseFormat({})),
        ({"response_format": {"type": "json_object", "schema": {"type": "array"}}}, ResponseFormat({"type": "array"})),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string"}}}},
            ResponseFormat({"type": "string"}),
        ),
        ({"json_schema": {"type": "null"}}, ResponseFormat({"type": "null"})),
        ({"grammar": 'root ::= "x"'}, ResponseFormat(None, 'root ::= "x"')),
    ],
)
async def test_a_wanted_form_reaches_the_engine(body: dict[str, Any], expected: ResponseFormat) -> None:
    assert (await asked(body)).format == expected


@pytest.mark.parametrize(
    ("body", "thinks", "kwargs"),
    [
        ({}, None, {}),
        ({"reasoning_effort": "none"}, False, {}),
        ({"reasoning_effort": "high"}, True, {"reasoning_effort": "high"}),
        ({"enable_thinking": False}, False, {}),
        ({"thinking": {"type": "enabled"}}, True, {}),
        ({"thinking": {"type": "disabled"}, "enable_thinking": True}, True, {}),
        ({"chat_template_kwargs": {"enable_thinking": False, "x": 1}}, False, {"enable_thinking": False, "x": 1}),
    ],
)
async def test_thinking_can_be_switched(body: dict[str, Any], thinks: bool | None, kwargs: dict[str, Any]) -> None:
    request = await asked(body)
    assert request.thinking is thinks
    assert request.template_kwargs == kwargs


async def test_messages_keep_calls_reasoning_and_answers_of_tools() -> None:
    request = await asked(
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
                {"role": "user", "content": "Weather?", "id": 7},
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "I must look.",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                        {"function": {"name": "g", "arguments": {"b": 2}}},
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "rain"},
                {"role": "function", "name": "g", "content": "sun"},
                {"role": "assistant", "function_call": {"name": "h", "arguments": ""}},
            ]
        }
    )
    assert request.messages == (
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message(
            "assistant",
            "",
            reasoning="I must look.",
            tool_calls=(ToolCall("c1", "f", '{"a":1}'), ToolCall("call_1", "g", '{"b": 2}')),
        ),
        Message("tool", "rain", tool_call_id="c1"),
        Message("tool", "sun", name="g"),
        Message("assistant", "", tool_calls=(ToolCall("call_0", "h", "{}"),)),
    )


async def test_tool_calls_in_a_whole_answer() -> None:
    reply = (await post(FakeEngines(*CALLS), CHAT | {"tools": [WEATHER]})).json()
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me look."
    assert choice["message"]["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Lyon"}'}},
        {"id": "call_b", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Graz"}'}},
    ]


async def test_without_text_the_content_beside_calls_is_null() -> None:
    reply = (await post(FakeEngines(*CALLS[1:]), CHAT | {"tools": [WEATHER]})).json()
    assert reply["choices"][0]["message"]["content"] is None


async def test_tool_calls_stream_with_id_and_name_once() -> None:
    parts = streamed(await post(FakeEngines(*CALLS), CHAT | {"tools": [WEATHER], "stream": True}))
    deltas = [part["choices"][0]["delta"] for part in parts]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "Let me look."},
        {
            "tool_calls": [
                {"index": 0, "id": "call_a", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Lyon"}'}}]},
        {
            "tool_calls": [
                {
                    "index": 1,
                    "id": "call_b",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Graz"}'},
                }
            ]
        },
        {},
    ]
    assert parts[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_who_asked_with_functions_gets_a_function_call() -> None:
    script = (*CALLS[1:4], Done("tool_calls", Usage(3, 2)))
    body = CHAT | {"functions": [WEATHER["function"]]}
    choice = (await post(FakeEngines(*script), body)).json()["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "get_weather", "arguments": '{"city":"Lyon"}'}
    parts = streamed(await post(FakeEngines(*script), body | {"stream": True}))
    assert parts[1]["choices"][0]["delta"] == {"function_call": {"name": "get_weather", "arguments": ""}}
    assert parts[-1]["choices"][0]["finish_reason"] == "function_call"


async def test_reasoning_has_a_field_of_its_own() -> None:
    script = (ReasoningDelta("Hm"), ReasoningDelta("m."), TextDelta("42"), Done("stop", Usage(3, 4)))
    message = (await post(FakeEngines(*script), CHAT)).json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hmm.", "42")
    parts = streamed(await post(FakeEngines(*script), CHAT | {"stream": True}))
    assert [part["choices"][0]["delta"] for part in parts[1:3]] == [
        {"reasoning_content": "Hm"},
        {"reasoning_content": "m."},
    ]


async def test_logprobs_have_the_form_of_the_reference_and_no_infinity() -> None:
    chosen = Logprob("é", "é".encode(), -0.25, 9)
    script = (TextDelta("é", (TokenLogprob(chosen, (chosen, Logprob("x", b"x", float("-inf"), 2))),)), Done())
    body = CHAT | {"logprobs": True, "top_logprobs": 2}
    token = {"token": "é", "logprob": -0.25, "bytes": [195, 169], "id": 9}
    other = {"token": "x", "logprob": -9999.0, "bytes": [120], "id": 2}
    expected = {"content": [{**token, "top_logprobs": [token, other]}], "refusal": None}
    engines = FakeEngines(*script)
    assert (await post(engines, body)).json()["choices"][0]["logprobs"] == expected
    assert engines.asked[0].sampling.logprobs == 2
    assert streamed(await post(engines, body | {"stream": True}))[1]["choices"][0]["logprobs"] == expected


async def test_three_choices_are_three_generations_and_the_prompt_counts_once() -> None:
    engines = FakeEngines(TextDelta("a"), Done("stop", Usage(10, 4, 8)))
    reply = (await post(engines, CHAT | {"n": 3, "seed": 7})).json()
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    assert [choice["message"]["content"] for choice in reply["choices"]] == ["a", "a", "a"]
    assert reply["usage"]["prompt_tokens"] == 10
    assert reply["usage"]["completion_tokens"] == 12
    assert [request.sampling.seed for request in engines.asked] == [7, 8, 9]


async def test_choices_stream_under_their_index_and_usage_comes_once() -> None:
    engines = FakeEngines(TextDelta("a"), TextDelta("b"), Done("stop", Usage(10, 2)))
    body = CHAT | {"n": 2, "stream": True, "stream_options": {"include_usage": True}}
    parts = streamed(await post(engines, body))
    for index in (0, 1):
        mine = [part["choices"][0] for part in parts if part["choices"] and part["choices"][0]["index"] == index]
        assert "".join(choice["delta"].get("content", "") for choice in mine) == "ab"
        assert [choice["finish_reason"] for choice in mine if choice["finish_reason"]] == ["stop"]
    assert [part["usage"] for part in parts if part["usage"]] == [parts[-1]["usage"]]
    assert parts[-1]["usage"]["total_tokens"] == 14


async def test_one_failing_choice_is_an_error_and_closes_the_others() -> None:
    engines = FakeEngines(TextDelta("a"), WorkerDied("killed by SIGSEGV"))
    reply = await post(engines, CHAT | {"n": 2})
    assert reply.status_code == 502
    parts = streamed(await post(engines, CHAT | {"n": 2, "stream": True}))
    assert parts[-1]["error"]["code"] == "worker_died"
    assert engines.open == 0


async def test_cached_tokens_and_timings_are_in_every_answer() -> None:
    timings = Timings(1, 200, 1000, 50, drafted_tokens=10, accepted_tokens=6)
    engines = FakeEngines(TextDelta("a"), Done("stop", Usage(120, 50, 100), timings))
    reply = (await post(engines, CHAT)).json()
    assert reply["usage"]["prompt_tokens_details"] == {"cached_tokens": 100}
    told = reply["timings"]
    assert (told["prompt_n"], told["cache_n"], told["prompt_per_second"]) == (20, 100, 100.0)
    assert (told["predicted_n"], told["predicted_ms"], told["predicted_per_second"]) == (50, 1000, 50.0)
    assert (told["queue_ms"], told["parked_ms"], told["draft_n"], told["draft_n_accepted"]) == (1, 50, 10, 6)
    last = streamed(await post(engines, CHAT | {"stream": True}))[-1]
    assert last["timings"] == told


@pytest.mark.parametrize(("field", "header"), [("background", None), (None, "background"), (None, "Background")])
async def test_work_in_the_background_is_said_by_field_or_header(field: str | None, header: str | None) -> None:
    engines = FakeEngines()
    headers = {"x-localmind-priority": header} if header else {}
    reply = await post(engines, CHAT | ({"priority": field} if field else {}), headers=headers)
    assert reply.status_code == 200
    assert engines.asked[0].priority == "background"


async def test_an_unknown_priority_in_the_header_is_a_400() -> None:
    reply = await post(FakeEngines(), CHAT, headers={"x-localmind-priority": "now"})
    assert reply.status_code == 400
    assert "x-localmind-priority" in reply.json()["error"]["message"]


async def test_adapters_are_chosen_by_name_and_scale() -> None:
    assert (await asked({"lora": [{"id": "pirate", "scale": 0.5}]})).adapters == (("pirate", 0.5),)
    assert (await asked({"lora": [{"name": "pirate"}, {"id": 1}]})).adapters == (("pirate", 1.0), ("1", 1.0))


async def test_a_schema_that_the_engine_refuses_is_a_400_also_for_a_stream() -> None:
    engines = FakeEngines(InvalidRequest("schema: 'contains' is not supported"))
    for stream in (False, True):
        reply = await post(engines, CHAT | {"stream": stream, "response_format": {"type": "json_object"}})
        assert reply.status_code == 400
        assert "'contains'" in reply.json()["error"]["message"]


async def test_a_full_queue_is_a_429_that_says_when_to_come_back() -> None:
    full = QueueFull("256 requests wait already")
    full.retry_after_s = 17
    reply = await post(FakeEngines(full), CHAT | {"stream": True})
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "17"
    assert reply.headers["x-should-retry"] == "true"
