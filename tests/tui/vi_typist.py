"""Types at a TextArea with vim's keys, without the rest of the app."""

from collections.abc import Iterable

from textual.app import App, ComposeResult
from textual.widgets import TextArea

from localmind_tui.vim.modes import Vim


class Editor(App[None]):
    def compose(self) -> ComposeResult:
        yield TextArea()


def press(vim: Vim, area: TextArea, keys: Iterable[str]) -> None:
    """What vim leaves is text, as it is to a TextArea."""
    for key in keys:
        taken = vim.key("dollar_sign" if key == "$" else key, None if len(key) > 1 else key, area)
        if not taken and vim.mode == "insert" and len(key) == 1:
            area.insert(key)


def shown(area: TextArea) -> str:
    """The text with a bar before the character that the cursor is on."""
    lines = area.text.split("\n")
    row, column = area.cursor_location
    lines[row] = f"{lines[row][:column]}|{lines[row][column:]}"
    return "\n".join(lines)
