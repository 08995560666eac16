"""The chip in the last line: a click begins and ends speaking, holding it speaks for as long as it is held."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.events import MouseDown, MouseUp
from textual.widgets import Static

if TYPE_CHECKING:
    from localmind_tui.widgets.dictation import Dictation

HELD_S = 0.5
"""A press of the mouse that is longer than this ends when it is let go."""


class MicChip(Static):
    """The place for the mouse: a click begins and ends, holding it speaks while it is held."""

    ALLOW_SELECT = False

    def __init__(self, dictation: "Callable[[], Dictation]", clock: Callable[[], float]) -> None:
        super().__init__(" ○ speak ", markup=False)
        self._dictation, self._clock = dictation, clock
        self._down_at: float | None = None

    def show(self, listening: bool) -> None:
        self.update(" ● stop  " if listening else " ○ speak ")
        self.set_class(listening, "-listening")

    def on_mouse_down(self, event: MouseDown) -> None:
        event.stop()
        dictation = self._dictation()
        if dictation.active:
            dictation.finish()
            return
        self.capture_mouse()
        self._down_at = self._clock()
        dictation.start(held=True)  # at once: whoever holds it is speaking already

    def on_mouse_up(self, event: MouseUp) -> None:
        event.stop()
        self.release_mouse()
        down_at, self._down_at = self._down_at, None
        if down_at is None:
            return
        if self._clock() - down_at >= HELD_S:
            self._dictation().finish()
        else:
            self._dictation().start()  # a click after all: from now on a pause ends it
