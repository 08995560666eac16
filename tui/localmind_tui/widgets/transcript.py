"""The conversation, oldest first, following its end until the user scrolls up.

Of a long thread only a window is here; its first line says how many turns are above, and reaching it asks
for more. The screen fetches them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from localmind.counted import counted
from localmind_tui.said import Exchange
from localmind_tui.widgets.lean import Backdrop
from localmind_tui.widgets.turn import TurnView


class Turns(Vertical, Backdrop):
    """All that is scrolled."""


class Transcript(VerticalScroll, Backdrop):
    """Holds the turns."""

    can_focus = False  # Tab goes from the composer to the turns; the page keys scroll from anywhere

    @dataclass
    class MoreWanted(Message):
        """The user has come to the first turn that is here, and there are `above` more."""

        above: int

    def __init__(self) -> None:
        super().__init__()
        self.above = 0
        self._asking = False

    def compose(self) -> ComposeResult:
        # An anchored container that is not full scrolls to a negative place (Textual 8.2), so its content fills it.
        with Turns(id="turns"):
            yield Static(id="above", markup=False)
            yield Static(id="welcome", markup=False)

    def on_mount(self) -> None:
        self.query_one("#above").display = False
        self.anchor()

    @property
    def turns(self) -> list[TurnView]:
        return list(self.query(TurnView))

    async def show(self, exchanges: Sequence[Exchange], roots: Sequence[str], *, above: int = 0) -> None:
        """These turns and no others, with the last one in view."""
        views = [TurnView(each, roots) for each in exchanges]
        with self.app.batch_update():
            await self.query(TurnView).remove()
            self.query_one("#welcome").display = not views
            if views:
                await self.query_one("#turns").mount(*views)
        self._set_above(above)
        self.anchor()
        self.call_after_refresh(self.fill)

    async def prepend(self, exchanges: Sequence[Exchange], roots: Sequence[str], *, above: int) -> None:
        """Earlier turns above those that are here; what is in view stays where it is."""
        before = self.virtual_size.height
        with self.app.batch_update():
            await self.query_one("#turns").mount(
                *[TurnView(each, roots) for each in exchanges], after=self.query_one("#above")
            )
        self._set_above(above)

        def keep_view() -> None:
            self.scroll_to(y=self.scroll_y + self.virtual_size.height - before, animate=False, immediate=True)
            self._asking = False
            self.fill()

        self.call_after_refresh(keep_view)

    async def begin(self, exchange: Exchange, roots: Sequence[str]) -> TurnView:
        """A new turn at the end, in view."""
        turn = TurnView(exchange, roots)
        self.query_one("#welcome").display = False
        await self.query_one("#turns").mount(turn)
        self.anchor()
        return turn

    def welcome(self, text: str) -> None:
        """What an empty conversation shows."""
        self.query_one("#welcome", Static).update(text)

    def ask_more(self) -> None:
        """Ask for earlier turns, once at a time."""
        if self.above and not self._asking:
            self._asking = True
            self.post_message(self.MoreWanted(self.above))

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        if new < 3 and old > new:
            self.ask_more()

    def fill(self) -> None:
        """Ask for more when what is here does not fill the view."""
        if self.virtual_size.height <= self.size.height:
            self.ask_more()

    def _set_above(self, above: int) -> None:
        self.above = above
        self._asking = False
        line = self.query_one("#above", Static)
        line.display = above > 0
        line.update(f"↑ {counted(above, 'earlier turn')}")
