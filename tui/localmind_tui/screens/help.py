"""F1: what can be done where you are, then every key, from the keymap."""

from collections.abc import Mapping
from typing import ClassVar

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from localmind_tui.keymap import KEYS, PLACES, bindings

ABOUT = {
    "chat": (
        "Answers come from the folders that you let localmind watch, and end with the places they were made from. "
        "Nothing leaves this machine. The daemon writes the answers: close the terminal, come back, and they are there."
    ),
    "composer": (
        "Enter sends. @ names a file or folder that the question is about; / is a command. "
        "A long paste, or a file dropped on the window, goes along as a file. An image goes as what it is, to a model "
        "that sees: drop it, paste its path, or /image PATH. Shift+Tab goes to those above the question."
    ),
    "picture": "An image that goes with the question. Delete takes it away; the file stays where it is.",
    "turn": "A question and its answer. Editing and writing again keep what was there, as a branch: ‹ 1/2 ›.",
    "sources": "The passages that the answer was made from.",
    "threads": "Everything ever said on this machine, until you delete it. Words are searched as you type.",
    "models": "A star marks what this machine runs best. Downloads go on when you close this window.",
    "folders": "Only what you add here is ever read; keys, secrets and what .gitignore names are left out.",
}
KEYS_WIDE = 18
IDS_WIDE = max(len(key.id) for key in KEYS)
ADVICE = 'Another key for anything: in settings.toml, [tui.keys], a line such as "answer.stop" = "ctrl+x".'


class HelpScreen(ModalScreen[None]):
    """Closes with F1, Esc or q. `where` is what had the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list"), *bindings("window")]

    def __init__(self, where: str, chosen: Mapping[str, str]) -> None:
        super().__init__()
        self._where = where
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = f"Help: {PLACES[self._where].lower()}"
            yield Static(ABOUT.get(self._where, ABOUT["chat"]), markup=False)
            yield Static(self.table(), id="keys")
            yield Static(ADVICE, id="advice", markup=False)

    def action_mark(self, step: int) -> None:
        self.query_one("#help").scroll_relative(y=step, animate=False)

    def action_mark_end(self, which: int) -> None:
        if which < 0:
            self.query_one("#help").scroll_home(animate=False)
        else:
            self.query_one("#help").scroll_end(animate=False)

    def action_leave(self) -> None:
        self.dismiss()

    def table(self) -> Group:
        """The keymap, the place in focus first: a grid a place, in columns that stand alike in all of them."""
        parts: list[Text | Table] = []
        for where in sorted(PLACES, key=lambda place: place != self._where):
            grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
            grid.add_column(width=KEYS_WIDE)
            grid.add_column(ratio=1)
            grid.add_column(width=IDS_WIDE)
            for key in KEYS:
                if key.where == where:
                    grid.add_row(Text(key.shown(self._chosen), "bold"), Text(key.help), Text(key.id, "dim"))
            parts += [*([Text()] if parts else []), Text(PLACES[where], "bold underline"), grid]
        return Group(*parts)
