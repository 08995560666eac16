"""Small windows that ask one thing: yes or no, or a line of text."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from localmind_tui.keymap import bindings


class Confirm(ModalScreen[bool]):
    """`y` or Enter is yes; anything that leaves is no."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("confirm"), *bindings("window")]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            yield Static("y  yes     n  no", classes="choices", markup=False)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def action_leave(self) -> None:
        self.dismiss(False)


class Prompt(ModalScreen[str | None]):
    """Enter gives the line, Esc gives None."""

    BINDINGS = bindings("window")

    def __init__(self, title: str, value: str, placeholder: str = "") -> None:
        super().__init__()
        self._title, self._value, self._placeholder = title, value, placeholder

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            yield Input(self._value, placeholder=self._placeholder, select_on_focus=False)
            yield Static("Enter  take it     Esc  leave it", classes="choices", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)

    def action_leave(self) -> None:
        self.dismiss(None)
