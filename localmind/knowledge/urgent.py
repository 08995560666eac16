"""A worker of plain functions in which urgent calls go first, even into the middle of a long one.

A long function calls `let_urgent_pass` where it can be interrupted; urgent calls that wait are then run on
the same thread, so nothing needs a lock and the cores are never shared. After a call that another urgent one
will follow, the long function stands still for a moment: whoever waits at a screen does not wait twice, and has
the cores in between. It knows nothing of what the functions do.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from localmind.errors import Cancelled, InternalError
from localmind.workers.runtime import Reply, as_typed

# Seconds for which the rest stands still for an urgent call that is expected.
EXPECTED_S = 0.1

Call = tuple[str, dict[str, Any], Reply]


class UrgentWorker:
    """A WorkerMain on one thread. `urgent` judges a call by its method and parameters.

    `leads_on` says of an urgent call whether another one will follow. `rest`, if given, runs on the thread when
    nothing was asked for `rest_s` seconds, and at the end.
    """

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
        self._methods = methods
        self._urgent = urgent
        self._leads_on, self._expected_s = leads_on, expected_s
        self._idle, self._idle_s = rest, rest_s
        self._expected_until = 0.0
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
        while (call := self._first_call()) is not None:
            self._answer(call)
            # What runs now is a step of its own for whoever looks for hung ones.
            self._started = time.monotonic()

    def _first_call(self) -> Call | None:
        wait = self._expected_until - time.monotonic()
        try:
            return self._first.get(timeout=wait) if wait > 0 else self._first.get_nowait()
        except queue.Empty:
            return None

    def _ticket(self) -> bool | None:
        if self._idle is not None:
            try:
                return self._tickets.get(timeout=self._idle_s)
            except queue.Empty:
                self._idle()
        return self._tickets.get()

    def _run(self) -> None:
        while self._ticket() is not None:
            # Its call may have been run already, in the middle of another one.
            if (call := self._first_call() or _next(self._rest)) is None:
                continue
            self._started = time.monotonic()
            self._answer(call)
            self._started = 0.0
        if self._idle is not None:
            self._idle()

    def _answer(self, call: Call) -> None:
        method, params, reply = call
        if self._urgent(method, params):
            self._expected_until = time.monotonic() + self._expected_s if self._leads_on(method, params) else 0.0
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
