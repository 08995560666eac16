"""Where a folder that shall be watched is typed: its path completes, and Enter has the daemon read it.

F4 and the first run share it. The daemon reads on whether or not anybody listens; the lists show how far it is.
"""

import asyncio
from pathlib import Path

from textual import on, work
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from localmind.errors import DaemonUnreachable, LocalmindError
from localmind.events import Failed
from localmind.paths import typed_path
from localmind_tui import format
from localmind_tui.completion import folder_completion
from localmind_tui.daemon import Daemon
from localmind_tui.keymap import bindings


class FolderSuggester(Suggester):
    """Completes the last part of a path by the folders that are there."""

    def __init__(self, here: Path) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._here = here

    async def get_suggestion(self, value: str) -> str | None:
        return await asyncio.to_thread(folder_completion, value, self._here)  # a network disk may take its time


class FolderField(Input):
    """What cannot be watched stays in it, to be corrected."""

    BINDINGS = bindings("folder_field")

    class Finished(Message):
        """The daemon took the folder, or nothing was typed."""

    def __init__(self, daemon: Daemon, here: Path, placeholder: str, *, compact: bool = False) -> None:
        super().__init__(placeholder=placeholder, suggester=FolderSuggester(here), compact=compact)
        self._daemon = daemon
        self._here = here
        self._asked = set[str]()  # what the daemon has not taken yet

    def action_complete(self) -> None:
        """Take the rest of the path that is shown behind the cursor; without one, go on to the next field."""
        if self._suggestion and self.cursor_at_end:
            self.action_cursor_right()
        else:
            self.screen.focus_next()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        typed = event.value.strip()
        if not typed:
            self.post_message(self.Finished())
        elif typed not in self._asked:  # else Enter was pressed twice
            self._asked.add(typed)
            self._watch(typed)

    @work(group="add")
    async def _watch(self, typed: str) -> None:
        taken = False
        try:
            async for event in self._daemon.events("/folders", {"path": str(typed_path(typed, self._here))}):
                if isinstance(event, Failed):
                    raise event.exception()
                if not taken and self.is_attached:
                    taken = True
                    self._asked.discard(typed)  # it is read for a while, and can be removed and typed again meanwhile
                    self.value = ""
                    self.post_message(self.Finished())
        except DaemonUnreachable as problem:
            if not taken:  # else the list says so
                self._complain(problem)
        except LocalmindError as problem:
            self._complain(problem)
        finally:
            self._asked.discard(typed)

    def _complain(self, problem: LocalmindError) -> None:
        self.notify(format.failure(problem), severity="error", markup=False, timeout=8)
