"""Where a question is typed: multi-line, with history, completions, vim keys, and pastes of any size.

A paste longer than PASTE_LIMIT stands in the text as `[pasted 1: 900 lines]` and goes with the question as a
file, so that a megabyte neither freezes the editor nor hides what was typed around it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, TextArea
from textual.widgets.option_list import Option

from localmind.clean import clean, clean_line
from localmind_tui.completion import Completion, pasted_path, reference_to
from localmind_tui.keymap import bindings

PASTE_LIMIT = 4000
if TYPE_CHECKING:
    from localmind_tui.vim import Vim

_PASTED = re.compile(r"\[pasted (\d+): [^\]]*\]")


class Completions(OptionList):
    """The list above the composer. It never has the focus; the composer moves its mark."""

    can_focus = False

    def __init__(self) -> None:
        super().__init__(markup=False, compact=True)
        self.display = False
        self.now: Completion | None = None

    def show(self, completion: Completion | None) -> None:
        if completion == self.now:
            return
        self.now = completion
        self.display = completion is not None
        self.clear_options()
        if completion is not None:
            self.add_options(
                Option(Content.assemble(clean_line(each.shown), (f"  {each.hint}", "$foreground-muted")))
                for each in completion.candidates
            )
            self.highlighted = 0


class Composer(TextArea):
    """Grows with its text, up to the limit in app.tcss."""

    place = "composer"
    """In the keymap."""
    BINDINGS = bindings("composer")

    @dataclass
    class Sent(Message):
        """The user pressed Enter on a text that is not blank. The text stays until `take`."""

        text: str

    class EditorWanted(Message):
        """The user wants to write the question in an editor of their own."""

    def __init__(
        self,
        completions: Completions,
        complete: Callable[[str, bool], Completion | None],
        *,
        vim: bool = False,
    ) -> None:
        super().__init__(show_line_numbers=False, soft_wrap=True, tab_behavior="focus", compact=True)
        self.asked: Sequence[str] = ()
        self.lets_escape_pass = False
        """Somebody is speaking, and Esc is about that."""
        self.vim: Vim | None = None
        self.use_vim(vim)
        self._completions = completions
        self._complete = complete
        self._pasted: list[str] = []
        self._place: int | None = None  # in the history
        self._unsent = ""

    @property
    def pasted(self) -> list[tuple[str, str]]:
        """(name, text) of the long pastes that the text still names."""
        named = {int(number) for number in _PASTED.findall(self.text)}
        return [(f"pasted-{n}", text) for n, text in enumerate(self._pasted, start=1) if n in named]

    def use_vim(self, wanted: bool) -> None:
        """Vim's keys, or those of the terminal."""
        if wanted:
            from localmind_tui.vim import Vim

            self.vim = Vim()
        else:
            self.vim = None
        self.remove_class("-normal-mode")

    def take(self) -> None:
        """The text has been sent."""
        self.clear()
        self._pasted = []
        self._place = None

    def put(self, text: str) -> None:
        """Another text, with the cursor at its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "escape" and self.lets_escape_pass:
            return
        if self.vim is not None and self.vim.key(event.key, event.character, self):
            event.prevent_default()
            event.stop()
            self._show_vim()
            return
        if self._completions.display and self._completing(event):
            return
        # TextArea takes these as text or movement before bindings are looked at.
        if event.key == "enter":
            event.prevent_default()
            event.stop()
            self.action_send()
            return
        await super()._on_key(event)

    def _completing(self, event: events.Key) -> bool:
        moves = {"up": self._completions.action_cursor_up, "down": self._completions.action_cursor_down}
        if event.key in moves:
            moves[event.key]()
        elif event.key == "escape":
            self._completions.show(None)
        elif event.key == "tab" or (event.key == "enter" and not self._complete_already()):
            self.action_complete()
        else:
            return False
        event.prevent_default()
        event.stop()
        return True

    def _complete_already(self) -> bool:
        """Whether what is typed is itself one of the candidates, so that Enter sends."""
        now = self._completions.now
        if now is None:
            return True
        row, column = self.cursor_location
        typed = self.document.get_line(row)[now.start : column]
        return any(candidate.text.strip() == typed for candidate in now.candidates)

    def action_complete(self) -> None:
        now, marked = self._completions.now, self._completions.highlighted
        if now is None or marked is None:
            self.screen.focus_next()
            return
        row, column = self.cursor_location
        chosen = now.candidates[marked]
        self.replace(chosen.text, (row, now.start), (row, column))
        self.move_cursor((row, now.start + len(chosen.text)))
        if not chosen.more:
            self._completions.show(None)

    def on_text_area_changed(self) -> None:
        row, column = self.cursor_location
        line = self.document.get_line(row)[:column]
        self._completions.show(
            self._complete(line, row == 0) if self.vim is None or self.vim.mode == "insert" else None
        )

    async def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        if (path := pasted_path(event.text)) is not None:
            self.insert(reference_to(path) + " ")
            return
        text = clean(event.text)
        if len(text) > PASTE_LIMIT:
            self._pasted.append(text)
            lines = text.count("\n") + 1
            amount = f"{lines:,} lines" if lines > 1 else f"{len(text):,} characters"
            text = f"[pasted {len(self._pasted)}: {amount}] "
        if result := self._replace_via_keyboard(text, *self.selection):
            self.move_cursor(result.end_location)

    def action_send(self) -> None:
        if text := self.text.strip():
            self.post_message(self.Sent(text))

    def action_editor(self) -> None:
        self.post_message(self.EditorWanted())

    def action_newline(self) -> None:
        self.insert("\n")

    def action_older(self) -> None:
        if self.cursor_at_first_line and self._browse(-1):
            return
        self.action_cursor_up()

    def action_newer(self) -> None:
        if self.cursor_at_last_line and self._browse(1):
            return
        self.action_cursor_down()

    def _browse(self, step: int) -> bool:
        """Through what was asked before; below its end is what was being typed."""
        count = len(self.asked)
        place = (count if self._place is None else min(self._place, count)) + step
        if not 0 <= place <= count or (self._place is None and step > 0):
            return False
        if self._place is None:
            self._unsent = self.text
        self._place = None if place == count else place
        self.put(self._unsent if place == count else self.asked[place])
        return True

    def _show_vim(self) -> None:
        if self.vim is not None:
            self.set_class(self.vim.mode == "normal", "-normal-mode")
