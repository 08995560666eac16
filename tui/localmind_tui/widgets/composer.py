"""Where a question is typed: Enter sends it, Ctrl+J begins a new line."""

from dataclasses import dataclass

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from localmind_tui.keymap import bindings


class Composer(TextArea):
    """Grows with its text, up to the limit in app.tcss."""

    BINDINGS = bindings("composer")

    @dataclass
    class Sent(Message):
        """The user pressed Enter on a text that is not blank. The text stays until `clear`."""

        text: str

    def __init__(self) -> None:
        super().__init__(show_line_numbers=False, soft_wrap=True, tab_behavior="focus", compact=True)

    async def _on_key(self, event: events.Key) -> None:
        # TextArea takes Enter as a new line before bindings are looked at.
        if event.key == "enter":
            event.prevent_default()
            event.stop()
            self.action_send()
            return
        await super()._on_key(event)

    def action_send(self) -> None:
        if text := self.text.strip():
            self.post_message(self.Sent(text))

    def action_newline(self) -> None:
        self.insert("\n")
