"""A worker that is always there: started when needed, restarted when it dies, quarantined when it keeps dying.

The supervisor hides deaths from those who had received nothing yet (one silent retry) and shows them
as typed errors to all others. It knows nothing of models or documents: `launch` gives it a process
that is ready for use, and whatever `launch` raises goes to the one who asked, uncounted, since a
launch has its own memory of what crashed (machine/probe.py).
"""

import asyncio
import collections
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from localmind.errors import ModelQuarantined, ShuttingDown, WorkerDied, WorkerHung
from localmind.workers.brake import Brake
from localmind.workers.process import Death, WorkerProcess

DEATHS_ALLOWED = 3
DEATHS_WINDOW_S = 600.0

Launch = Callable[[], Awaitable[WorkerProcess]]
Prepare = Callable[[WorkerProcess], Awaitable[None]]

log = logging.getLogger("localmind.workers")


def launcher(kind: str, label: str, prepare: Prepare | None = None, command: Sequence[str] | None = None) -> Launch:
    """A `launch` that starts a worker of `kind` and lets `prepare` make the calls it needs before it is of use."""

    async def launch() -> WorkerProcess:
        worker = await WorkerProcess.start(kind, label, command)
        if prepare is not None:
            try:
                await prepare(worker)
            except BaseException:
                await worker.stop()
                raise
        return worker

    return launch


class Supervisor:
    """One logical worker. `label` names it in messages: "the engine of smollm2:135m"."""

    def __init__(
        self,
        label: str,
        launch: Launch,
        *,
        lifted_after_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        died: Callable[[Death], None] = lambda death: None,
    ) -> None:
        """`died` hears of every death before anything is started again. `lifted_after_s`: a quarantine ends by
        itself, for workers whose callers heal what made them die.
        """
        self.label = label
        self._lifted_after_s = lifted_after_s
        self._tell_died = died
        self._launch = launch
        self._clock = clock
        self._worker: WorkerProcess | None = None
        self._launching: asyncio.Task[WorkerProcess] | None = None
        self._deaths: collections.deque[tuple[float, Death]] = collections.deque(maxlen=DEATHS_ALLOWED)
        self.died = 0
        """Deaths since the daemon started."""
        self._watcher: asyncio.Task[None] | None = None
        self._stopped = False
        self._quarantine: str | None = None

    @property
    def quarantine(self) -> str | None:
        """Why this worker is not started any more; None while it is in order."""
        return self._quarantine

    @property
    def pid(self) -> int | None:
        """Of the live process; None when there is none."""
        return self._worker.pid if self._worker is not None and self._worker.death is None else None

    @property
    def deaths(self) -> list[Death]:
        """The most recent deaths, oldest first."""
        return [death for _, death in self._deaths]

    async def start(self) -> WorkerProcess:
        """The live process, launched if need be. Raises ModelQuarantined, ShuttingDown or what `launch` raises.

        All who wait share one launch, and it goes on when one of them gives up.
        """
        if self._stopped:
            raise ShuttingDown(f"{self.label} is shutting down")
        if self._quarantine is not None and self._over():
            self._quarantine = None
            self._deaths.clear()
        if self._quarantine is not None:
            raise ModelQuarantined(self._quarantine, hint="localmind doctor; `localmind stop` lifts it")
        if self._worker is not None and self._worker.death is None:
            return self._worker
        if self._launching is None:
            self._launching = asyncio.create_task(self._start(), name=f"{self.label} launch")
            self._launching.add_done_callback(self._launched)
        launching = self._launching
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            if launching.cancelled() and self._stopped:
                raise ShuttingDown(f"{self.label} is shutting down") from None
            raise

    def _over(self) -> bool:
        return self._lifted_after_s is not None and self._clock() - self._deaths[-1][0] >= self._lifted_after_s

    async def call(self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None) -> Any:
        for last in (False, True):
            worker = await self.start()
            try:
                return await worker.call(method, params, timeout=timeout)
            except (WorkerDied, WorkerHung):
                await self._after_death()
                if last:
                    raise
        raise AssertionError("the second failure is raised above")

    async def stream(
        self, method: str, params: Mapping[str, Any] | None = None, brake: Brake | None = None
    ) -> AsyncGenerator[Any, None]:
        for last in (False, True):
            worker = await self.start()
            sent = False
            try:
                async with contextlib.aclosing(worker.stream(method, params, brake)) as answers:
                    async for answer in answers:
                        sent = True
                        yield answer
                return
            except (WorkerDied, WorkerHung):
                await self._after_death()
                if sent or last:
                    raise

    async def rest(self) -> None:
        """End the process until the next call needs one. The caller knows that nobody uses it."""
        worker, self._worker = self._worker, None
        if self._watcher is not None:
            self._watcher.cancel()
        if worker is not None:
            await worker.stop(ShuttingDown(f"{self.label} is resting", hint="send the request again"))

    async def stop(self) -> None:
        """End the process for good. Calls in flight end with an error."""
        self._stopped = True
        if self._launching is not None:
            self._launching.cancel()
            await asyncio.wait({self._launching})
        worker, self._worker = self._worker, None
        if self._watcher is not None:
            self._watcher.cancel()
        if worker is not None:
            await worker.stop(ShuttingDown("the daemon is stopping", hint="send the request again in a moment"))

    async def _start(self) -> WorkerProcess:
        self._worker = await self._launch()
        self._watcher = asyncio.create_task(self._note_death(self._worker), name=f"{self.label} watcher")
        return self._worker

    def _launched(self, launching: "asyncio.Task[WorkerProcess]") -> None:
        self._launching = None
        if not launching.cancelled():
            launching.exception()  # looked at, also when everybody who waited has gone

    async def _after_death(self) -> None:
        """Let the watcher write the death down first, so that a retry meets a quarantine that is due."""
        if self._watcher is not None and not self._stopped:
            await asyncio.wait([self._watcher])

    async def _note_death(self, worker: WorkerProcess) -> None:
        death = await worker.wait_dead()
        log.warning("%s %s; last lines: %s", self.label, death.reason, " | ".join(death.log_tail[-5:]))
        now = self._clock()
        self.died += 1
        self._deaths.append((now, death))
        self._tell_died(death)
        if len(self._deaths) == DEATHS_ALLOWED and now - self._deaths[0][0] <= DEATHS_WINDOW_S:
            self._quarantine = (
                f"{self.label} died {DEATHS_ALLOWED} times in {DEATHS_WINDOW_S / 60:.0f} minutes; "
                f"the last time it {death.reason}"
            )
            log.error("quarantined: %s", self._quarantine)
