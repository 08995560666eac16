"""The terminal that is drawn on. It can be gone at any moment: a window is closed, a connection breaks."""

import contextlib
from typing import Any

from textual.drivers.linux_driver import LinuxDriver


class Lasting:
    """A file that can be written to when nobody reads it any more.

    Textual (8.2) writes in a thread, which an error ended: what was drawn from then on filled its queue of 30 pieces,
    and the app waited for room in it for ever, with the question unsaved, long after its window was closed.
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        return int(self._file.fileno())


class Terminal(LinuxDriver):
    """Textual's own, on such a file."""

    def __init__(self, *given: Any, **how: Any) -> None:
        super().__init__(*given, **how)
        self._file: Any = Lasting(self._file)
