"""Pulls under way in the daemon: one a model however many ask for it, followed by any number of clients.

A pull belongs to those who wait for it: when the last of them hangs up it stops, leaving what it has
for the next one to go on with.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

from localmind.catalog import ModelSpec
from localmind.errors import LocalmindError, ShuttingDown
from localmind.events import Done, Event, Progress
from localmind.models.pull import pull
from localmind.models.store import Store

Puller = Callable[[ModelSpec, Store], AsyncGenerator[Progress, None]]


@dataclass(slots=True)
class _Pull:
    """One running pull: its latest progress, and how it ended."""

    task: asyncio.Task[None] | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    latest: Progress | None = None
    steps: int = 0
    ended: bool = False
    failure: LocalmindError | None = None
    listeners: int = 0

    def has_news(self, seen: int) -> bool:
        return self.steps > seen or self.ended


class Pulls:
    """All pulls of the daemon. `puller` is the seam for tests."""

    def __init__(self, store: Store, installed: Callable[[ModelSpec], Awaitable[None]], puller: Puller = pull) -> None:
        """`installed` is awaited once after each pull that ended well."""
        self._store = store
        self._installed = installed
        self._puller = puller
        self._running: dict[str, _Pull] = {}
        self._stopped = False

    async def pull(self, spec: ModelSpec) -> AsyncGenerator[Event, None]:
        """Start or join the pull of a model: Progress events, then Done. Raises what the pull raises."""
        if self._stopped:
            raise ShuttingDown("the daemon is stopping", hint=f"localmind models pull {spec.name}, in a moment")
        running = self._running.get(spec.name)
        if running is None:
            running = _Pull()
            running.task = asyncio.create_task(self._run(spec, running), name=f"pull {spec.name}")
            self._running[spec.name] = running
        running.listeners += 1
        seen = 0
        try:
            while True:
                async with running.changed:
                    await running.changed.wait_for(functools.partial(running.has_news, seen))
                if running.steps > seen and running.latest is not None:
                    seen = running.steps
                    yield running.latest
                elif running.failure is not None:
                    raise running.failure
                else:
                    yield Done()
                    return
        finally:
            running.listeners -= 1
            if running.listeners == 0 and not running.ended:
                await self._cancel(running)

    async def stop(self) -> None:
        """Stop every pull; those who wait get ShuttingDown."""
        self._stopped = True
        for running in list(self._running.values()):
            await self._cancel(running)

    async def _cancel(self, running: _Pull) -> None:
        if running.task is not None:
            running.task.cancel()
            await asyncio.wait({running.task})

    async def _run(self, spec: ModelSpec, running: _Pull) -> None:
        try:
            async with contextlib.aclosing(self._puller(spec, self._store)) as steps:
                async for step in steps:
                    running.latest = step
                    running.steps += 1
                    async with running.changed:
                        running.changed.notify_all()
            await self._installed(spec)
        except LocalmindError as problem:
            running.failure = problem
        except asyncio.CancelledError:
            running.failure = ShuttingDown(
                "the pull was stopped", hint=f"localmind models pull {spec.name} goes on with it"
            )
        finally:
            running.ended = True
            self._running.pop(spec.name, None)
            async with running.changed:
                running.changed.notify_all()
