"""Whether the daemon is there, what it says of itself, and bringing one up when it is not.

One task asks for the status every few seconds. When nobody answers, a daemon is started, with longer and
longer pauses when that fails, and those who wait for it are woken.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from localmind.errors import DaemonUnreachable, LocalmindError

if TYPE_CHECKING:
    from localmind_tui.daemon import Daemon

EVERY_S = 3.0
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class Link:
    """The state of the connection. `changes` yields whenever there is news."""

    def __init__(self, daemon: "Daemon") -> None:
        self.daemon = daemon
        self.status: dict[str, Any] = {}
        self.problem: LocalmindError | None = None
        self.connected = False
        self.starting = False
        """Nobody answered, and a daemon is being started."""
        self._up = asyncio.Event()
        self._wake = asyncio.Event()

    async def back(self) -> None:
        """Return when a daemon answers."""
        if self.connected:
            self._up.clear()
            self.ask()
        await self._up.wait()

    def ask(self) -> None:
        """Look at once instead of in a few seconds."""
        self._wake.set()

    async def changes(self) -> AsyncIterator[None]:
        failures = 0
        while True:
            self._wake.clear()  # whoever asks from here on may mean what this look is too early for
            try:
                self.status = await self.daemon.status()
                self.problem, self.connected, failures = None, True, 0
                self._up.set()
            except LocalmindError as problem:
                self.problem, self.connected = problem, False
                self._up.clear()
                if isinstance(problem, DaemonUnreachable):
                    self.starting = True
                    yield
                    await self._start()
                    self.starting = False
                    if self.problem is None:
                        continue
                failures += 1
            yield
            pause = EVERY_S if self.connected else PAUSES_S[min(failures, len(PAUSES_S)) - 1]
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue

    async def _start(self) -> None:
        try:
            await self.daemon.ensure()
            self.problem = None
        except LocalmindError as problem:
            self.problem = problem
