"""The first line of the screen: thread, folders, model, and how the daemon is. One widget, drawn as a line."""

from typing import Literal

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

DaemonState = Literal["connecting", "ready", "answering", "unreachable"]
WORDS = {"connecting": "connecting", "ready": "ready", "answering": "answering", "unreachable": "daemon away"}
STYLES = {
    "connecting": "$foreground-muted",
    "ready": "$text-success",
    "answering": "$text-accent",
    "unreachable": "$text-error",
}
NARROW = 70
"""Below so many cells there is room for the model and the state only."""


class Header(Widget):
    """Shows what it is told."""

    thread: reactive[str] = reactive("")
    model: reactive[str] = reactive("")
    folders: reactive[str] = reactive("")
    state: reactive[DaemonState] = reactive("connecting")

    def render(self) -> Content:
        narrow, width = self.app.size.width < NARROW, self.size.width
        state = (f"{'◐' if self.state == 'answering' else '●'} {WORDS[self.state]}", STYLES[self.state])
        name = Content.styled("localmind", "bold $accent")
        if narrow:
            return _line(name, Content(self.model), Content.styled(*state), width)
        right = Content("  ").join(
            part for part in (Content.styled(self.folders, "$foreground-muted"), Content(self.model)) if part.plain
        )
        return _line(name, Content(self.thread), Content.assemble(right, "  " if right.plain else "", state), width)


def _line(left: Content, middle: Content, right: Content, width: int) -> Content:
    """`left`, as much of the middle as there is room for, and `right` at the edge."""
    room = width - left.cell_length - right.cell_length - 4
    middle = middle.truncate(max(room, 0), ellipsis=True, pad=True)
    return Content.assemble(left, "  ", middle, "  ", right)
