"""Ctrl-C at any moment: nothing is computed for nobody, no traceback, exit code 130."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest

from localmind.cli._errors import INTERRUPTED, reporting
from localmind.cli.ask import _answer, ask
from localmind.errors import DaemonUnreachable, InvalidRequest
from localmind.events import Event, TextDelta


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Who runs the tests may have had Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class FakeClient:
    """A daemon that has just taken a question when Ctrl-C is pressed, so many times."""

    def __init__(self, presses: int, problem: Exception | None = None) -> None:
        self._presses, self._problem = presses, problem
        self.posted: list[str] = []

    def post(self, path: str, body: Any = None) -> Any:
        self.posted.append(path)
        if path == "/turns":
            for _ in range(self._presses):
                os.kill(os.getpid(), signal.SIGINT)
            if self._problem is not None:
                raise self._problem
        return {"thread": {"id": "3f2a"}, "messages": [{"id": 1}, {"id": 2}]}


def options() -> dict[str, Any]:
    return ask.make_context("ask", ["?", "--raw"]).params


def test_a_question_that_was_taken_while_ctrl_c_was_pressed_is_not_answered(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient(1)
    with pytest.raises(KeyboardInterrupt):
        _answer(client, {}, options())
    assert client.posted == ["/turns", "/messages/2/stop"]
    assert "localmind threads show 3f2a" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait_for_the_daemon() -> None:
    client = FakeClient(2)
    with pytest.raises(KeyboardInterrupt):
        _answer(client, {}, options())
    assert client.posted == ["/turns"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_refusal_is_told_although_ctrl_c_was_pressed() -> None:
    with pytest.raises(InvalidRequest):
        _answer(FakeClient(1, InvalidRequest("no")), {}, options())


def test_of_a_daemon_that_goes_away_it_is_said_where_the_answer_is(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient(0)
    client.follow = gone  # type: ignore[attr-defined]
    with pytest.raises(DaemonUnreachable):
        _answer(client, {}, options())
    assert capsys.readouterr() == ("half\n", "what came is kept: localmind threads show 3f2a\n")


def gone(path: str) -> Iterator[Event]:
    yield TextDelta("half")
    raise DaemonUnreachable("the daemon went away")


def test_who_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    client = FakeClient(1)
    with pytest.raises(AttributeError, match="follow"):
        _answer(client, {}, options())


def test_who_leaves_a_prompt_has_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, reporting():
        raise click.Abort
    assert ended.value.code == INTERRUPTED
    assert capsys.readouterr().err == "\ninterrupted\n"


EARLY = """
import sys
class Pressed:
    def find_spec(self, name, path=None, target=None):
        if name == "localmind.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Pressed())
from localmind.__main__ import main
main()
"""


def test_ctrl_c_while_modules_are_loaded_is_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", EARLY, "ask", "?"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (INTERRUPTED, "\ninterrupted\n")
