"""Text completions and infill over a fake engine: what is continued, what comes back."""

import json
import math
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.events import Done, Logprob, TextDelta, TokenLogprob
from localmind.messages import Usage
from localmind.workers.request import Infill

PATH = "/v1/completions"


async def test_a_text_is_continued_as_it_is_and_sixteen_tokens_are_the_default() -> None:
    engines = FakeEngines()
    reply = (await post(engines, {"prompt": "<|fim_prefix|>Once"}, PATH)).json()
    assert engines.asked[0].prompt == "<|fim_prefix|>Once"
    assert engines.asked[0].messages == ()
    assert engines.asked[0].sampling.max_tokens == 16
    assert reply["object"] == "text_completion"
    assert reply["choices"] == [{"text": "Hello", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert reply["usage"]["total_tokens"] == 5


async def test_several_prompts_with_several_choices_are_counted_once_a_prompt() -> None:
    engines = FakeEngines(TextDelta("x"), Done("length", Usage(10, 1)))
    reply = (await post(engines, {"prompt": ["one", [4, 5]], "n": 2, "seed": 1}, PATH)).json()
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    assert [request.prompt for request in engines.asked] == ["one", "one", None, None]
    assert [request.tokens for request in engines.asked] == [None, None, (4, 5), (4, 5)]
    assert [request.sampling.seed for request in engines.asked] == [1, 2, 1, 2]
    assert reply["usage"] == {
        "prompt_tokens": 20,
        "completion_tokens": 4,
        "total_tokens": 24,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


async def test_token_ids_are_one_prompt() -> None:
    engines = FakeEngines()
    await post(engines, {"prompt": [1, 2, 3]}, PATH)
    assert [request.tokens for request in engines.asked] == [(1, 2, 3)]


async def test_a_suffix_makes_it_an_infill() -> None:
    engines = FakeEngines()
    await post(engines, {"prompt": "def f(", "suffix": "return x"}, PATH)
    assert engines.asked[0].infill == Infill("def f(", "return x")
    assert engines.asked[0].prompt is None


async def test_echo_puts_the_prompt_first_and_old_logprobs_are_parallel_lists() -> None:
    first, other = Logprob("Hel", b"Hel", -0.5, 1), Logprob("H", b"H", float("-inf"), 2)
    script = (TextDelta("Hel", (TokenLogprob(first, (first, other)),)), TextDelta("lo"), Done())
    assert (await post(FakeEngines(), {"prompt": "Say ", "echo": True}, PATH)).json()["choices"][0][
        "text"
    ] == "Say Hello"
    choice = (await post(FakeEngines(*script), {"prompt": "x", "logprobs": 2}, PATH)).json()["choices"][0]
    assert choice["logprobs"] == {
        "tokens": ["Hel"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{"Hel": -0.5, "H": -9999.0}],
        "text_offset": [0],
    }


PROMPT = (
    TokenLogprob(Logprob("Sä", "Sä".encode(), math.nan, 5)),
    TokenLogprob(Logprob("y", b"y", -1.5, 6), (Logprob("z", b"z", -0.5, 7),)),
)
SCORED = (TextDelta("Hel", (*PROMPT, TokenLogprob(Logprob("Hel", b"Hel", -0.5, 1)))), TextDelta("lo"), Done())


async def test_echo_with_logprobs_tells_how_likely_the_prompt_was() -> None:
    engines = FakeEngines(*SCORED)
    body = {"prompt": ["Säy"], "echo": True, "logprobs": 1, "max_tokens": 0}
    choice = (await post(engines, body, PATH)).json()["choices"][0]
    assert (engines.asked[0].scored, engines.asked[0].sampling.max_tokens) == (True, 0)
    assert choice["text"] == "SäyHello"
    assert choice["logprobs"] == {
        "tokens": ["Sä", "y", "Hel"],
        "token_logprobs": [None, -1.5, -0.5],
        "top_logprobs": [None, {"z": -0.5}, {}],
        "text_offset": [0, 2, 3],
    }


async def test_a_stream_of_a_scored_prompt_says_the_same_in_pieces() -> None:
    body = {"prompt": "Säy", "echo": True, "logprobs": 1, "stream": True}
    lines = [line[6:] for line in (await post(FakeEngines(*SCORED), body, PATH)).text.splitlines() if line][:-1]
    choices = [json.loads(line)["choices"][0] for line in lines]
    assert [choice["text"] for choice in choices] == ["Säy", "Hel", "lo", ""]
    assert choices[1]["logprobs"]["text_offset"] == [0, 2, 3]


async def test_echo_alone_may_ask_for_nothing_more() -> None:
    engines = FakeEngines(Done("length"))
    choice = (await post(engines, {"prompt": "Say", "echo": True, "max_tokens": 0}, PATH)).json()["choices"][0]
    assert (choice["text"], choice["logprobs"]) == ("Say", None)
    assert engines.asked[0].scored
    await post(engines, {"prompt": "Say", "echo": True}, PATH)
    assert not engines.asked[1].scored


async def test_a_stream_has_pieces_a_reason_usage_and_an_end() -> None:
    body = {"prompt": "x", "stream": True, "stream_options": {"include_usage": True}}
    lines = [line[6:] for line in (await post(FakeEngines(), body, PATH)).text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    parts = [json.loads(line) for line in lines[:-1]]
    assert "".join(part["choices"][0]["text"] for part in parts if part["choices"]) == "Hello"
    assert parts[-2]["choices"][0]["finish_reason"] == "stop"
    assert parts[-1]["usage"]["total_tokens"] == 5


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "empty"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": "x", "best_of": 2}, "best_of"),
        ({"prompt": ["x"] * 200, "n": 2}, "more than 256"),
        ({"prompt": "x", "suffix": "y", "echo": True, "logprobs": 1}, "without a suffix"),
        ({"prompt": [1], "suffix": "y"}, "suffix"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
    ],
)
async def test_what_cannot_be_is_a_400_that_names_it(body: dict[str, Any], named: str) -> None:
    reply = await post(FakeEngines(), body, PATH)
    assert reply.status_code == 400
    assert named in reply.json()["error"]["message"]


async def test_infill_reads_llama_vims_fields_and_answers_only_what_is_wanted() -> None:
    engines = FakeEngines(TextDelta("a + b"), Done("length", Usage(30, 5, 20)))
    body = {
        "id_slot": 0,
        "input_prefix": "def add(a, b):\n",
        "input_suffix": "\n",
        "input_extra": [{"text": "x = 1", "time": 17, "filename": "x.py"}],
        "prompt": "    return ",
        "n_predict": 8,
        "samplers": ["top_k", "top_p", "infill"],
        "t_max_prompt_ms": 500,
        "response_fields": ["content", "timings/prompt_n", "truncated", "nothing/such"],
    }
    reply = await post(engines, body, "/infill")
    assert engines.asked[0].infill == Infill("def add(a, b):\n    return ", "\n", (("x.py", "x = 1"),))
    assert reply.json() == {"content": "a + b", "timings/prompt_n": 10, "truncated": False}


async def test_warming_the_cache_is_work_in_the_background_that_says_nothing() -> None:
    engines = FakeEngines()
    reply = await post(engines, {"input_prefix": "x", "n_predict": 0}, "/infill")
    assert reply.json()["content"] == ""
    assert (engines.asked[0].priority, engines.asked[0].sampling.max_tokens) == ("background", 1)
