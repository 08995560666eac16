"""The conversation, oldest first, following its end until the user scrolls up."""

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from localmind.messages import Message
from localmind_tui.widgets.turn import TurnView


class Transcript(VerticalScroll):
    """Holds the turns, and what a model has to be told of them."""

    can_focus = False  # Tab goes from the composer to the sources; the page keys scroll from anywhere

    def compose(self) -> ComposeResult:
        # An anchored container that is not full scrolls to a negative place (Textual 8.2), so its content fills it.
        with Vertical(id="turns"):
            yield Static(id="welcome", markup=False)

    def on_mount(self) -> None:
        self.anchor()

    @property
    def turns(self) -> list[TurnView]:
        return list(self.query(TurnView))

    @property
    def messages(self) -> list[Message]:
        """What has been said, as a chat needs it. A question without an answer is left out."""
        said: list[Message] = []
        for turn in self.turns:
            if turn.answer:
                said += [Message("user", turn.question), Message("assistant", turn.answer)]
        return said

    async def begin(self, question: str) -> TurnView:
        """A new turn at the end, in view."""
        turn = TurnView(question)
        self.query_one("#welcome").display = False
        await self.query_one("#turns").mount(turn)
        self.anchor()
        return turn

    async def clear(self) -> None:
        await self.query(TurnView).remove()
        self.query_one("#welcome").display = True

    def welcome(self, text: str) -> None:
        """What an empty conversation shows."""
        self.query_one("#welcome", Static).update(text)
