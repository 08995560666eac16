"""Who computes next in the voice worker: one pass at a time, whoever speaks now first, then the smallest file.

A pass is one window of Whisper's, 30 s of sound at most, so nobody waits long for a turn. Files are served in the
order of the sound each has had so far: a note of five seconds does not wait for an hour of meeting. While a chat is
answering (`yielding`), everything but the end of an utterance rests after each pass, so that the chat keeps its
speed.
"""

import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator

FINAL = -2.0
"""Rank of the last pass over an utterance: its speaker waits."""
LIVE = -1.0
"""Rank of a pass while somebody speaks. Files have the seconds they have had so far."""

REST = 7.0
"""Rest as many times as long as the pass took: an eighth of the time is computing."""
LONGEST_REST_S = 15.0


class Turns:
    """A lock with ranks. Any thread may take a turn."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._change = threading.Condition()
        self._waiting: list[tuple[float, int]] = []
        self._tickets = itertools.count()
        self._since = 0.0
        self._busy = False
        self._yielding = False
        self._rest_until = 0.0

    @property
    def busy_s(self) -> float:
        """How long the pass under way has taken; 0 when nobody computes."""
        since = self._since
        return self._clock() - since if since else 0.0

    @contextlib.contextmanager
    def turn(self, rank: float, gone: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Wait for a turn and hold it inside. Yields False, at once, when `gone` says that nobody wants it any more."""
        ticket = (rank, next(self._tickets))
        with self._change:
            heapq.heappush(self._waiting, ticket)
            while not self._mine(ticket) and not gone():
                self._change.wait(timeout=0.1)
            self._waiting.remove(ticket)
            heapq.heapify(self._waiting)
            wanted = not gone()
            if wanted:
                self._busy, self._since = True, self._clock()
            else:
                self._change.notify_all()
        try:
            yield wanted
        finally:
            if wanted:
                with self._change:
                    now = self._clock()
                    self._rest_until = now + min(LONGEST_REST_S, REST * (now - self._since)) if self._yielding else 0.0
                    self._busy, self._since = False, 0.0
                    self._change.notify_all()

    def make_way(self, yielding: bool) -> None:
        """From now on a chat is answering, or none is any more."""
        with self._change:
            self._yielding = yielding
            if not yielding:
                self._rest_until = 0.0
            self._change.notify_all()

    def _mine(self, ticket: tuple[float, int]) -> bool:
        if self._busy or self._waiting[0] != ticket:
            return False
        return ticket[0] <= FINAL or self._clock() >= self._rest_until
