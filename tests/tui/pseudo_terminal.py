"""A child on a pseudo-terminal, and what it does to it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time


class Terminal:
    """A child on a pseudo-terminal and all that it has written."""

    def __init__(self, argv: list[str], environ: dict[str, str]) -> None:
        self._screen, inside = pty.openpty()
        self.before = termios.tcgetattr(inside)
        self._inside = os.dup(inside)  # so that what was left can be looked at
        self.child = subprocess.Popen(argv, stdin=inside, stdout=inside, stderr=inside, env=environ)
        os.close(inside)
        self.seen = b""

    def wait_for(self, text: bytes) -> None:
        """Read until `text` was written after the last key."""
        deadline = time.monotonic() + 120
        while text not in self.seen:
            readable, _, _ = select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"{text!r} does not come after {self.seen[-3000:]!r}"
            self.seen += os.read(self._screen, 65536)

    def press(self, keys: bytes) -> None:
        """Type; what is drawn meanwhile is read, or both sides would wait for the other."""
        self.seen = b""
        while keys:
            readable, writable, _ = select.select([self._screen], [self._screen], [])
            if readable:
                self.seen += os.read(self._screen, 65536)
            if writable:
                keys = keys[os.write(self._screen, keys[:2048]) :]

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._screen, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def rest(self) -> bytes:
        """Everything up to the child's end, which leaves the terminal as it found it."""
        while self.child.poll() is None or select.select([self._screen], [], [], 0)[0]:
            if select.select([self._screen], [], [], 0.05)[0]:
                self.seen += os.read(self._screen, 65536)
        assert self.as_before
        return self.seen

    @property
    def as_before(self) -> bool:
        return termios.tcgetattr(self._inside) == self.before

    def cook(self) -> None:
        """Another program sets the terminal as it was before."""
        termios.tcsetattr(self._inside, termios.TCSANOW, self.before)

    def stop(self, how: int = signal.SIGSTOP) -> None:
        """What is drawn up to then is read."""
        self.child.send_signal(how)
        deadline = time.monotonic() + 120
        while not os.WIFSTOPPED(os.waitpid(self.child.pid, os.WNOHANG | os.WUNTRACED)[1]):
            assert time.monotonic() < deadline, "it does not stop"
            if select.select([self._screen], [], [], 0.02)[0]:
                self.seen += os.read(self._screen, 65536)

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self._inside)
        os.close(self._screen)
