"""A worker of plain functions in which urgent calls go first, even into the middle of a long one.

A long function calls `let_urgent_pass` where it can be interrupted; urgent calls that wait are then run on
the same thread, so nothing needs a lock and the cores are never shared. It knows nothing of what
the functions do.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from localmind.errors import Cancelled, InternalError
from localmind.workers.runtime import Reply, as_typed

Call = tuple[str, dict[str, Any], Reply]


class UrgentWorker:
    """A WorkerMain on one thread. `urgent` judges a call by its method and parameters."""

    def __init__(
        self,
        methods: Mapping[str, Callable[[dict[str, Any], Reply], Any]],
        urgent: Callable[[str, dict[str, Any]], bool],
    ) -> None:
        self._methods = methods
        self._urgent = urgent
        self._first: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._rest: queue.SimpleQueue[Call] = queue.SimpleQueue()
        # One ticket a call, so that the thread sleeps on one queue; None ends it.
        self._tickets: queue.SimpleQueue[bool | None] = queue.SimpleQueue()
        self._started = 0.0
        threading.Thread(target=self._run, name="calls", daemon=True).start()

    def call(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        if method not in self._methods:
            reply.fail(InternalError(f"this worker has no method {method!r}"))
            return
        (self._first if self._urgent(method, params) else self._rest).put((method, params, reply))
        self._tickets.put(True)

    def cancel(self, call_id: int) -> None:
        """A call still waiting is skipped."""

    def busy_seconds(self) -> float:
        started = self._started
        return time.monotonic() - started if started else 0.0

    def close(self) -> None:
        self._tickets.put(None)

    def let_urgent_pass(self) -> None:
        """Run the urgent calls that wait. Called by a function in the middle of its work, on the same thread."""
        while (call := _next(self._first)) is not None:
            self._answer(call)
            # What runs now is a step of its own for whoever looks for hung ones.
            self._started = time.monotonic()

    def _run(self) -> None:
        while self._tickets.get() is not None:
            # Its call may have been run already, in the middle of another one.
            if (call := _next(self._first) or _next(self._rest)) is None:
                continue
            self._started = time.monotonic()
            self._answer(call)
            self._started = 0.0

    def _answer(self, call: Call) -> None:
        method, params, reply = call
        if reply.cancelled:
            reply.fail(Cancelled("cancelled before it started"))
            return
        try:
            reply.result(self._methods[method](params, reply))
        except Exception as problem:  # every failure must reach the one who asked
            reply.fail(as_typed(problem))


def _next(waiting: "queue.SimpleQueue[Call]") -> Call | None:
    try:
        return waiting.get_nowait()
    except queue.Empty:
        return None
