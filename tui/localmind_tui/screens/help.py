"""F1: every key and what it does, from the keymap."""

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from localmind_tui.keymap import KEYS

PLACES = {"chat": "Anywhere", "composer": "In the question", "sources": "On a source"}

ABOUT = (
    "Answers come from the folders that you let localmind watch, and end with the places they were made from. "
    "Nothing leaves this machine."
)


class HelpScreen(ModalScreen[None]):
    """Closes with F1, Esc or q."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,f1,q", "dismiss", "close")]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = "localmind: keys"
            yield Static(ABOUT, markup=False)
            yield Static(self.table(), id="keys")

    @staticmethod
    def table() -> Table:
        """The keymap as a grid whose second column wraps."""
        grid = Table.grid(padding=(0, 2))
        for where, title in PLACES.items():
            if grid.rows:
                grid.add_row()
            grid.add_row(Text(title, "bold underline"))
            for key in KEYS:
                if key.where == where:
                    grid.add_row(Text(key.shown, "bold"), key.help)
        return grid
