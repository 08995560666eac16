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
GAP = 2
"""Cells between two parts."""


class Header(Widget):
    """Shows what it is told."""

    thread: reactive[str] = reactive("")
    model: reactive[str] = reactive("")
    folders: reactive[str] = reactive("")
    state: reactive[DaemonState] = reactive("connecting")

    def render(self) -> Content:
        """Where room is short the thread's title is cut first, then the folders go, then the model is cut."""
        width = self.size.width
        name = Content.styled("localmind", "bold $accent")
        state = Content.styled(f"{'◐' if self.state == 'answering' else '●'} {WORDS[self.state]}", STYLES[self.state])
        if self.app.size.width < NARROW:
            return _line(name, Content(self.model), state, width)
        room = max(width - name.cell_length - state.cell_length - 3 * GAP, 0)
        folders = Content.styled(self.folders, "$foreground-muted")
        model = Content(self.model).truncate(room, ellipsis=True)
        if folders.cell_length + GAP + model.cell_length > room:
            folders = Content()
        right = Content(" " * GAP).join(part for part in (folders, model, state) if part.plain)
        return _line(name, Content(self.thread), right, width)


def _line(left: Content, middle: Content, right: Content, width: int) -> Content:
    """`left`, as much of the middle as there is room for, and `right` at the edge."""
    room = width - left.cell_length - right.cell_length - 2 * GAP
    middle = middle.truncate(max(room, 0), ellipsis=True, pad=True)
    return Content(" " * GAP).join((left, middle, right))
