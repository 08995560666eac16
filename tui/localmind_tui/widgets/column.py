"""Where the conversation stands on the screen, and the order of what stands between it and the question."""

from textual.containers import Horizontal, Vertical
from textual.widget import AwaitMount, Widget

from localmind_tui.widgets.lean import Backdrop


class Middle(Horizontal, Backdrop):
    """Threads, conversation and passages, side by side."""


class Column(Vertical, Backdrop):
    """The conversation over the question. What stands between them at times is mounted when it is first wanted."""

    ORDER = ("Transcript", "Dictation", "Pictures", "Completions", "Composer")

    def hold(self, widget: Widget) -> AwaitMount:
        """Mount one of those between, in its place."""
        below = self.ORDER[self.ORDER.index(type(widget).__name__) + 1 :]
        return self.mount(widget, before=next(each for each in self.children if type(each).__name__ in below))
