"""Mistral's fill in the middle: a completion's body, a chat's answer."""

import json
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.errors import WorkerDied
from localmind.events import TextDelta
from localmind.workers.request import Infill

ENGINES = FakeEngines()
HELLO = ENGINES.script
BODY = {
    "model": "codestral",
    "prompt": "def f(",
    "suffix": "return x",
    "max_tokens": 9,
    "random_seed": 7,
    "stop": ["\n"],
}


@pytest.fixture
def engines() -> FakeEngines:
    """One for all: making the application takes longer than an answer."""
    ENGINES.script = HELLO
    ENGINES.asked.clear()
    return ENGINES


async def test_the_gap_goes_to_the_engine_and_a_message_comes_back(engines: FakeEngines) -> None:
    answer = (await post(engines, BODY, "/v1/fim/completions")).json()
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["completion_tokens"] == 2
    (asked,) = engines.asked
    assert asked.infill == Infill("def f(", "return x")
    assert (asked.sampling.max_tokens, asked.sampling.seed, asked.sampling.stop) == (9, 7, ("\n",))


async def test_a_stream_has_deltas_and_the_usage_on_the_end(engines: FakeEngines) -> None:
    text = (await post(engines, BODY | {"stream": True}, "/v1/fim/completions")).text
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    chunks = [json.loads(line) for line in lines[:-1]]
    assert lines[-1] == "[DONE]"
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in chunks if each["choices"]) == "Hello"
    assert chunks[-1]["usage"]["total_tokens"] == 5


@pytest.mark.parametrize("suffix", [None, ""])
async def test_without_a_suffix_the_prompt_is_continued(engines: FakeEngines, suffix: str | None) -> None:
    assert (await post(engines, BODY | {"suffix": suffix}, "/v1/fim/completions")).status_code == 200
    assert (engines.asked[0].prompt, engines.asked[0].infill) == ("def f(", None)


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": 1}, {"prompt": "x", "max_tokens": 0}])
async def test_what_cannot_be_continued_is_refused(engines: FakeEngines, body: dict[str, Any]) -> None:
    answer = await post(engines, body, "/v1/fim/completions")
    assert answer.status_code == 400
    assert answer.headers["x-should-retry"] == "false"


async def test_a_worker_that_dies_ends_the_stream_with_an_error_and_done(engines: FakeEngines) -> None:
    engines.script = (TextDelta("x"), WorkerDied("killed"))
    text = (await post(engines, BODY | {"stream": True}, "/v1/fim/completions")).text
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert json.loads(lines[-2])["error"]["message"] == "killed"
    assert lines[-1] == "[DONE]"
