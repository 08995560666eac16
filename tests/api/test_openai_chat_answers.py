"""What the engine says leaves OpenAI's chat completions in the documented form, whole and streamed, errors included."""

import json
from typing import Any

import httpx2
from api_fakes import FakeEngines, post

from localmind.errors import InvalidRequest, QueueFull, WorkerDied
from localmind.events import Done, Event, Logprob, ReasoningDelta, TextDelta, TokenLogprob, ToolCallDelta
from localmind.messages import Timings, Usage

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
CALLS: tuple[Event, ...] = (
    TextDelta("Let me look."),
    ToolCallDelta(0, "call_a", "get_weather", ""),
    ToolCallDelta(0, arguments='{"city":'),
    ToolCallDelta(0, arguments='"Lyon"}'),
    ToolCallDelta(1, "call_b", "get_weather", '{"city":"Graz"}'),
    Done("tool_calls", Usage(30, 20)),
)


def streamed(reply: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


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
