"""The app stopped and continued, by its key or by anybody: the terminal is taken once, and given back once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pseudo_terminal import Terminal

LEAVING = """
import asyncio
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tui_fakes import FakeDaemon
import localmind_tui

place = Path(sys.argv[2])


class Slow(FakeDaemon):
    # lets go when it is told to, which is after the terminal was given back
    async def close(self):
        (place / "leaving").touch()
        while not (place / "continued").exists():
            await asyncio.sleep(0.02)
        await super().close()


daemon = Slow(place / "threads.db")
sys.exit(localmind_tui.run(lambda: daemon, memory=place / "tui.json"))
"""


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[Terminal]:
    environ = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", "SSH_TTY": "none"}
    terminal = Terminal([sys.executable, "-c", LEAVING, str(Path(__file__).parent), str(tmp_path)], environ)
    try:
        terminal.wait_for(b"ready")
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize("shell", [False, True], ids=["nobody", "shell"])
def test_one_that_was_stopped_unasked_draws_anew_and_gives_back_the_terminal_it_found(
    leaving: Terminal, tmp_path: Path, shell: bool
) -> None:
    (tmp_path / "continued").touch()
    leaving.press(b"half a thought")
    leaving.wait_for(b"thought")
    for _ in range(2):
        leaving.stop()
        if shell:  # which has the terminal meanwhile
            leaving.cook()
        leaving.seen = b""
        leaving.child.send_signal(signal.SIGCONT)
        leaving.wait_for(b"\x1b[?1049h")
        leaving.wait_for(b"half a thought")
    leaving.press(b" and more")  # which comes key by key: the terminal is raw again
    leaving.wait_for(b"more")
    leaving.press(b"\x11")
    assert b"Traceback" not in leaving.rest()
    assert leaving.child.wait() == 0


@pytest.mark.parametrize("how", [signal.SIGCONT, signal.SIGTSTP])
def test_the_terminal_that_was_given_back_is_not_taken_again(leaving: Terminal, tmp_path: Path, how: int) -> None:
    leaving.press(b"\x11")
    leaving.wait_for(b"\x1b[?1049l")
    while not (tmp_path / "leaving").exists():
        threading.Event().wait(0.02)
    leaving.seen = b""
    if how == signal.SIGTSTP:
        leaving.stop(how)
    leaving.child.send_signal(signal.SIGCONT)
    (tmp_path / "continued").touch()
    assert b"\x1b[?1049h" not in leaving.rest()
    assert leaving.child.wait() == 0


def test_one_that_was_stopped_by_its_key_gives_the_terminal_back_and_takes_it_again(
    leaving: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "continued").touch()
    leaving.press(b"half a thought")
    leaving.wait_for(b"thought")
    leaving.stop(signal.SIGTSTP)
    assert leaving.as_before
    leaving.seen = b""
    leaving.child.send_signal(signal.SIGCONT)
    leaving.wait_for(b"half a thought")
    assert not leaving.as_before
    leaving.press(b"\x11")
    leaving.rest()
    assert leaving.child.wait() == 0
