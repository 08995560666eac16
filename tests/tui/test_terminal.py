"""The app in a real pseudo-terminal: it draws, lends the terminal to an editor, and leaves it as it was."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pseudo_terminal import Terminal

APP = """
import asyncio
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tui_fakes import FakeDaemon
from localmind.events import Done, Passage, Sources, TextDelta
import localmind_tui

place = Path(sys.argv[2])


class Watched(FakeDaemon):
    # says the end of the second answer while the editor has the terminal, and writes down that it was read
    async def follow(self, message_id, after=0):
        async for position, event in super().follow(message_id, after):
            if isinstance(event, Done) and (place.parent / "opened").exists():
                (place.parent / "read").touch()
            yield position, event
            if event == TextDelta("more "):
                while not (place.parent / "opened").exists():
                    await asyncio.sleep(0.02)
                self.say(TextDelta("and the end"), Done())


daemon = Watched(place.parent / "threads.db")
source = Passage(1, sys.argv[2], 7, 9, None, None, "", 0.5)
daemon.say(Sources((source,)), TextDelta("The answer is forty-two."), Done(), TextDelta("more "))
sys.exit(localmind_tui.run(lambda: daemon, memory=place.parent / "tui.json"))
"""


def test_a_question_an_editor_and_the_way_out_in_a_real_terminal(tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    note.write_text("x\n" * 20)
    editor = tmp_path / "my-editor"
    editor.write_text(
        "#!/bin/sh\necho EDITOR-IS-HERE\n"
        'case "$1" in *question.md) grep -q "^draft$" "$1" && echo "written elsewhere" > "$1"; exit;; esac\n'
        f'echo "$@" > {tmp_path}/opened\nuntil [ -e {tmp_path}/read ]; do sleep 0.05; done\n'
    )
    editor.chmod(0o755)
    environ = os.environ | {"EDITOR": str(editor), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    environ.pop("VISUAL", None)
    terminal = Terminal([sys.executable, "-c", APP, str(Path(__file__).parent), str(note)], environ)
    try:
        terminal.wait_for(b"ready")
        terminal.press(b"draft")
        terminal.wait_for(b"draft")
        terminal.press(b"\x07")  # Ctrl+G
        terminal.wait_for(b"written elsewhere")
        terminal.press(b"\r")
        terminal.wait_for(b"note.md:7-9")
        terminal.wait_for(b"ready")
        terminal.press(b"again\r")
        terminal.wait_for(b"more")
        terminal.press(b"\x0f\r")  # Ctrl+O and, with no pause, Enter
        terminal.wait_for(b"EDITOR-IS-HERE")  # it ends when the answer was read to its end behind it
        terminal.seen = terminal.seen.partition(b"EDITOR-IS-HERE")[2]
        terminal.wait_for(b"and the end")  # drawn when the editor is done
        assert (tmp_path / "opened").read_text() == f"+7 {note}\n"
        terminal.press(b"\x11")  # Ctrl+Q
        left = terminal.rest()
        assert terminal.child.wait() == 0
        assert b"\x1b[?1049l" in left  # the alternate screen is given back
        assert b"Traceback" not in left
    finally:
        terminal.close()


CRASHING = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tui_fakes import FakeDaemon
import localmind_tui


class Broken(FakeDaemon):
    async def begin(self, question, **more):
        raise RuntimeError("a bug of ours")


daemon = Broken(Path(sys.argv[2]).parent / "threads.db")
sys.exit(localmind_tui.run(lambda: daemon, memory=Path(sys.argv[2]).parent / "tui.json"))
"""


def test_a_bug_ends_the_app_with_its_traceback_on_a_terminal_that_was_given_back(tmp_path: Path) -> None:
    environ = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", "SSH_TTY": "none"}
    terminal = Terminal([sys.executable, "-c", CRASHING, str(Path(__file__).parent), str(tmp_path / "x")], environ)
    try:
        terminal.wait_for(b"ready")
        terminal.press(b"what is lost?\r")
        left = terminal.rest()
        assert terminal.child.wait() == 1
        assert b"a bug of ours" in left.partition(b"\x1b[?1049l")[2]
        assert json.loads((tmp_path / "tui.json").read_text())["drafts"] == {"": "what is lost?"}
    finally:
        terminal.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, b"\x03\x03"])
def test_however_it_is_left_the_draft_is_kept_and_the_terminal_given_back(tmp_path: Path, how: int | bytes) -> None:
    environ = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", "SSH_TTY": "none"}
    note = tmp_path / "note.md"
    note.write_text("x")
    terminal = Terminal([sys.executable, "-c", APP, str(Path(__file__).parent), str(note)], environ)
    try:
        terminal.wait_for(b"ready")
        terminal.press(b"half a thought")
        terminal.wait_for(b"thought")
        if isinstance(how, bytes):
            terminal.press(how)
        else:
            terminal.child.send_signal(how)
        left = terminal.rest()
        assert terminal.child.wait() == 0
        for given_back in (
            b"\x1b[?1049l",
            b"\x1b[?25h",
            b"\x1b[?1000l",
            b"\x1b[?2004l",
        ):  # screen, cursor, mouse, paste
            assert given_back in left
        assert b"Traceback" not in left
        assert json.loads((tmp_path / "tui.json").read_text())["drafts"] == {"": "half a thought"}
    finally:
        terminal.close()


