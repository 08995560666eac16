"""The threads used last, with a mark on those that are being answered or were while nobody looked."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from localmind.clean import clean_line

TITLE_CELLS = 23


class Sidebar(OptionList):
    """Hidden until the user wants it, or there is room for it."""

    can_focus = False

    class Chosen(Message):
        """The user wants this thread."""

        def __init__(self, thread: str) -> None:
            super().__init__()
            self.thread = thread

    def __init__(self) -> None:
        super().__init__(markup=False, compact=True)
        self.border_title = "Threads"
        self.threads: tuple[str, ...] = ()
        self._answering: frozenset[str] = frozenset()
        self._unread: set[str] = set()
        self._shown: object = None

    def show(self, threads: Sequence[Mapping[str, Any]], current: str | None) -> None:
        """List them; one that was answering and is not any more has something new."""
        answering = frozenset(str(each["id"]) for each in threads if each.get("answering"))
        self._unread |= self._answering - answering
        self._unread.discard(current or "")
        self._answering = answering
        lines = [(str(each["id"]), clean_line(str(each["title"])) or "Untitled") for each in threads]
        state = (lines, answering, frozenset(self._unread), current)
        if state == self._shown:
            return
        self._shown = state
        self.threads = tuple(key for key, _ in lines)
        self.clear_options()
        for key, title in lines:
            mark = "◐ " if key in answering else "● " if key in self._unread else "  "
            style = "bold $accent" if key == current else "$foreground"
            self.add_option(Option(Content.assemble((mark, "$accent"), (_short(title), style)), id=key))
        if current in self.threads:
            self.highlighted = self.threads.index(current)

    @property
    def busy(self) -> int:
        """Threads that are being answered."""
        return len(self._answering)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_id is not None:
            self.post_message(self.Chosen(event.option_id))


def _short(title: str) -> str:
    """What fits in a line beside the mark."""
    return title if cell_len(title) <= TITLE_CELLS else set_cell_size(title, TITLE_CELLS - 1).rstrip() + "…"
