"""A bell for those who wait for progress: rung often, heard at most a few times a second.

Whoever waits takes `event` first, looks at the figures, and waits for it; each ring wakes all who took
the event before. Figures cost a query each, so rings close together are one.
"""

import asyncio

EVERY_S = 0.1


class Changed:
    """The bell. Must be used on one loop."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._rang_at = float("-inf")
        self._later: asyncio.TimerHandle | None = None

    def pulse(self) -> None:
        """Wake everybody who waits, now or in a moment."""
        loop = asyncio.get_running_loop()
        wait = self._rang_at + EVERY_S - loop.time()
        if wait <= 0:
            self._ring()
        elif self._later is None:
            self._later = loop.call_later(wait, self._ring)

    def _ring(self) -> None:
        self._rang_at = asyncio.get_running_loop().time()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self.event.set()
        self.event = asyncio.Event()