TALKING = """
import asyncio
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tui_fakes import FakeDaemon
from localmind.events import TextDelta
import localmind_tui

place = Path(sys.argv[2])


class Talking(FakeDaemon):
    # says a word and then another, for as long as it is followed, and writes down how many
    async def follow(self, message_id, after=0):
        self.say(TextDelta("word "))
        count = 0
        async for each in super().follow(message_id, after):
            yield each
            count += 1
            with open(place / "said", "a") as said:
                said.write(".")
            await asyncio.sleep(0.05)
            self.say(TextDelta(f"word {count}\\n\\n"))


daemon = Talking(place / "threads.db")
sys.exit(localmind_tui.run(lambda: daemon, memory=place / "tui.json"))
"""


def test_a_window_that_is_closed_in_mid_answer_holds_nothing_up(tmp_path: Path) -> None:
    environ = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", "SSH_TTY": "none"}
    screen, inside = pty.openpty()
    argv = [sys.executable, "-c", TALKING, str(Path(__file__).parent), str(tmp_path)]
    child = subprocess.Popen(argv, stdin=inside, stdout=inside, stderr=inside, env=environ)
    os.close(inside)
    try:
        seen = b""
        while b"ready" not in seen:
            seen += os.read(screen, 65536)
        os.write(screen, b"go\r")
        while b"word" not in seen:
            seen += os.read(screen, 65536)
        os.write(screen, b"half a thought")
        while b"thought" not in seen:
            seen += os.read(screen, 65536)
        os.close(screen)
        closed = (tmp_path / "said").stat().st_size
        deadline = time.monotonic() + 120
        while (tmp_path / "said").stat().st_size < closed + 150:  # it is drawn on all the while, for nobody
            assert time.monotonic() < deadline, "the app waits for its terminal"
            threading.Event().wait(0.05)
        child.send_signal(signal.SIGHUP)
        assert child.wait(120) == 0
        assert "half a thought" in json.loads((tmp_path / "tui.json").read_text())["drafts"].values()
    finally:
        child.kill()
        child.wait()


def test_a_terminal_of_16_colours_in_a_storm_of_sizes_and_with_a_megabyte_pasted_goes_on(tmp_path: Path) -> None:
    environ = os.environ | {"TERM": "linux", "COLUMNS": "100", "LINES": "30", "SSH_TTY": "none"}
    environ.pop("COLORTERM", None)
    note = tmp_path / "note.md"
    note.write_text("x")
    terminal = Terminal([sys.executable, "-c", APP, str(Path(__file__).parent), str(note)], environ)
    try:
        terminal.wait_for(b"ready")
        before = terminal.seen
        for number in range(120):
            terminal.resize(20 + number * 7 % 200, 1 + number * 5 % 70)
        terminal.resize(100, 30)
        terminal.press(b"\x1b[200~" + b"line of text\n" * 80_000 + b"\x1b[201~")
        terminal.wait_for(b"80,001 lines")
        terminal.press(b"and on")
        terminal.wait_for(b"on")
        terminal.press(b"\x11")
        left = terminal.rest()
        assert terminal.child.wait() == 0
        assert b"Traceback" not in left
        assert not re.search(rb"\x1b\[[0-9;]*[34]8;[25];", before + left)  # no colour that this terminal has not got
        draft = json.loads((tmp_path / "tui.json").read_text())["drafts"][""]
        assert draft == "[pasted 1: 80,001 lines] and on"
    finally:
        terminal.close()


def test_with_no_color_a_screen_of_4k_is_drawn_to_its_edges_without_any(tmp_path: Path) -> None:
    more = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "SSH_TTY": "none", "NO_COLOR": "1"}
    note = tmp_path / "note.md"
    note.write_text("x")
    environ = os.environ | more | {"COLUMNS": "380", "LINES": "100"}
    terminal = Terminal([sys.executable, "-c", APP, str(Path(__file__).parent), str(note)], environ)
    try:
        terminal.wait_for(b"ready")
        drawn = terminal.seen
        terminal.press(b"go\r")
        terminal.wait_for(b"forty-two")
        drawn += terminal.seen
        terminal.press(b"\x11")
        left = terminal.rest()
        assert terminal.child.wait() == 0
        assert b"Traceback" not in left
        assert re.search(rb"\x1b\[100;\d+H", drawn)  # the last row
        assert "─".encode() * 300 in drawn
        codes = {code for found in re.findall(rb"\x1b\[([\d;]*)m", drawn + left) for code in found.split(b";") if code}
        assert b"1" in codes  # bold stays
        assert not codes - {b"0", b"1", b"2", b"3", b"4", b"7", b"9"}  # no colour, not even a grey
    finally:
        terminal.close()
