"""Pulls under way in the daemon: one a model however many ask for it, followed by any number of clients.

A pull belongs to those who wait for it: when the last of them hangs up it stops, leaving what it has
for the next one to go on with. A paused one moves no bytes and keeps its part, while those who follow it wait.
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

    def pause(self, name: str) -> bool:
        """Let a pull rest, whose followers see the stage "paused"; False if no such pull is under way."""
        running = self._running.get(name)
        if running is None:
            return False
        running.resumed.clear()
        running.paused.set()
        return True

    def resume(self, name: str) -> bool:
        """Go on with a paused pull, from the byte where it stopped; False if no such pull is under way."""
        running = self._running.get(name)
        if running is None:
            return False
        running.paused.clear()
        running.resumed.set()
        return True

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
            running.failure = ShuttingDown(
                "the pull was stopped", hint=f"localmind models pull {spec.name} goes on with it"
            )
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
        async with contextlib.aclosing(self._puller(spec, self._store)) as steps:
            async for step in steps:
                await running.tell(step)
