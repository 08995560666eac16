"""What a model thinks before it answers: a line that says for how long, and the words below it when they are wanted.

The line changes once a second. The words are one text that is laid out as a whole, so while they grow they are drawn
as often as an answer's open block may be, by what it takes.
"""

import time

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from localmind.clean import Cleaner, clean
from localmind.counted import counted
from localmind_tui.widgets.lean import Backdrop
from localmind_tui.widgets.stream import FASTEST_S, pause


class ThoughtsView(Vertical, Backdrop):
    """Made for a turn that has some. `fold` shows and hides the words."""

    DEFAULT_CSS = """
    ThoughtsView { height: auto; }
    ThoughtsView .thinking { padding: 0 2; margin: 0 0 1 0; color: $text-muted; text-style: italic; }
    ThoughtsView .thoughts { padding: 0 4; margin: 0 0 1 0; color: $text-muted; }
    """

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.text = clean(text)
        self._cleaner = Cleaner()
        self._began_at: float | None = None
        self._took: float | None = None
        self._words = Static(classes="thoughts", markup=False)
        self._words.display = False
        self._head = Static(self._heading(), classes="thinking", markup=False)
        self._scheduled = False
        self._delay = FASTEST_S
        self._used = time.process_time()  # at the drawing before

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._words

    def feed(self, piece: str) -> None:
        """The next piece, while the model thinks."""
        if self._began_at is None:
            self._began_at = time.monotonic()
        self.text += self._cleaner.feed(piece)
        self._tell()
        if self._words.display and not self._scheduled:
            self._scheduled = True
            self.set_timer(self._delay, self._flush)

    def end(self) -> None:
        """It has thought, and answers."""
        if self._began_at is not None:
            self._took, self._began_at = time.monotonic() - self._began_at, None
            self.text += self._cleaner.end()
            self._draw()

    def replace(self, text: str) -> None:
        """The daemon knows better."""
        self.end()
        self.text, self._cleaner = clean(text), Cleaner()
        self._draw()

    def fold(self) -> None:
        self._words.display = not self._words.display
        self._draw()

    def _flush(self) -> None:
        self._scheduled = False
        # Laying out comes after an update, so it is charged with all that is used until the next.
        used = time.process_time()
        self._delay, self._used = pause(used - self._used), used
        self._draw()

    def _draw(self) -> None:
        self._tell()
        if self._words.display:
            self._words.update(self.text)

    def _tell(self) -> None:
        if (words := self._heading()) != str(self._head.content):
            self._head.update(words)

    def _heading(self) -> str:
        arrow = "▾" if self._words.display else "▸"
        if self._began_at is not None:
            return f"{arrow} Thinking, {time.monotonic() - self._began_at:.0f} s"
        if self._took is not None:
            return f"{arrow} Thought for {self._took:.0f} s" if self._took >= 1 else f"{arrow} Thought"
        return f"{arrow} Thoughts, {counted(len(self.text.split()), 'word')}"
