"""What is asked of OpenAI's chat completions reaches the engine, field by field, or is refused by name."""

from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.api.fields import NEVER
from localmind.messages import Message, ResponseFormat, SamplingParams, Tool, ToolCall, ToolUse
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
