"""Writes docs/tui.svg, the picture of the terminal app in the documentation: a capture of a real terminal.

The app runs in tmux over the daemon of LOCALMIND_HOME, which has to watch samples/ already (`make demo` sees to that).
Questions are typed as a user types them, the last two of them in one thread; what the terminal then shows, colours and
all, becomes the picture.

    python tools/screenshot_tui.py [--out FILE] [--size 120x30] [QUESTION …]
"""

import argparse
import os
import shlex
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
PATIENCE_S = 240.0
"""For an answer on a busy machine of two cores; a quiet one needs ten seconds."""

LEAVING_S = 10.0

QUESTIONS = (
    "Which bus goes to the guest house in Bohinj?",
    "How long does the rye bread bake?",
    "Who builds the hive scale?",
    "What is the licence plate of our car?",
    "When was the boiler last serviced?",
)
TOGETHER = 2
"""Of them the last ones, which stand in one thread; each of the others begins one."""
THEME = TerminalTheme((0x17, 0x19, 0x1C), (0xD6, 0xD3, 0xCB), [(0, 0, 0)] * 8)
"""The background and foreground of the dark theme; the app gives every other colour itself."""


class Tmux:
    """A terminal with a server of its own, so that nobody's windows are touched."""

    def __init__(self, environ: Mapping[str, str], size: tuple[int, int] = (120, 34)) -> None:
        self._name = f"localmind-{uuid.uuid4().hex[:8]}"
        # The desktop's clipboard is left alone (SSH_TTY), and colours are what a modern terminal has.
        ours = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "EDITOR": "true", "SSH_TTY": "none"}
        self._environ = {name: value for name, value in environ.items() if name not in ("NO_COLOR", "TMUX")} | ours
        self._size = size

    def run(self, *arguments: str) -> str:
        command = ["tmux", "-f", "/dev/null", "-L", self._name, *arguments]
        done = subprocess.run(command, env=self._environ, check=True, capture_output=True, text=True, encoding="utf-8")
        return done.stdout

    def start(self, *arguments: str) -> None:
        """The app, and after it a word and the state of the terminal it has left."""
        app = shlex.join([sys.executable, "-P", "-m", "localmind", "chat", *arguments])
        shell = f"export COLORTERM=truecolor; {app}; echo LEFT $?; stty -a; exec cat"
        width, height = (str(each) for each in self._size)
        deadline = time.monotonic() + LEAVING_S
        while True:
            try:
                self.run("new-session", "-d", "-x", width, "-y", height, shell)
                return
            except subprocess.CalledProcessError:  # the server that was killed has not left its socket yet
                if time.monotonic() > deadline:
                    raise
                threading.Event().wait(0.05)

    def type(self, text: str) -> None:
        self.run("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        self.run("send-keys", *keys)

    def screen(self) -> str:
        return self.run("capture-pane", "-p")

    def wait_for(self, what: str | Callable[[str], bool], patience_s: float = PATIENCE_S) -> str:
        """The screen, once it shows a text or passes a test. Raises TimeoutError with what it shows instead."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            shown = self.screen()
            if what in shown if isinstance(what, str) else what(shown):
                return shown
            threading.Event().wait(0.05)
        raise TimeoutError(f"{what} does not come; the screen shows\n{shown}")

    def ask(self, question: str) -> None:
        """Type a question, send it, and wait for the end of the answer: the app is ready and draws nothing any more."""
        self.type(question)
        self.wait_for(question)
        self.press("Enter")

        def answered(shown: str) -> bool:
            lines = shown.splitlines()
            written = [number for number, line in enumerate(lines) if "Ask your files" in line or "Chat, with" in line]
            return bool(written) and "ready" in lines[0] and question not in "\n".join(lines[written[-1] :])

        shown = self.wait_for(answered)
        while True:
            threading.Event().wait(0.6)
            if (again := self.screen()) == shown and answered(again):
                return
            shown = self.wait_for(answered)

    def svg(self, title: str = "localmind chat") -> str:
        """A picture of what the terminal shows, with its colours."""
        drawn = Text.from_ansi(self.run("capture-pane", "-e", "-p").rstrip("\n"))
        drawn.no_wrap = True
        width, height = self._size
        console = Console(record=True, width=width, height=height, file=StringIO(), color_system="truecolor")
        console.print(drawn, overflow="crop", crop=True)
        return console.export_svg(title=title, theme=THEME, unique_id="localmind")

    def app(self) -> int:
        """The process of the app."""
        shell = self.run("list-panes", "-F", "#{pane_pid}").strip()
        found = subprocess.run(["pgrep", "-P", shell], check=True, capture_output=True, text=True).stdout
        return int(found.split()[0])

    def close(self) -> None:
        """As when the window is closed: the app gets SIGHUP."""
        command = ["tmux", "-L", self._name, "kill-server"]
        subprocess.run(command, env=self._environ, check=False, capture_output=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "tui.svg")
    options.add_argument("--size", default="120x30")
    options.add_argument("questions", nargs="*", default=list(QUESTIONS))
    chosen = options.parse_args()
    width, height = (int(part) for part in chosen.size.split("x"))
    terminal = Tmux(os.environ, (width, height))
    try:
        terminal.start()
        terminal.wait_for("ready")
        for number, question in enumerate(chosen.questions, start=1):
            terminal.ask(question)
            if number <= len(chosen.questions) - TOGETHER:
                terminal.press("C-n")
                terminal.wait_for("Ask about what is in")
        svg = terminal.svg()
    finally:
        terminal.close()
    # The paths of whoever takes the picture are nobody's business.
    chosen.out.write_text(svg.replace(str(ROOT), "~"), encoding="utf-8")
    print(chosen.out)


if __name__ == "__main__":
    main()
