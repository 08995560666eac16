"""Carries answers from the loop to whoever waits, on a thread of its own.

Parsing tool calls, encoding and writing to the socket happen here while the next step computes; a
daemon that reads slowly delays its own answers, never the loop. Order is kept. It knows nothing of
what it carries.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

log = logging.getLogger("localmind.engine")

Delivery = Callable[[], object]


class Outbox:
    def __init__(self, together: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """`together` is entered round the deliveries of one step: they leave in one piece."""
        self._together = together
        self._queue: queue.SimpleQueue[Sequence[Delivery] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def post(self, deliveries: Sequence[Delivery]) -> None:
        """Make these calls, soon and in order."""
        self._queue.put(deliveries)

    def close(self, timeout: float) -> None:
        """Return when everything posted so far is delivered, or after `timeout` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (deliveries := self._queue.get()) is not None:
            with self._together():
                for delivery in deliveries:
                    try:
                        delivery()
                    except Exception:  # one answer that cannot be delivered must not hold up the others
                        log.exception("delivering an answer failed")
