"""Downloads that the app follows while it is open, whichever screen shows them.

A pull in the daemon belongs to those who read its events, so a task here reads each to its end. Pausing,
going on and cancelling are calls of the daemon, and count for everybody who waits for the same model.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from localmind.errors import LocalmindError
from localmind.events import Failed, Progress
from localmind_tui.daemon import Daemon


class Pulling:
    """`steps` has the latest progress of each model that is being fetched; `problems` why one failed."""

    def __init__(self, daemon: Daemon, ended: Callable[[str, LocalmindError | None], None]) -> None:
        self._daemon = daemon
        self._ended = ended
        self.steps: dict[str, Mapping[str, Any]] = {}
        self.problems: dict[str, LocalmindError] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str) -> None:
        """Fetch a model, unless that is under way."""
        if name not in self._tasks:
            self.problems.pop(name, None)
            self.steps[name] = {"stage": "asking"}
            self._tasks[name] = asyncio.create_task(self._read(name))

    async def look(self) -> None:
        """Pulls that others began, as the daemon lists them."""
        try:
            listed = await self._daemon.get("/models/pulls")
        except LocalmindError:
            return
        for name in set(self.steps) - self._tasks.keys():
            del self.steps[name]
        for each in listed.get("pulls") or ():
            if each.get("progress") and each["model"] not in self._tasks:
                self.steps[str(each["model"])] = each["progress"]

    async def toggle(self, name: str) -> None:
        """Pause, or go on."""
        if name in self.steps:
            paused = self.steps[name].get("stage") == "paused"
            await self._daemon.post(f"/models/pull/{'resume' if paused else 'pause'}", {"model": name})

    async def cancel(self, name: str) -> None:
        """End it for all; what came is kept for the next time."""
        if name in self.steps:
            await self._daemon.post("/models/pull/cancel", {"model": name})

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _read(self, name: str) -> None:
        problem: LocalmindError | None = None
        try:
            async for event in self._daemon.events("/models/pull", {"model": name}):
                match event:
                    case Progress():
                        self.steps[name] = {
                            "stage": event.stage,
                            "done": event.done,
                            "total": event.total,
                            "rate": event.rate,
                            "eta_s": event.eta_s,
                        }
                    case Failed():
                        raise event.exception()
        except LocalmindError as failure:
            problem = failure
            self.problems[name] = failure
        finally:
            self.steps.pop(name, None)
            self._tasks.pop(name, None)
        self._ended(name, problem)
