"""Where a question is typed: multi-line, with history, completions, vim keys, and pastes of any size.

A paste longer than PASTE_LIMIT stands in the text as `[pasted 1: 900 lines]` and goes with the question as a
file, so that a megabyte neither freezes the editor nor hides what was typed around it.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events
from textual.actions import SkipAction
from textual.message import Message

from localmind.clean import clean
from localmind_tui.keymap import bindings
from localmind_tui.widgets.completing import Completing

if TYPE_CHECKING:
    from localmind_tui.remembered import Picture
    from localmind_tui.vim.modes import Vim
    from localmind_tui.widgets.completing import Complete
    from localmind_tui.widgets.completions import Completions

PASTE_LIMIT = 4000
_PASTED = re.compile(r"(?<=\[pasted )\d+(?=: [^\]]*\])")
LABEL_EDGES = 6
"""Cells beside the words in a border: its corners, a piece of its line and a blank at both ends."""
PASTED_FILE = "pasted-"
"""What the file of a long paste is called, before the number that stands in the text."""


class Composer(Completing):
    """Grows with its text, up to the limit in app.tcss."""

    place = "composer"
    """In the keymap."""
    BINDINGS = bindings("composer")

    # Written out: making a dataclass takes a millisecond, which the first picture waits for.

    class Sent(Message):
        """The user pressed Enter on a text that is not blank. The text stays until `take`."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Pictured(Message):
        """Files that are meant as images were pasted, dropped or completed."""

        def __init__(self, paths: tuple[Path, ...]) -> None:
            super().__init__()
            self.paths = paths

    class PasteWanted(Message):
        """What is in the desktop's clipboard is wanted: a terminal pastes text by itself, and no images."""

    class Copied(Message):
        """Text of the question is wanted in the clipboard: the terminal's, and the desktop's own."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Wordless(Message):
        """The user sent images without a word."""

    class EditorWanted(Message):
        """The user wants to write the question in an editor of their own."""

    def __init__(self, completions: "Callable[[], Completions]", complete: "Complete", *, vim: bool = False) -> None:
        super().__init__(completions, complete)
        self.asked: Sequence[str] = ()
        self._entitled = ""
        self._told: Sequence[str] = ("",)
        self.lets_escape_pass = False
        """Somebody is speaking, and Esc is about that."""
        self.vim: Vim | None = None
        self.use_vim(vim)
        self.pictures: tuple[Picture, ...] = ()
        """Images that go with the question; the screen shows them above it."""
        self._pasted: list[str] = []
        self._place: int | None = None  # in the history
        self._unsent = ""

    @property
    def pasted(self) -> list[tuple[str, str]]:
        """(name, text) of the long pastes that the text still names."""
        named = {int(number) for number in _PASTED.findall(self.text)}
        return [(f"{PASTED_FILE}{n}", text) for n, text in enumerate(self._pasted, start=1) if n in named]

    @property
    def pastes(self) -> tuple[str, ...]:
        """All long pastes by their numbers, while the text names one; for the draft."""
        return tuple(self._pasted) if self.pasted else ()

    @pastes.setter
    def pastes(self, texts: tuple[str, ...]) -> None:
        self._pasted = list(texts)

    def numbered_from(self, first: int, text: str) -> tuple[str, tuple[str, ...]]:
        """A part of the text with its long pastes numbered from `first` on, and these."""
        named = sorted({int(number) for number in _PASTED.findall(text)} & {*range(1, len(self._pasted) + 1)})
        numbers = {str(number): str(first + at) for at, number in enumerate(named)}
        renamed = _PASTED.sub(lambda found: numbers.get(found[0], found[0]), text)
        return renamed, tuple(self._pasted[number - 1] for number in named)

    def use_vim(self, wanted: bool) -> None:
        """Vim's keys, or those of the terminal."""
        if wanted:
            from localmind_tui.vim.modes import Vim

            self.vim = Vim()
        elif self.vim is not None:
            self.vim = None
            self.cursor_blink = True
        self._show_mode()

    def take(self, sent: str) -> None:
        """The text has been sent, and what goes with it. What was typed meanwhile stays."""
        typed, pasted = self.text.strip(), self._pasted
        self.drop()
        if typed != sent:
            self._pasted = pasted  # the rest may name them
            self.put(typed.removeprefix(sent).lstrip())

    def drop(self) -> None:
        """Forget the text, and what goes with it."""
        self.take_command()
        self.pictures = ()
        self._pasted = []

    @property
    def completes(self) -> bool:
        return self.vim is None or self.vim.mode == "insert"

    @property
    def marked(self) -> str:
        """The text that is marked in the question."""
        return self.selected_text if self.vim is None else self.vim.marked(self)

    def take_command(self) -> None:
        """The text was a command; images wait for their question."""
        self._rest()
        self.clear()
        self._place = None

    def put(self, text: str) -> None:
        """Another text, with the cursor at its end."""
        self._rest()
        self.load_text(text)
        self.move_cursor(self.document.end)

    def _rest(self) -> None:
        """Vim marks nothing in a text that goes away."""
        if self.vim is not None:
            self.vim.rest(self)
            self._show_mode()

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "escape" and self.lets_escape_pass:
            return
        if self.vim is not None and self.vim.key(event.key, event.character, self):
            event.prevent_default()
            event.stop()
            self._show_mode()
            return
        if self.took(event):
            return
        # TextArea takes these as text or movement before bindings are looked at.
        if event.key == "enter":
            event.prevent_default()
            event.stop()
            self.action_send()
            return
        await super()._on_key(event)

    def action_copy(self) -> None:
        if not (text := self.marked):
            raise SkipAction  # Ctrl+C is about something else then
        self.post_message(self.Copied(text))

    def action_cut(self) -> None:
        """What is marked, else the line."""
        self.post_message(self.Copied(self.marked or self.document.get_line(self.cursor_location[0])))
        if self.vim is not None and self.vim.marking:
            self.vim.key("x", "x", self)
            self._show_mode()
        else:
            super().action_cut()

    def action_paste(self) -> None:
        self.post_message(self.PasteWanted())

    async def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        if not event.text:  # so do some terminals when there is an image in the clipboard
            self.action_paste()
            return
        from localmind_tui.completion import pasted_paths, reference_to
        from localmind_tui.pictures import is_picture

        given = event.text.replace("\r\n", "\n").replace("\r", "\n")  # terminals paste the Enter key for a new line
        if paths := pasted_paths(given):
            pictures = tuple(path for path in paths if is_picture(path))
            self.insert("".join(f"{reference_to(path)} " for path in paths if path not in pictures))
            if pictures:
                self.post_message(self.Pictured(pictures))
            return
        text = clean(given)
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
        elif self.pictures:
            self.post_message(self.Wordless())

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

    def entitle(self, words: str) -> None:
        """What Enter does, over the text."""
        self._entitled = words
        self._show_mode()

    def tell(self, forms: Sequence[str]) -> None:
        """What is said under the text: the first of these that there is room for, else the last."""
        self._told = forms
        self._show_told()

    def _show_told(self) -> None:
        room = self.outer_size.width - LABEL_EDGES
        self.border_subtitle = next((each for each in self._told if cell_len(each) <= room), self._told[-1])

    def on_resize(self) -> None:
        self._show_told()

    def _show_mode(self) -> None:
        words = self.vim.words if self.vim is not None else ""
        self.set_class(bool(words), "-normal-mode")
        if self.vim is not None:
            self.cursor_blink = not words  # it marks a character there, the last one of a selection too
        self.border_title = f"{self._entitled} · {words}" if words else self._entitled
