"""How `localmind ask` shows an answer as it comes: raw in a pipe, rendered Markdown on a terminal.

Whatever a model writes is cleaned of what a terminal would obey. rich is imported only when something is
rendered with it.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from localmind.clean import Cleaner
from localmind.cli._output import draws

if TYPE_CHECKING:
    from markdown_it.token import Token
    from rich.console import Console
    from rich.segment import Segment

DRAW_EVERY_S = 0.1


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
        if draws(sys.stderr) and not os.environ.get("NO_COLOR"):
            sys.stderr.write(f"\x1b[{code}m")


class Rendered:
    """Markdown, a block at a time: a block that is closed is drawn once and never again, so nothing flickers and
    the scrollback holds each line once. The end of the open block is shown plainly below."""

    def __init__(self, console: "Console | None" = None, every_s: float = DRAW_EVERY_S) -> None:
        from rich.console import Console
        from rich.live import Live

        from localmind.markdown import markdown_parser

        self._console = console or Console()
        self._every_s = every_s
        # Who sends stderr elsewhere wants it there, also while an answer is drawn.
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stderr=draws(sys.stderr))
        self._parser = markdown_parser()
        self._named: dict[str, Any] = {}  # addresses that links are given by name
        self._safe = Cleaner()
        self._open = ""
        self._began = False
        self._drawn_at = 0.0

    def feed(self, text: str) -> None:
        self._open += self._safe.feed(text)
        if time.monotonic() - self._drawn_at >= self._every_s:
            self._drawn_at = time.monotonic()
            self._draw()

    def end(self) -> None:
        self._open += self._safe.end()
        if self._live.is_started:
            self._live.update("", refresh=True)
            self._live.stop()
        self._print(self._open)
        self._open = ""

    def _draw(self) -> None:
        from localmind.markdown import closed_length

        if not self._live.is_started:  # what comes before the first word, on stderr, is not drawn over
            self._live.start()
            self._console.show_cursor()  # whoever kills us in mid-answer has one
        if cut := closed_length(self._open):
            self._print(self._open[:cut])
            self._open = self._open[cut:]
        self._live.update(self._tail(), refresh=True)

    def _print(self, text: str) -> None:
        """Each block as if it were alone, so that it makes no difference which came together."""
        from rich.markdown import Markdown
        from rich.segment import Segment, Segments

        for block in _outermost(self._parser.parse(text, self._named)):
            shown = Markdown("")
            shown.parsed = block
            rows = _trimmed(self._console.render_lines(shown, pad=False))
            if not rows:
                continue
            line = Segment.line()
            self._console.print(
                Segments([*((line,) if self._began else ()), *(piece for row in rows for piece in (*row, line))]),
                end="",
            )
            self._began = True

    def _tail(self) -> Any:
        from rich.text import Text

        room, width = max(1, self._console.height - 2), self._console.width
        rows = Text(self._open.strip("\n")[-room * width :], overflow="fold").wrap(self._console, width)
        return Text("\n").join(rows[-room:])


def _outermost(tokens: "Sequence[Token]") -> "Iterator[list[Token]]":
    """The tokens of each block that stands in no other."""
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []


def _trimmed(rows: "list[list[Segment]]") -> "list[list[Segment]]":
    """Without the blanks at the ends of rows and the empty rows around them; what a ground makes visible stays."""
    kept = [_stripped(row) for row in rows]
    seen = [number for number, row in enumerate(kept) if row]
    return kept[seen[0] : seen[-1] + 1] if seen else []


def _stripped(row: "list[Segment]") -> "list[Segment]":
    while row and not (row[-1].style and row[-1].style.bgcolor):
        *row, last = row
        if words := last.text.rstrip():
            return [*row, last._replace(text=words)]
    return row


def code_of(text: str) -> str | None:
    """The first fenced block of code, without its fence; None when there is none. An open one counts to the end."""
    from localmind.markdown import code_blocks

    return next((code.removesuffix("\n") for code in code_blocks(text, ["fence"])), None)
