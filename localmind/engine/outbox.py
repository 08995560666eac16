"""Carries answers from the loop to whoever waits, on a thread of its own.

Parsing tool calls, encoding and writing to the socket happen here while the next step computes; a
daemon that reads slowly delays its own answers, never the loop. Order is kept. Texts that come faster than anybody
reads leave together, for each message costs the daemon a third of a millisecond on cores that the model needs.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from localmind.engine.generation import Sink
from localmind.events import TokenLogprob

log = logging.getLogger("localmind.engine")

LINGER_S = 0.025
"""Texts leave at most this often, forty times a second; the first of an answer and its end leave at once."""


@dataclass(slots=True, frozen=True)
class Text:
    """The next text of an answer."""

    sink: Sink
    text: str
    logprobs: tuple[TokenLogprob, ...]
    first: bool

    def __call__(self) -> None:
        self.sink.text(self.text, self.logprobs)


Delivery = Text | Callable[[], object]


class Outbox:
    def __init__(
        self,
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
        *,
        linger_s: float = LINGER_S,
    ) -> None:
        """`together` is entered round deliveries that leave in one piece."""
        self._together = together
        self._linger_s = linger_s
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
        due = 0.0
        ended = False
        while not ended:
            deliveries, ended = self._collect(due)
            due = time.monotonic() + self._linger_s
            with self._together():
                for delivery in joined(deliveries):
                    try:
                        delivery()
                    except Exception:  # one answer that cannot be delivered must not hold up the others
                        log.exception("delivering an answer failed")

    def _collect(self, due: float) -> tuple[list[Delivery], bool]:
        """What is posted until `due`, or until something cannot wait; and whether that was the last."""
        collected: list[Delivery] = []
        wait: float | None = None
        while True:
            try:
                posted = self._queue.get(timeout=wait)
            except queue.Empty:
                return collected, False
            if posted is None:
                return collected, True
            collected += posted
            wait = due - time.monotonic()
            if wait <= 0 or any(not isinstance(delivery, Text) or delivery.first for delivery in posted):
                return collected, False


def joined(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """The same with one text for each answer. An answer's other calls come after its texts, so their order stays."""
    places: dict[int, int] = {}
    result: list[Delivery] = []
    for delivery in deliveries:
        if isinstance(delivery, Text):
            place = places.setdefault(id(delivery.sink), len(result))
            if place < len(result):
                result[place] = _both(result[place], delivery)
                continue
        result.append(delivery)
    return result


def _both(before: Delivery, after: Text) -> Text:
    assert isinstance(before, Text)
    return Text(before.sink, before.text + after.text, before.logprobs + after.logprobs, before.first)
