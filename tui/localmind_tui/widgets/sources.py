"""The numbered places that an answer was made from. Enter on one asks the app to open it."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from localmind.clean import clean_line
from localmind.events import Passage
from localmind_tui.format import place
from localmind_tui.keymap import bindings


class SourcesView(OptionList):
    """Hidden until it has sources."""

    BINDINGS = bindings("sources")

    @dataclass
    class Opened(Message):
        """The user wants to see this source."""

        passage: Passage

    def __init__(self) -> None:
        super().__init__(markup=False, compact=True)
        self.display = False
        self.border_title = "Sources"
        self.passages: tuple[Passage, ...] = ()

    def show(self, passages: Sequence[Passage], roots: Sequence[str]) -> None:
        """Replace what is listed."""
        self.passages = tuple(passages)
        self.clear_options()
        self.add_options(Option(_line(passage, roots)) for passage in self.passages)
        self.display = bool(self.passages)
        if self.passages:
            self.highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Opened(self.passages[event.option_index]))


def _line(passage: Passage, roots: Sequence[str]) -> Content:
    line = Content.assemble((f"[{passage.number}] ", "$accent"), place(passage, roots))
    heading = clean_line(passage.heading or "")
    return Content.assemble(line, (f"  {heading}", "$text-muted")) if heading else line
