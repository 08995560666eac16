"""How `localmind ask` shows an answer as it comes: raw in a pipe, rendered Markdown on a terminal.

Whatever a model writes is cleaned of what a terminal would obey. rich is imported only when something is
rendered with it.
"""

import os
import re
import sys
import time
from typing import Any, Protocol

from localmind.clean import Cleaner

DRAW_EVERY_S = 0.1
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)


class Shown(Protocol):
    def feed(self, text: str) -> None:
        """The next piece."""

    def end(self) -> None:
        """The answer is whole, or was stopped."""


class Hidden:
    """Nothing is shown while it comes."""

    def feed(self, text: str) -> None:
        pass

    def end(self) -> None:
        pass


class Raw:
    """As the model writes it. Of an answer that never began nothing is written, not even the end of a line."""

    def __init__(self) -> None:
        self._safe = Cleaner()
        self._began = False

    def feed(self, text: str) -> None:
        self._began = True
        sys.stdout.write(self._safe.feed(text))
        sys.stdout.flush()

    def end(self) -> None:
        if self._began:
            sys.stdout.write(self._safe.end() + "\n")
            sys.stdout.flush()
        self._began = False


class Thoughts:
    """What a model thinks before it answers, on stderr: it is no part of the answer. Dim on a terminal."""

    def __init__(self) -> None:
        self._safe = Cleaner()
        self._began = False

    def feed(self, text: str) -> None:
        if not self._began:
            self._began = True
            self._style("2")
        sys.stderr.write(self._safe.feed(text))
        sys.stderr.flush()

    def end(self) -> None:
        if self._began:
            sys.stderr.write(self._safe.end())
            self._style("0")
            sys.stderr.write("\n\n")
            sys.stderr.flush()
        self._began = False

    def _style(self, code: str) -> None:
        if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
            sys.stderr.write(f"\x1b[{code}m")


class Rendered:
    """Markdown, a block at a time: a block that is closed is drawn once and never again, so nothing flickers and
    the scrollback holds each line once. The open block is shown plainly below."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._safe = Cleaner()
        self._open = ""
        self._began = False
        self._drawn_at = 0.0

    def feed(self, text: str) -> None:
        self._live.start()  # the first time; what comes before, on stderr, is not drawn over
        self._open += self._safe.feed(text)
        if cut := closed(self._open):
            self._print(self._open[:cut])
            self._open = self._open[cut:]
        if time.monotonic() - self._drawn_at > DRAW_EVERY_S:
            self._drawn_at = time.monotonic()
            self._live.update(self._tail(), refresh=True)

    def end(self) -> None:
        self._open += self._safe.end()
        if self._live.is_started:
            self._live.update("", refresh=True)
            self._live.stop()
        if self._open.strip():
            self._print(self._open)
        self._open = ""

    def _print(self, block: str) -> None:
        from rich.markdown import Markdown

        if not block.strip():
            return
        if self._began:
            self._console.print()
        self._began = True
        self._console.print(Markdown(block))

    def _tail(self) -> Any:
        from rich.text import Text

        room = max(1, self._console.height - 2)
        return Text("\n".join(self._open.strip("\n").splitlines()[-room:]))


def closed(text: str) -> int:
    """Characters at the beginning of `text` that are whole Markdown blocks: up to the last blank line, or the end of
    a code fence, outside an open fence."""
    fence, cut, position = "", 0, 0
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        position += len(line)
        found = _FENCE.match(line.rstrip("\n"))
        if fence:
            if found and found[1].startswith(fence) and not found[2].strip():
                fence, cut = "", position
        elif found:
            fence = found[1]
        elif not line.strip():
            cut = position
    return cut


def code_of(text: str) -> str | None:
    """The first fenced block of code, without its fence; None when there is none. An open one counts to the end."""
    opening = _FENCE.search(text)
    if opening is None:
        return None
    body = text[opening.end() :].removeprefix("\n")
    for found in _FENCE.finditer(body):
        if found[1].startswith(opening[1]) and not found[2].strip():
            return body[: found.start()].removesuffix("\n")
    return body.removesuffix("\n")
