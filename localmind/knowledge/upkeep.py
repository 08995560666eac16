"""What is done again and again so that nothing depends on an event: looks, watches, removal of traces.

Events get lost: at limits, at overflow, on shares, in sleep. So every folder is looked at now and then, the
watches are counted, a folder that went or came back is noticed, and a machine that slept looks at
everything. It decides when; looking is `reading.py`, watching `watch.py`, removing `purge.py`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from localmind.errors import LocalmindError
from localmind.knowledge.mounts import awake
from localmind.knowledge.offline import Probe
from localmind.knowledge.purge import Purge
from localmind.knowledge.reading import Reading
from localmind.knowledge.watch import Watcher, Watching

# A jump of the clock of sleep by so many seconds means that the machine slept.
SLEPT_S = 5.0
# A polled folder is looked at no more often than so many times the length of a look: 5 % of one core.
POLL_SPARING = 20.0

log = logging.getLogger("localmind.knowledge")


class Watches:
    """The watcher with what it said about each root."""

    def __init__(self, reading: Reading, limit: int | None) -> None:
        self._reading = reading
        self._limit = limit
        self._watcher: Watcher | None = None
        self._how: dict[int, Watching] = {}

    def start(self) -> None:
        """Must be called on the loop that the events are to reach."""
        loop = asyncio.get_running_loop()

        def changed(root_id: int, path: str) -> None:
            # The loop may close while watchdog still tells of an event.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._reading.mark, root_id, path)

        self._watcher = Watcher(changed, limit=self._limit)

    async def add(self, root_id: int, path: Path) -> None:
        assert self._watcher is not None, "start() comes first"
        self._how[root_id] = await asyncio.to_thread(self._watcher.add, root_id, path)

    async def remove(self, root_id: int) -> None:
        self._how.pop(root_id, None)
        if self._watcher is not None:
            await asyncio.to_thread(self._watcher.remove, root_id)

    def how(self, root_id: int) -> Watching:
        return self._how.get(root_id, Watching(True))

    async def recount(self) -> None:
        """Directories that were made since the start may be unwatched without a word: then watch anew, or poll."""
        watched = {number: work for number, work in self._reading.work.items() if self.how(number).events}
        if self._watcher is None or not self._watcher.fewer_than(sum(work.directories for work in watched.values())):
            return
        log.warning("some directories are not watched; watching all folders anew")
        for root_id, work in watched.items():
            if work.root.problem is None:
                await self.add(root_id, work.root.path)

    async def close(self) -> None:
        if self._watcher is not None:
            await asyncio.to_thread(self._watcher.close)
            self._watcher = None


class Upkeep:
    """The tasks. `slept` gives a number that grows by the seconds that the machine slept."""

    def __init__(
        self,
        reading: Reading,
        watches: Watches,
        purge: Purge,
        *,
        reconcile_s: float,
        poll_s: float,
        slept: Callable[[], float] = awake,
    ) -> None:
        self._reading = reading
        self._watches = watches
        self._purge = purge
        self._reconcile_s, self._poll_s = reconcile_s, poll_s
        self._slept = slept
        self._probe = Probe()

    async def reconcile(self) -> None:
        """Look at everything now and then."""
        while True:
            await asyncio.sleep(self._reconcile_s)
            await self._watches.recount()
            self.look_at_everything()

    def look_at_everything(self) -> None:
        for root_id in list(self._reading.work):
            self._reading.mark(root_id, "", now=True)

    async def poll(self) -> None:
        """Notice sleep, folders that went or came back (that makes no event), and look at folders without events."""
        before = self._slept()
        while True:
            await asyncio.sleep(self._poll_s)
            now = self._slept()
            if now - before > SLEPT_S:
                log.info("the machine slept for %.0f s; looking at all folders", now - before)
                self.look_at_everything()
            before = now
            for root_id in list(self._reading.work):
                await self._poll_root(root_id)

    async def _poll_root(self, root_id: int) -> None:
        work = self._reading.work.get(root_id)
        if work is None:
            return
        gone = await self._probe.unavailable(work.root) is not None
        was_gone = work.root.problem is not None
        if was_gone and not gone:
            # The old watch is on the old directory, which may have been another one of the same name.
            await self._watches.add(root_id, work.root.path)
        now = asyncio.get_running_loop().time()
        polled = not self._watches.how(root_id).events and work.idle
        due = now - work.looked_at >= POLL_SPARING * work.look_s
        if gone != was_gone or (polled and due):
            work.looked_at = now
            self._reading.mark(root_id, "", now=True)

    async def forget(self) -> None:
        """Remove traces of deleted files in quiet moments."""
        while True:
            await asyncio.sleep(min(1.0, self._poll_s))
            try:
                await self._purge.look()
            except LocalmindError as error:
                log.warning("traces of deleted files are removed later: %s", error)
                await asyncio.sleep(self._poll_s)
