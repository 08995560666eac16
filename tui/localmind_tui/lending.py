"""Lending the terminal to an editor while everything but the drawing goes on.

The program runs beside the event loop: answers are read to their end, drafts are written, a signal still ends the app
in order. Nothing is drawn until the terminal is back. A program with a window of its own is started and left alone.
"""

import asyncio
import subprocess
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.app import App, SuspendNotSupported

from localmind.errors import LocalmindError

if TYPE_CHECKING:
    from localmind_tui.editor import Launch


class Lender:
    """The terminal of one app. `away` while somebody else has it."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._program: asyncio.subprocess.Process | None = None
        self.leave_after = False
        """The app was told to end while the terminal was lent; it does when the terminal is back."""

    @property
    def away(self) -> bool:
        return self._program is not None

    def end(self) -> None:
        """Have the program end, and then the app."""
        self.leave_after = True
        if self._program is not None:
            self._program.terminate()

    async def __call__(self, launch: "Launch") -> None:
        """Run a command, in the terminal or beside it. Raises LocalmindError when it cannot be run."""
        try:
            if not launch.in_terminal:
                _beside(launch.argv)
                return
            with self._app.batch_update(), self._app.suspend():  # a batch draws nothing, and takes every change
                await self._through(launch.argv)
        except OSError as problem:
            raise LocalmindError(
                f"cannot run {launch.argv[0]}: {problem.strerror}", hint="export EDITOR=nano"
            ) from problem
        except SuspendNotSupported as problem:
            raise LocalmindError("this terminal cannot be lent to an editor", hint=" ".join(launch.argv)) from problem
        if self.leave_after:
            self._app.exit()

    async def _through(self, argv: Sequence[str]) -> None:
        self._program = await asyncio.create_subprocess_exec(*argv)
        try:
            await self._program.wait()
        finally:
            self._program = None


def _beside(argv: Sequence[str]) -> None:
    """Nobody waits for a window to close, but a finished child must not stay a zombie."""
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(argv, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    threading.Thread(target=process.wait, daemon=True).start()
