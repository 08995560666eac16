"""Seconds in which the machine really ran, for the few tests that promise seconds.

A host that stands still for a while, as shared ones do, ages no promise: a thread ticks, and a tick that comes late
counts as no more than LONGEST_S.
"""

import threading
import time

TICK_S = 0.01
LONGEST_S = 0.05


class Stopwatch:
    """Runs within its `with` block; `seconds` may be read at any time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="stopwatch", daemon=True)

    def __enter__(self) -> "Stopwatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _tick(self) -> None:
        before = time.monotonic()
        stopped = False
        while not stopped:
            stopped = self._stop.wait(TICK_S)
            now = time.monotonic()
            self.seconds += min(now - before, LONGEST_S)
            before = now
