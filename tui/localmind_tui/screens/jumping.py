"""Jump: a letter at every place on the screen, and pressing it goes there. Any other key changes nothing.

It is told the places and gives back which one; what going there means is known to who asked.
"""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Click, Key
from textual.geometry import Offset
from textual.screen import ModalScreen
from textual.widgets import Static

from localmind_tui.keymap import bindings

LETTERS = "asdfghjklqwertyuiopzxcvbnm"
"""Those under the fingers first."""


class Jump(ModalScreen[int | None]):
    """Left with the number of a place in `places`, which are cells of the screen."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("window")

    def __init__(self, places: Sequence[Offset]) -> None:
        super().__init__()
        self._places = places[: len(LETTERS)]

    def compose(self) -> ComposeResult:
        for letter, place in zip(LETTERS, self._places, strict=False):
            label = Static(f" {letter} ", classes="letter", markup=False)
            label.styles.offset = place
            yield label

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            return
        event.stop()
        at = LETTERS.find(event.character or "-")
        self.dismiss(at if 0 <= at < len(self._places) else None)

    def on_click(self, event: Click) -> None:
        self.dismiss(None)

    def on_mount(self) -> None:
        self._drawn_for = self.app.size

    def on_resize(self) -> None:
        if self._drawn_for != self.app.size:  # the places are elsewhere now
            self.dismiss(None)

    def action_leave(self) -> None:
        self.dismiss(None)
