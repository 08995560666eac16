"""However a generation ends, each dialect's stream has its last word: an error in its form, a reason, a marker."""

import json
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.errors import (
    ContextTooLong,
    InvalidRequest,
    LocalmindError,
    ModelNotFound,
    QueueFull,
    ShuttingDown,
    WorkerDied,
    WorkerHung,
    row,
)
from localmind.events import Done, Event, TextDelta
from localmind.messages import Usage

CHAT = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
RAW = {"prompt": "Hi", "stream": True}
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": RAW,
    "/v1/fim/completions": RAW | {"suffix": "x"},
    "/v1/responses": {"input": "Hi", "stream": True},
    "/v1/messages": CHAT | {"max_tokens": 9},
    "/api/chat": CHAT,
    "/api/generate": RAW | {"model": "smollm2:135m", "raw": True},
    "/completion": RAW,
    "/infill": {"input_prefix": "a", "input_suffix": "b", "stream": True},
    "/localmind/v1/generate": {"prompt": "Hi"},
}
MARKED = {"/v1/chat/completions", "/v1/completions", "/v1/fim/completions"}
"""Whose clients wait for `[DONE]`."""


ENGINES = FakeEngines()


def saying(*script: Event | Exception) -> FakeEngines:
    """One application for all: making it takes longer than an answer."""
    ENGINES.script = script
    return ENGINES


def last(path: str, text: str) -> Any:
    """The last event that is JSON, and that the stream is whole."""
    if path.startswith("/api/"):
        assert text.endswith("}\n")
        return json.loads(text.splitlines()[-1])
    assert text.endswith("\n\n")
    rows = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert (rows[-1] == "[DONE]") == (path in MARKED)
    return json.loads(rows[-2] if path in MARKED else rows[-1])


def words(path: str, event: Any) -> str:
    """What the error event says, in the form of its dialect."""
    if path == "/v1/responses":
        assert event["type"] == "response.failed"
        assert event["response"]["status"] == "failed"
        return str(event["response"]["error"]["message"])
    if path == "/localmind/v1/generate":
        assert event["type"] == "Failed"
    if path == "/v1/messages":
        assert event["type"] == "error"
    error = event["error"]
    return str(error if path.startswith("/api/") else error["message"])


@pytest.mark.parametrize("path", ROUTES)
async def test_what_breaks_a_stream_is_its_last_word(path: str) -> None:
    for problem in (WorkerDied("killed by SIGSEGV"), WorkerHung("silent"), ShuttingDown("the daemon stops")):
        engines = saying(TextDelta("Hel"), problem)
        reply = await post(engines, ROUTES[path], path)
        assert reply.status_code == 200
        assert problem.message in words(path, last(path, reply.text))
        assert engines.open == 0


@pytest.mark.parametrize("path", ROUTES)
async def test_what_nobody_foresaw_says_nothing_of_the_inside(path: str) -> None:
    reply = await post(saying(TextDelta("Hel"), RuntimeError("/home/ann/secret.py line 7")), ROUTES[path], path)
    assert "secret" not in reply.text
    assert "went wrong" in words(path, last(path, reply.text))


ENDS: dict[str, Any] = {
    "/v1/chat/completions": lambda event: event["choices"][0]["finish_reason"] == "length",
    "/v1/completions": lambda event: event["choices"][0]["finish_reason"] == "length",
    "/v1/fim/completions": lambda event: event["choices"] == [],
    "/v1/responses": lambda event: event["response"]["incomplete_details"] == {"reason": "max_output_tokens"},
    "/v1/messages": lambda event: event["type"] == "message_stop",
    "/api/chat": lambda event: event["done_reason"] == "length",
    "/api/generate": lambda event: event["done_reason"] == "length",
    "/completion": lambda event: event["stop_type"] == "limit",
    "/infill": lambda event: event["stop_type"] == "limit",
    "/localmind/v1/generate": lambda event: event["finish_reason"] == "length",
}


@pytest.mark.parametrize("path", ROUTES)
async def test_an_answer_that_fills_the_context_ends_as_one_that_ran_out(path: str) -> None:
    reply = await post(saying(TextDelta("Hel"), Done("length", Usage(3, 2))), ROUTES[path], path)
    assert ENDS[path](last(path, reply.text)), reply.text


PROBLEMS: list[LocalmindError] = [
    ContextTooLong("too long", numbers={"n_prompt_tokens": 9, "n_ctx": 8}),
    InvalidRequest("it cannot be"),
    ModelNotFound("no such model"),
    QueueFull("full"),
    WorkerDied("killed"),
    ShuttingDown("stopping"),
]


@pytest.mark.parametrize("path", ROUTES)
async def test_what_is_known_at_once_is_a_status_and_says_whether_to_try_again(path: str) -> None:
    for problem in PROBLEMS:
        reply = await post(saying(problem), ROUTES[path], path)
        assert reply.status_code == row(problem).status, (path, problem, reply.text)
        wanted = "true" if row(problem).retry else "false"
        assert reply.headers["x-should-retry"] == wanted
        assert problem.message in reply.text


def test_only_what_may_pass_is_tried_again() -> None:
    assert [row(problem).retry for problem in PROBLEMS] == [False, False, False, True, True, True]
