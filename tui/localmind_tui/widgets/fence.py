"""Markdown of answers: GitHub's tables and strikes, no HTML, links that are shown and never followed, code to copy.

Loaded when the first answer needs it: the Markdown widget and its parser take as long as the first picture may.
"""

from dataclasses import dataclass

from markdown_it import MarkdownIt
from textual.app import ComposeResult
from textual.events import Click
from textual.message import Message
from textual.widgets import Label, Markdown
from textual.widgets.markdown import MarkdownFence

from localmind.clean import clean_line

MAX_NESTING = 12
"""Quotes within quotes that are still drawn; a hostile text nests thousands."""


class CopyLabel(Label):
    """The line above a code block; a click copies."""

    @dataclass
    class Wanted(Message):
        """Somebody wants the block that this label belongs to."""

        code: str

    def __init__(self, language: str, code: str) -> None:
        super().__init__(f"{language or 'text'} · copy", markup=False, classes="language")
        self._code = code

    def on_click(self, event: Click) -> None:
        event.stop()
        self.post_message(self.Wanted(self._code))


class Fence(MarkdownFence):
    """A fence with a line above it."""

    def compose(self) -> ComposeResult:
        yield CopyLabel(clean_line(self.lexer)[:24], self.code)
        yield from super().compose()


def markdown_parser() -> MarkdownIt:
    """The parser of answers, with bounded nesting and no links made of bare words."""
    return MarkdownIt("gfm-like", {"maxNesting": MAX_NESTING, "linkify": False, "html": False})


class Document(Markdown):
    """Closed blocks of an answer."""

    BLOCKS = Markdown.BLOCKS | {"fence": Fence, "code_block": Fence}

    def __init__(self, text: str | None) -> None:
        super().__init__(text, parser_factory=markdown_parser, open_links=False)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        event.stop()
        self.notify(clean_line(event.href), title="This link leads to", markup=False)
