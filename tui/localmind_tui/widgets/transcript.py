"""The conversation, oldest first, following its end until the user scrolls up.

Of a long thread only a window is here; lines at its ends say how many turns are above and below, and reaching one
asks for more. The screen fetches them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from localmind.counted import counted
from localmind_tui.widgets.lean import Backdrop

if TYPE_CHECKING:
    from localmind_tui.said import Exchange
    from localmind_tui.widgets.turn import TurnView


MORE = 4
"""Turns that are opened at an end that is reached."""


class Beyond(Static):
    """How many turns there are before the first one here, or behind the last; made when there are some."""

    DEFAULT_CSS = "Beyond { color: $text-muted; text-align: center; margin: 0 0 1 0; }"


class Turns(Vertical, Backdrop):
    """All that is scrolled."""


class Transcript(VerticalScroll, Backdrop):
    """Holds the turns."""

    can_focus = False  # Tab goes from the composer to the turns; the page keys scroll from anywhere

    class MoreWanted(Message):
        """The user has come to an end of what is here; these turns of the thread are the next."""

        def __init__(self, start: int, count: int, shown: int) -> None:
            super().__init__()
            self.start, self.count = start, count
            self.shown = shown
            """The transcript's count when they were wanted: others may be shown when they come."""

    def __init__(self) -> None:
        super().__init__()
        self.above = self.below = 0
        self.shown = 0
        """How often other turns were shown in place of those before."""
        self._asking = False
        self._welcome = Static(id="welcome", markup=False)

    def compose(self) -> ComposeResult:
        # An anchored container that is not full scrolls to a negative place (Textual 8.2), so its content fills it.
        with Turns(id="turns"):
            yield self._welcome

    def on_mount(self) -> None:
        self.anchor()

    @property
    def turns(self) -> "list[TurnView]":
        return list(self.query("TurnView").results())  # type: ignore[arg-type]

    async def show(
        self, exchanges: "Sequence[Exchange]", roots: Sequence[str], *, above: int = 0, below: int = 0
    ) -> None:
        """These turns and no others, with the last one in view, or the first one while there are more below."""
        self.shown += 1
        self.above = self.below = 0  # nothing of it is asked for before its own ends are known
        with self.app.batch_update():
            await self.query("TurnView").remove()
            self._welcome.display = not exchanges
            if exchanges:
                await self._add(_views(exchanges, roots))
        await self._set_ends(above, below)
        self.anchor(not below)
        self.call_after_refresh(self.fill)

    async def prepend(self, exchanges: "Sequence[Exchange]", roots: Sequence[str], *, above: int) -> None:
        """Earlier turns above those that are here; what is in view stays where it is."""
        before = self.virtual_size.height
        with self.app.batch_update():
            await self.query_one(Turns).mount(*_views(exchanges, roots), after=self.query_one("#above"))
        await self._set_ends(above, self.below)

        def keep_view() -> None:
            self.scroll_to(y=self.scroll_y + self.virtual_size.height - before, animate=False, immediate=True)
            self._asking = False
            self.fill()

        self.call_after_refresh(keep_view)

    async def append(self, exchanges: "Sequence[Exchange]", roots: Sequence[str], *, below: int) -> None:
        """Later turns below those that are here; what is in view stays where it is."""
        with self.app.batch_update():
            await self._add(_views(exchanges, roots))
        await self._set_ends(self.above, below)
        if not below:
            self.anchor()
            self.release_anchor()  # it is taken again when the user comes to the end
        self.call_after_refresh(self.fill)

    async def _add(self, turns: "Sequence[TurnView]") -> None:
        below = self.query("#below")
        await self.query_one(Turns).mount(*turns, before=below.first() if below else None)

    async def begin(self, exchange: "Exchange", roots: Sequence[str]) -> "TurnView":
        """A new turn at the end, in view."""
        (turn,) = _views([exchange], roots)
        self._welcome.display = False
        await self._add([turn])
        self.anchor()
        return turn

    def welcome(self, text: str) -> None:
        """What an empty conversation shows."""
        self._welcome.update(text)

    def ask_more(self) -> None:
        """Ask for earlier turns, once at a time."""
        if self.above and not self._asking:
            self._asking = True
            start = max(0, self.above - MORE)
            self.post_message(self.MoreWanted(start, self.above - start, self.shown))

    def ask_later(self) -> None:
        """Ask for later turns, once at a time."""
        if self.below and not self._asking:
            self._asking = True
            self.post_message(self.MoreWanted(self.above + len(self.turns), min(MORE, self.below), self.shown))

    def refused(self) -> None:
        """What was asked for does not come; it may be asked for again."""
        self._asking = False

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        if new < 3 and old > new:
            self.ask_more()
        elif new > old and new > self.max_scroll_y - 3:
            self.ask_later()

    def fill(self) -> None:
        """Ask for more when what is here does not fill the view, or ends where the view does."""
        if self.below and self.scroll_y > self.max_scroll_y - 3:
            self.ask_later()
        elif self.virtual_size.height <= self.size.height:
            self.ask_more()

    async def _set_ends(self, above: int, below: int) -> None:
        self.above, self.below = above, below
        self._asking = False
        for name, count, words in (("above", above, "↑ {} above"), ("below", below, "↓ {} below")):
            if count and not self.query(f"#{name}"):
                line = Beyond(id=name, markup=False)
                await self.query_one(Turns).mount(line, before=0 if name == "above" else None)
            for line in self.query(f"#{name}").results(Beyond):
                line.display = count > 0
                line.update(words.format(counted(count, "question")))


def _views(exchanges: "Sequence[Exchange]", roots: Sequence[str]) -> "list[TurnView]":
    from localmind_tui.widgets.turn import TurnView  # with all that answers need: the first picture has none

    return [TurnView(each, roots) for each in exchanges]
