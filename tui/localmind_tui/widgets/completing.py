"""A text whose half-typed words complete: the list of what may be meant, and the keys that take from it.

What is in memory is offered at once. What a disk has to be asked is looked up in a thread, since one in a network may
take a minute, and one look at a time. What it finds is offered for the text that it was looked up for and for no
other; what was offered before stays meanwhile as far as it fits.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import events, work
from textual.message import Message
from textual.widgets import TextArea

if TYPE_CHECKING:
    from localmind_tui.completion import Completion
    from localmind_tui.widgets.completions import Completions

    Look = Callable[[], Completion | None]
    Complete = Callable[[str, bool], Completion | Look | None]
    """For a line before the cursor, and whether it is the first: what may be meant, or what has to be looked up."""


class Completing(TextArea):
    """`completions` makes the list when there is something to show."""

    class Completed(Message):
        """A completion was taken whole."""

        def __init__(self, text: str, start: tuple[int, int], end: tuple[int, int]) -> None:
            super().__init__()
            self.text, self.start, self.end = text, start, end

    def __init__(self, completions: "Callable[[], Completions]", complete: "Complete") -> None:
        super().__init__(show_line_numbers=False, soft_wrap=True, tab_behavior="focus", compact=True)
        self._open_completions = completions
        self._completions: Completions | None = None  # most questions have none
        self._complete = complete
        self._wanted: tuple[str, Look] | None = None
        """The newest line that has to be looked up."""
        self._looking = False
        self._takes = False
        """Tab was pressed before what it takes was there."""

    @property
    def completes(self) -> bool:
        """Whether text is being typed."""
        return True

    def took(self, event: events.Key) -> bool:
        """Whether the key was one for the list; then nobody else gets it."""
        completions = self._completions
        if completions is None or not completions.display:
            return False
        if event.key == "up":
            completions.action_cursor_up()
        elif event.key == "down":
            completions.action_cursor_down()
        elif event.key == "escape":
            self._wanted = None
            completions.show(None)
        elif event.key == "tab" or (event.key == "enter" and not self._complete_already(completions)):
            self.action_complete()
        else:
            return False
        event.prevent_default()
        event.stop()
        return True

    def _complete_already(self, completions: "Completions") -> bool:
        """Whether what is typed is itself one of the candidates, so that Enter sends."""
        now = completions.now
        if now is None:
            return True
        typed = self._before[now.start :]
        if typed.startswith("@") and typed.endswith("/"):
            return True  # the folder itself is meant; Tab goes on into it
        return any(candidate.text.strip() == typed for candidate in now.candidates)

    @property
    def _before(self) -> str:
        row, column = self.cursor_location
        return self.document.get_line(row)[:column]

    def action_complete(self) -> None:
        completions = self._completions
        if completions is None or completions.now is None or completions.highlighted is None:
            if self._wanted is None:
                self.screen.focus_next()
            self._takes = self._wanted is not None
            return
        row, column = self.cursor_location
        start, chosen = completions.now.start, completions.now.candidates[completions.highlighted]
        self.replace(chosen.text, (row, start), (row, column))
        self.move_cursor((row, start + len(chosen.text)))
        if not chosen.more:
            completions.show(None)
            self.post_message(self.Completed(chosen.text, (row, start), (row, start + len(chosen.text))))

    def on_text_area_changed(self) -> None:
        before = self._before
        found = self._complete(before, self.cursor_location[0] == 0) if self.completes else None
        self._wanted, self._takes = None, False
        if not callable(found):
            self._offer(found)
            return
        self._wanted = before, found
        if self._completions is not None and self._completions.now is not None:
            from localmind_tui.completion import narrowed

            self._offer(narrowed(self._completions.now, before))
        if not self._looking:
            self._looking = True
            self._look_up()

    @work(group="completing")
    async def _look_up(self) -> None:
        try:
            while (wanted := self._wanted) is not None:
                before, look = wanted
                found = await asyncio.to_thread(look)
                if wanted is self._wanted:
                    self._wanted = None
                    self._found(found if before == self._before else None)
        finally:
            self._looking = False

    def _found(self, completion: "Completion | None") -> None:
        takes, self._takes = self._takes, False
        self._offer(completion)
        if takes:
            self.action_complete()

    def _offer(self, completion: "Completion | None") -> None:
        if completion is not None and self._completions is None:
            self._completions = self._open_completions()
        if self._completions is not None:
            self._completions.show(completion)
