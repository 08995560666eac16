"""The threads used last, with a mark on those that are being answered or were while nobody looked.

The place is there from the beginning, so that nothing moves; the list in it comes with the first threads, since a list
costs more than all else of the first picture but the question.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Offset
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from localmind.clean import clean_line
from localmind_tui.widgets.lean import Backdrop

TITLE_CELLS = 23


class ThreadList(OptionList):
    """What is in the place."""

    DEFAULT_CSS = """
    ThreadList {
        height: 1fr; border: none; background: transparent; padding: 0; scrollbar-size-vertical: 1;
        & > .option-list--option { text-overflow: ellipsis; text-wrap: nowrap; }
        & > .option-list--option-highlighted { background: transparent; color: $foreground; text-style: none; }
    }
    """
    can_focus = False


class Sidebar(Vertical, Backdrop):
    """Hidden until the user wants it, or there is room for it."""

    class Chosen(Message):
        """The user wants this thread."""

        def __init__(self, thread: str) -> None:
            super().__init__()
            self.thread = thread

    def __init__(self) -> None:
        super().__init__()
        self.list: ThreadList | None = None
        self.titles: dict[str, str] = {}
        """Of the threads that are listed, by their ids, newest first."""
        self._answering: frozenset[str] = frozenset()
        self._unread: set[str] = set()
        self._shown: object = None

    def recall(self, waiting: Iterable[str]) -> None:
        """What was being answered, or not looked at, when another window was closed."""
        self._answering = frozenset(waiting)

    def expect(self, thread: str) -> None:
        """It is being answered and nobody looks any more; it may have ended before the daemon is asked again."""
        self._answering |= {thread}

    @property
    def threads(self) -> tuple[str, ...]:
        return tuple(self.titles)

    @property
    def answering(self) -> list[str]:
        return [each for each in self.titles if each in self._answering]

    @property
    def unread(self) -> list[str]:
        """With an answer that came while nobody looked."""
        return [each for each in self.titles if each in self._unread]

    @property
    def waiting(self) -> set[str]:
        """What another window would have to recall."""
        return {*self.answering, *self.unread}

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
        self.titles = dict(lines)
        if self.list is None:
            self.list = ThreadList(markup=False)
            self.mount(self.list)
        self.list.clear_options()
        for key, title in lines:
            mark = "◐ " if key in answering else "● " if key in self._unread else "  "
            style = "bold $accent" if key == current else "$foreground"
            self.list.add_option(Option(Content.assemble((mark, "$accent"), (_short(title), style)), id=key))
        if not lines:
            self.list.add_option(Option(Content.assemble(("  No threads yet", "$foreground-muted")), disabled=True))
        if current in self.threads:
            self.list.highlighted = self.threads.index(current)

    def rows(self) -> list[tuple[str, Offset]]:
        """The threads in view, each with the first cell of its line on the screen; none while it is hidden."""
        if not self.display or self.list is None:
            return []
        inside = self.list.content_region
        first = inside.offset - Offset(1, round(self.list.scroll_y))
        rows = [(thread, first + Offset(0, at)) for at, thread in enumerate(self.threads)]  # no title wraps
        return [(thread, row) for thread, row in rows if inside.y <= row.y < inside.bottom]

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_id is not None:
            self.post_message(self.Chosen(event.option_id))


def _short(title: str) -> str:
    """What fits in a line beside the mark."""
    return title if cell_len(title) <= TITLE_CELLS else set_cell_size(title, TITLE_CELLS - 1).rstrip() + "…"
