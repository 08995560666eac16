"""An answer that is done and yet was cut short says so, where its reader looks, and what can be done about it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from localmind.cli.ask import _answer, ask
from localmind.cli.threads import _print_message
from localmind.errors import LocalmindError
from localmind.events import Done, Event, FinishReason, TextDelta
from localmind.messages import Timings, Usage

ROUND = (
    "the answer was ended here, since it was repeating itself\n"
    "hint: ask again, or another model with -m; --max-tokens N lets it go on to that length\n"
)


class FakeClient:
    """A daemon whose answers end for that reason."""

    def __init__(self, reason: FinishReason, usage: Usage | None = None) -> None:
        self._done = Done(reason, usage or Usage(), Timings(decode_ms=2000), "smollm2:135m")

    def post(self, path: str, body: Any = None) -> Any:
        return {"thread": {"id": "3f2a"}, "messages": [{"id": 1}, {"id": 2}]}

    def follow(self, path: str) -> Iterator[Event]:
        yield TextDelta("She is. She is.")
        yield self._done

    def events(self, path: str, body: Any) -> Iterator[Event]:
        return self.follow(path)


def options(*flags: str) -> dict[str, Any]:
    return ask.make_context("ask", ["?", *flags]).params


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("repetition", ROUND),
        ("length", "the answer was cut off at the length limit\n"),
        ("stop", ""),
    ],
)
@pytest.mark.parametrize("flags", [["--raw"], ["--raw", "--no-log"], ["--no-stream", "--raw"]])
def test_why_an_answer_ended_stands_on_stderr_behind_it(
    capsys: pytest.CaptureFixture[str], reason: FinishReason, told: str, flags: list[str]
) -> None:
    _answer(FakeClient(reason), {}, options(*flags))
    assert capsys.readouterr() == ("She is. She is.\n", told)


def test_a_program_reads_it_as_the_finish_reason(capsys: pytest.CaptureFixture[str]) -> None:
    _answer(FakeClient("repetition"), {}, options("--json"))
    assert json.loads(capsys.readouterr().out)["finish_reason"] == "repetition"
    _answer(FakeClient("repetition"), {}, options("--jsonl"))
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["finish_reason"] == "repetition"


def test_it_is_told_where_the_code_that_was_asked_for_did_not_come(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LocalmindError, match="no block of code"):
        _answer(FakeClient("repetition"), {}, options("-x"))
    assert capsys.readouterr() == ("", "She is. She is.\n" + ROUND)


def test_figures_that_nobody_knows_are_not_among_the_stats(capsys: pytest.CaptureFixture[str]) -> None:
    _answer(FakeClient("repetition"), {}, options("--raw", "--stats"))
    assert capsys.readouterr().err.startswith(ROUND + "smollm2:135m · first after ")
    _answer(FakeClient("stop", Usage(9, 2)), {}, options("--raw", "--stats"))
    assert "smollm2:135m · 9 prompt tokens (0 cached) · 2 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("done", "repetition", "  (ended here, since it was repeating itself)\n"),
        ("done", "length", "  (cut off at the length limit)\n"),
        ("done", "stop", ""),
        ("done", None, ""),
        ("stopped", "cancelled", "  (stopped)\n"),
    ],
)
def test_a_thread_that_is_read_again_says_it_too(
    capsys: pytest.CaptureFixture[str], state: str, reason: str | None, told: str
) -> None:
    empty: dict[str, Any] = {"attachments": [], "images": [], "sources": [], "error": None}
    said = {"role": "assistant", "content": "She is.", "state": state, "finish_reason": reason}
    _print_message(said | empty)
    assert capsys.readouterr() == ("  She is.\n\n", told)
