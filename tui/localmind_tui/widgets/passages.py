"""The passages behind an answer as they were read, beside the conversation; made when somebody first wants them."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from localmind.events import Passage
from localmind_tui.widgets.sources import passage_text


class Passages(VerticalScroll):
    """Shows what it is told."""

    DEFAULT_CSS = """
    Passages {
        width: 44;
        border-left: vkey $foreground 15%;
        padding: 1 1 0 2;
        scrollbar-size-vertical: 1;
        color: $text-muted;
    }
    .-narrow Passages { width: 60%; }
    """
    SCOPED_CSS = False
    can_focus = False

    def __init__(self) -> None:
        super().__init__()
        self._text = Static(id="passages-text", markup=False)

    def compose(self) -> ComposeResult:
        yield self._text

    def show(self, passages: Sequence[Passage], roots: Sequence[str]) -> None:
        """These, from the first line on."""
        self._text.update(passage_text(passages, roots) if passages else "No answer has sources yet.")
        self.scroll_home(animate=False)
