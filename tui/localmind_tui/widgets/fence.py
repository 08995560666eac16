"""A code block with its language and a way to copy it. The Markdown widget builds it; `c` on a turn copies too."""

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.events import Click
from textual.message import Message
from textual.widgets import Label, Markdown
from textual.widgets.markdown import MarkdownFence

from localmind.clean import clean_line


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


class Document(Markdown):
    """Markdown of answers: links are shown and never followed, code blocks can be copied."""

    BLOCKS = Markdown.BLOCKS | {"fence": Fence, "code_block": Fence}
