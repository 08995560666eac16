"""Where a window keeps what is typed in a thread that has not begun: a place that nobody else writes while it is open.

The only window has the place "", the next ones "+1", "+2" and so on. A place is held by its lock, which the system
takes from a window that dies; what stands there stays, for the next window that opens.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from localmind_tui.remembered import SHELVES, Remembered

if TYPE_CHECKING:
    from filelock import BaseFileLock


class Place:
    """`name` is the key in each shelf; `lock` is None on a disk that knows none, where windows share a place."""

    def __init__(self, name: str, lock: "BaseFileLock | None") -> None:
        self.name = name
        self._lock = lock

    def leave(self) -> None:
        """What stands there is the next window's."""
        if self._lock is not None:
            self._lock.release()


def is_place(key: str) -> bool:
    """Or a thread."""
    return not key or key.startswith("+")


def used(of: Remembered) -> list[str]:
    """Places where something stands, the newest first."""
    found = dict.fromkeys(key for shelf in SHELVES for key in getattr(of, shelf) if is_place(key))
    newest = {key: at for at, key in enumerate(of.drafts)}
    return sorted(found, key=lambda key: newest.get(key, -1), reverse=True)


def move(of: Remembered, key: str, to: str) -> None:
    """What stands under `key`, on every shelf."""
    for shelf in SHELVES:
        kept: dict[str, Any] = getattr(of, shelf)
        if key != to and key in kept:
            kept[to] = kept.pop(key)


def waiting(file: Path, of: Remembered) -> Place | None:
    """The newest place where something stands that no window has. Blocking."""
    return next((place for name in used(of) if (place := _held(file, name)) is not None), None)


def empty(file: Path, of: Remembered) -> Place:
    """The first place where nothing stands and that no window has. Blocking."""
    taken, number = set(used(of)), 0
    while True:
        name = f"+{number}" if number else ""
        if name not in taken and (place := _held(file, name)) is not None:
            return place
        number += 1


def _held(file: Path, name: str) -> Place | None:
    import filelock  # when something is written or waits, which the first picture never shows

    # Any thread may leave it, and not only the one that took it.
    lock = filelock.FileLock(file.with_name(f"{file.stem}{name}.window"), mode=0o600, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return None
    except (OSError, NotImplementedError):
        return Place(name, None)
    return Place(name, lock)
