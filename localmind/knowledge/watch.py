"""Tells that something changed below a root; what changed is for a scan to find out.

Events come from watchdog and lose nothing on purpose but a lot by accident: beyond the limit of inotify
watches sub-folders are silently not watched, and an overflowing queue is dropped. So directories
are counted first, the kernel's watches are counted afterwards and again later, a root that does not fit
is polled instead and says so, and an overflow marks every root. Reading a file makes events of its own
(opened, closed without writing): they are not asked for. What mounts hide is in `mounts.py`.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
    FileSystemMovedEvent,
)
from watchdog.observers import Observer

from localmind.knowledge.mounts import installed_watches, network_mount

LIMIT_FILE = Path("/proc/sys/fs/inotify/max_user_watches")
# Of the watches that the user has, the share we take: editors and file managers need some too.
SHARE = 0.7
# Of the watches wanted, the share that must be there.
ENOUGH = 0.98

WANTED = (
    FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent, FileDeletedEvent,
    DirCreatedEvent, DirMovedEvent, DirDeletedEvent,
)  # fmt: skip

Changed = Callable[[int, str], None]
"""(root id, path relative to the root, "" for all of it). Called on watchdog's thread."""

log = logging.getLogger("localmind.knowledge")


@dataclass(slots=True, frozen=True)
class Watching:
    """How a root is watched: by events, or by polling and then why."""

    events: bool
    why: str = ""


class Watcher:
    """Watches any number of roots. `limit` is the number of inotify watches; None reads the system's.

    `installed` counts the watches that this process really has; None where the system does not tell.
    `network` tells why a path makes no events for what other machines do.
    """

    def __init__(
        self,
        changed: Changed,
        *,
        limit: int | None = None,
        installed: Callable[[], int | None] = installed_watches,
        network: Callable[[Path], str | None] = network_mount,
    ) -> None:
        self._changed = changed
        self._installed = installed
        self._network = network
        self._limit = inotify_limit() if limit is None else limit
        self._used: dict[int, int] = {}
        self._watches: dict[int, Any] = {}
        self._observer: Any = None
        self._overflow = _Overflow(self.everything_changed)

    def add(self, root_id: int, root: Path) -> Watching:
        """Start to watch. Walks the directories, so call it on a thread; never raises for a full system."""
        self.remove(root_id)
        remote = self._network(root)
        if remote is not None:
            return Watching(False, remote)
        budget = None if self._limit is None else int(self._limit * SHARE) - sum(self._used.values())
        count = 0
        for _ in directories(root):
            count += 1
            if budget is not None and count > budget:
                reason = f"more directories than inotify watches left ({budget} of {self._limit})"
                log.warning("%s is polled: %s", root, reason)
                return Watching(False, reason)
        # watchdog warns when a directory that was moved away comes back; it handles that well, but under
        # `-W error` the warning would end its thread.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        before = self._installed()
        try:
            if self._observer is None:
                self._observer = Observer()
                self._observer.start()
                self._overflow.attach()
            watch = self._observer.schedule(
                _Events(root_id, root, self._changed), str(root), recursive=True, event_filter=list(WANTED)
            )
        except OSError as error:
            # ENOSPC: no watches left; EMFILE: no inotify instances left.
            log.warning("%s is polled: %s", root, error)
            return Watching(False, error.strerror or str(error))
        self._watches[root_id] = watch
        self._used[root_id] = count
        after = self._installed()
        # Directories made or removed since they were counted are a few; watchdog gives up at the first failure.
        if before is not None and after is not None and after - before < count * ENOUGH - 10:
            self.remove(root_id)
            reason = f"the system gave only {after - before} of {count} inotify watches"
            log.warning("%s is polled: %s", root, reason)
            return Watching(False, reason)
        return Watching(True)

    def fewer_than(self, directories: int) -> bool:
        """Whether this process has fewer watches than that: watchdog says nothing when it cannot watch a new one."""
        installed = self._installed()
        return installed is not None and installed < directories * ENOUGH - 10

    def remove(self, root_id: int) -> None:
        """Stop to watch; unknown roots are fine."""
        watch = self._watches.pop(root_id, None)
        self._used.pop(root_id, None)
        if watch is not None:
            # The root may have been deleted, and its watch with it.
            with contextlib.suppress(KeyError, OSError):
                self._observer.unschedule(watch)

    def everything_changed(self) -> None:
        """Events were lost: mark every root."""
        for root_id in list(self._watches):
            self._changed(root_id, "")

    def close(self) -> None:
        """Stop all threads."""
        self._overflow.detach()
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(5)
            self._observer = None
        self._watches.clear()


class _Events(FileSystemEventHandler):  # type: ignore[misc]  # the library is not typed
    def __init__(self, root_id: int, root: Path, changed: Changed) -> None:
        self._root_id, self._root, self._changed = root_id, str(root), changed

    def dispatch(self, event: FileSystemEvent) -> None:
        # A directory is "modified" whenever an entry of it is; the entry has an event of its own.
        if isinstance(event, DirModifiedEvent):
            return
        paths = [event.src_path]
        if isinstance(event, FileSystemMovedEvent):
            paths.append(event.dest_path)
        for path in paths:
            relpath = os.path.relpath(os.fsdecode(path), self._root)
            if relpath == "." or (isinstance(event, DirDeletedEvent) and relpath.startswith("..")):
                relpath = ""
            if not relpath.startswith(".."):
                self._changed(self._root_id, relpath.replace(os.sep, "/"))


class _Overflow(logging.Handler):
    """watchdog tells of lost events only in its log, so that is where we listen."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._logger = logging.getLogger("watchdog.observers")

    def attach(self) -> None:
        self._logger.addHandler(self)

    def detach(self) -> None:
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage():
            self._tell()


def inotify_limit() -> int | None:
    """Watches a user may have on this system; None where there is no such limit."""
    try:
        return int(LIMIT_FILE.read_text())
    except (OSError, ValueError):
        return None


def directories(root: Path) -> Iterator[str]:
    """All directories below and including `root`, links not followed, unreadable ones without their inside."""
    for directory, _, _ in os.walk(root, followlinks=False):
        yield directory
