"""Pulls under way in the daemon: one a model however many ask for it, followed by any number of clients.

A pull belongs to those who wait for it: when the last of them hangs up it stops, leaving what it has
for the next one to go on with. A paused one moves no bytes and keeps its part, while those who follow it wait.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from localmind.catalog import ModelSpec, spelled
from localmind.errors import Cancelled, LocalmindError, NotFound, ShuttingDown
from localmind.events import Done, Event, Progress
from localmind.models.pull import pull
from localmind.models.store import Store

Puller = Callable[..., AsyncGenerator[Progress, None]]
"""As models/pull.py's `pull`: a model, the store, and by keyword which index and hub to ask."""


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
    how: dict[str, Any] = field(default_factory=dict)
    """What the puller is told besides."""
    cancelled: bool = False
    paused: asyncio.Event = field(default_factory=asyncio.Event)
    resumed: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, step: Progress) -> None:
        self.latest = step
        self.steps += 1
        async with self.changed:
            self.changed.notify_all()

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

    async def pull(self, spec: ModelSpec, **how: Any) -> AsyncGenerator[Event, None]:
        """Start or join the pull of a model: Progress events, then Done. Raises what the pull raises.

        `how` is passed to the puller; one that joins takes the pull as it is.
        """
        if self._stopped:
            raise ShuttingDown("the daemon is stopping", hint=f"localmind models pull {spec.name}, in a moment")
        running = self._running.get(spec.name)
        if running is None:
            running = _Pull(how=how)
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

    def running(self) -> dict[str, Progress | None]:
        """The pulls under way by model, each with the latest that it told."""
        return {name: running.latest for name, running in self._running.items()}

    def pause(self, name: str) -> str:
        """Let a pull rest, whose followers see the stage "paused"; the model's name. Raises NotFound."""
        found, running = self._find(name)
        running.resumed.clear()
        running.paused.set()
        return found

    def resume(self, name: str) -> str:
        """Go on with a paused pull, from the byte where it stopped; the model's name. Raises NotFound."""
        found, running = self._find(name)
        running.paused.clear()
        running.resumed.set()
        return found

    async def cancel(self, name: str) -> str:
        """End a pull, whoever follows it: those get Cancelled. What came is kept. Raises NotFound."""
        found, running = self._find(name)
        running.cancelled = True
        await self._cancel(running)
        return found

    def _find(self, name: str) -> tuple[str, _Pull]:
        """A pull by its model's name, or by a place whose quantisation the hub chose."""
        wanted = spelled(name)
        for found, running in self._running.items():
            if wanted in (found, found.rpartition(":")[0]):
                return found, running
        raise NotFound(f"{name} is not being pulled", hint="localmind models pulls")

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
            while not await self._finished(spec, running):
                last = running.latest
                await running.tell(
                    Progress("paused", last.done, last.total, last.unit) if last else Progress("paused", 0)
                )
                await running.resumed.wait()
            await self._installed(spec)
        except LocalmindError as problem:
            running.failure = problem
        except asyncio.CancelledError:
            kind = Cancelled if running.cancelled else ShuttingDown
            hint = f"localmind models pull {spec.name} goes on with it, localmind models prune gives its room back"
            running.failure = kind("the pull was stopped", hint=hint)
        finally:
            running.ended = True
            self._running.pop(spec.name, None)
            async with running.changed:
                running.changed.notify_all()

    async def _finished(self, spec: ModelSpec, running: _Pull) -> bool:
        """Pull until the end, which is True, or until somebody pauses it. Raises what the pull raises."""
        work = asyncio.create_task(self._work(spec, running))
        rest = asyncio.create_task(running.paused.wait())
        try:
            await asyncio.wait({work, rest}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = work.done()
            work.cancel()
            rest.cancel()
            await asyncio.wait({work, rest})
        if ended:
            work.result()
        return ended

    async def _work(self, spec: ModelSpec, running: _Pull) -> None:
        async with contextlib.aclosing(self._puller(spec, self._store, **running.how)) as steps:
            async for step in steps:
                await running.tell(step)
