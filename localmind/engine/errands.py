"""Short-lived threads for native work beside the loop, such as embeddings.

A thread that computes with OpenMP keeps a team of helpers for as long as it lives, and a second team slows every
later step of the loop (see native_thread.py). So these threads live only while there is work; their teams go with
them. Two at once let a short errand pass a long one, which gives way between its batches.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from localmind.engine.native_thread import waited
from localmind.errors import QueueFull, ShuttingDown

AT_ONCE = 2
MOST_WAITING = 256

T = TypeVar("T")

log = logging.getLogger("localmind.engine")


class Errands:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._closed = False

    def post(self, errand: Callable[[], None]) -> None:
        """Run a function soon; it answers for itself. Raises QueueFull or ShuttingDown."""
        with self._lock:
            if self._closed:
                raise ShuttingDown("the engine is stopping")
            if len(self._waiting) >= MOST_WAITING:
                raise QueueFull(f"{len(self._waiting)} requests are waiting already", hint="localmind status")
            self._waiting.append(errand)
            if self._threads == AT_ONCE:
                return
            self._threads += 1
        threading.Thread(target=self._run, name="errand", daemon=True).start()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function there and wait for what it returns or raises."""
        return waited(self.post, function)

    def close(self) -> None:
        """Begin nothing more; what runs goes on to its end."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def _run(self) -> None:
        while (errand := self._next()) is not None:
            try:
                errand()
            except Exception:  # the thread must still be counted out
                log.exception("an errand failed")

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None
