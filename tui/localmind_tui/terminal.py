"""The terminal that is drawn on. It can be gone at any moment: a window is closed, a connection breaks.

And whoever stops the process may have it meanwhile. Textual (8.2) gives it back before a stop that it hears of
and begins anew at every SIGCONT. After a stop that it had not heard of it took the terminal a second time: what it put
back in the end was its own raw mode. And one that it had given back for good it took again, and never ended.
"""

import contextlib
import os
import signal
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
    """Textual's own, on such a file; taken once, and given back once."""

    def __init__(self, *given: Any, **how: Any) -> None:
        super().__init__(*given, **how)
        self._file: Any = Lasting(self._file)
        self._ours = False
        """The terminal is drawn on."""

    def start_application_mode(self) -> None:
        self._writer_thread = None
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._ours = self._writer_thread is not None
        if not self._ours:  # it is another's while we are in the background; SIGCONT says when that ends
            self._must_signal_resume = True

    def stop_application_mode(self) -> None:
        self._ours = False
        super().stop_application_mode()

    # A handler stands in the middle of anything, also of what holds the lock of what is drawn: nothing is drawn in one.

    def _sigtstp_application(self, *_: Any) -> None:
        if self._ours:
            self._loop.call_soon_threadsafe(self._stop)
        else:
            self._stop()

    def _stop(self) -> None:
        if self._ours:
            super()._sigtstp_application()
        else:
            os.kill(os.getpid(), signal.SIGSTOP)

    def _sigcont_application(self, *_: Any) -> None:
        if self._must_signal_resume:
            super()._sigcont_application()
        elif self._ours:
            self._loop.call_soon_threadsafe(self._draw_anew)

    def _draw_anew(self) -> None:
        """A shell may have had the terminal, and written on it. Keys that wait are kept."""
        if not self._ours:
            return
        import termios  # of POSIX alone, as this class is
        import tty

        with contextlib.suppress(termios.error):
            how = termios.tcgetattr(self.fileno)
            how[tty.LFLAG], how[tty.IFLAG] = self._patch_lflag(how[tty.LFLAG]), self._patch_iflag(how[tty.IFLAG])
            how[tty.CC][termios.VMIN] = 1
            termios.tcsetattr(self.fileno, termios.TCSANOW, how)
        self.write("\x1b[?1049h\x1b[?25l\x1b[?1004h")  # as at the start: its own screen, no cursor, focus
        self._enable_bracketed_paste()
        self._disable_line_wrap()
        self._enable_mouse_support()
        self._app.refresh(layout=True)
