"""The last line: the keys of where the focus is. A click on one presses it.

One widget that draws a line. Textual's Footer makes a widget of each key, and all of them anew whenever the focus
moves, which was a third of the first picture and most of the cost of opening a window.
"""

from textual.content import Content
from textual.events import MouseDown
from textual.screen import Screen
from textual.widget import Widget

from localmind_tui.keymap import KEYS

ORDER = {key.id: place for place, key in enumerate(KEYS)}
"""As in the keymap, also when the user gave one another key."""


class KeyLine(Widget):
    """Follows the bindings of its screen. A key that does not fit is left out whole; F1 has them all."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[tuple[str, str, str]] = []  # as pressed, as shown, what it does

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def on_unmount(self) -> None:
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _changed(self, screen: Screen[object]) -> None:
        if not self.is_attached or screen is not self.screen or not screen.app.app_focus:
            return
        places: dict[object, int] = {}  # what has the focus first, then what is around it
        active = [
            (places.setdefault(where, len(places)), ORDER.get(binding.id or "", 0), binding)
            for where, binding, enabled, _ in screen.active_bindings.values()
            if binding.show and enabled
        ]
        shown: dict[str, tuple[str, str, str]] = {}
        for _, _, binding in sorted(active, key=lambda each: each[:2]):
            keys = (binding.key, self.app.get_key_display(binding), binding.description)
            shown.setdefault(binding.action, keys)
        if (keys_now := list(shown.values())) != self._keys:
            self._keys = keys_now
            self.refresh()

    def render(self) -> Content:
        return Content("").join(self._drawn())

    def _drawn(self) -> list[Content]:
        """What fits into the line, key by key."""
        drawn: list[Content] = []
        room = self.size.width
        for _, key, what in self._keys:
            part = Content.assemble((f" {key} ", "bold $footer-key-foreground"), f"{what} ")
            room -= part.cell_length
            if room < 0:
                break
            drawn.append(part)
        return drawn

    def on_mouse_down(self, event: MouseDown) -> None:
        event.stop()
        end = 0
        for (key, _, _), drawn in zip(self._keys, self._drawn(), strict=False):
            end += drawn.cell_length
            if event.x < end:
                self.app.simulate_key(key)
                return
