"""The numbered places that an answer was made from. Enter on one asks the app to open it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from localmind.clean import clean, clean_line
from localmind.events import Passage
from localmind_tui.format import place
from localmind_tui.keymap import bindings


class SourcesView(OptionList):
    """Hidden until it has sources."""

    DEFAULT_CSS = """
    SourcesView {
        height: auto;
        max-height: 8;
        margin: 0 0 0 2;
        padding: 0 1;
        border: round $foreground 20%;
        border-title-color: $text-muted;
        background: transparent;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    SourcesView > .option-list--option-highlighted { background: transparent; color: $foreground; text-style: none; }
    SourcesView:focus > .option-list--option-highlighted {
        background: $block-cursor-background;
        color: $block-cursor-foreground;
    }
    SourcesView:focus { border: round $border; }
    """
    place = "sources"
    BINDINGS = bindings("sources")

    @dataclass
    class Opened(Message):
        """The user wants to see this source, or have its place."""

        passage: Passage
        what: Literal["open", "copy"] = "open"

    @dataclass
    class Marked(Message):
        """The mark is on this source."""

        passage: Passage
        view: "SourcesView"

    def __init__(self) -> None:
        super().__init__(markup=False)
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
        if event.option_index < len(self.passages):  # else others came meanwhile; so below
            self.post_message(self.Opened(self.passages[event.option_index]))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_index < len(self.passages):
            self.post_message(self.Marked(self.passages[event.option_index], self))

    def action_copy_place(self) -> None:
        if self.highlighted is not None:
            self.post_message(self.Opened(self.passages[self.highlighted], "copy"))


def passage_text(passages: Sequence[Passage], roots: Sequence[str]) -> Content:
    """The passages as they were read, one below the other, for the panel."""
    parts: list[Content] = []
    for passage in passages:
        parts.append(Content.assemble((f"[{passage.number}] {place(passage, roots)}\n", "bold $accent")))
        parts.append(Content(clean(passage.text).strip() + "\n\n"))
    return Content("").join(parts)


def _line(passage: Passage, roots: Sequence[str]) -> Content:
    line = Content.assemble((f"[{passage.number}] ", "$accent"), place(passage, roots))
    heading = clean_line(passage.heading or "")
    return Content.assemble(line, (f"  {heading}", "$foreground-muted")) if heading else line
