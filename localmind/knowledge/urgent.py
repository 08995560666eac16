"""A worker of plain functions in which urgent calls go first, even into the middle of a long one.

A long function calls `let_urgent_pass` where it can be interrupted; urgent calls that wait are then run on
the same thread, so nothing needs a lock and the cores are never shared. After a call that another urgent one
will follow, the long function stands still for a moment: whoever waits at a screen does not wait twice, and has
the cores in between. It knows nothing of what the functions do.
"""

import queue
import time
from collections.abc import Callable, Mapping
from typing import Any

from localmind.workers.runtime import Asked, BlockingWorker, Reply, next_of

# Seconds for which the rest stands still for an urgent call that is expected.
EXPECTED_S = 0.1


class UrgentWorker(BlockingWorker):
    """`urgent` judges a call by its method and parameters; `leads_on` says of an urgent one whether another follows."""

    def __init__(
        self,
        methods: Mapping[str, Callable[[dict[str, Any], Reply], Any]],
        urgent: Callable[[str, dict[str, Any]], bool],
        *,
        leads_on: Callable[[str, dict[str, Any]], bool] = lambda method, params: False,
        expected_s: float = EXPECTED_S,
        rest: Callable[[], None] | None = None,
        rest_s: float = 20.0,
    ) -> None:
        self._urgent = urgent
        self._leads_on, self._expected_s = leads_on, expected_s
        self._expected_until = 0.0
        self._first: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        super().__init__(methods, rest=rest, rest_s=rest_s)

    def let_urgent_pass(self) -> None:
        """Run the urgent calls that wait. Called by a function in the middle of its work, on the same thread."""
        while (asked := self._first_of_all()) is not None:
            self._answer(asked)
            # What runs now is a step of its own for whoever looks for hung ones.
            self._started = time.monotonic()

    def _queue_up(self, asked: Asked) -> None:
        method, params, _ = asked
        (self._first if self._urgent(method, params) else self._waiting).put(asked)

    def _first_of_all(self) -> Asked | None:
        wait = self._expected_until - time.monotonic()
        if wait <= 0:
            return next_of(self._first)
        try:
            return self._first.get(timeout=wait)
        except queue.Empty:
            return None

    def _next(self) -> Asked | None:
        return self._first_of_all() or super()._next()

    def _answer(self, asked: Asked) -> None:
        method, params, _ = asked
        if self._urgent(method, params):
            self._expected_until = time.monotonic() + self._expected_s if self._leads_on(method, params) else 0.0
        super()._answer(asked)
