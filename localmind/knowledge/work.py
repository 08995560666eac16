"""What is to be done for one watched folder: paths to look at, files to read, and how far it is.

Plain state without tasks; `reading.py` works it off and the status is told from it.
"""

from collections import deque
from dataclasses import dataclass, field

from localmind.knowledge.index import Root
from localmind.knowledge.rules import IGNORE_FILES
from localmind.knowledge.scan import Entry

# A path is looked at when it was quiet so long, and at the latest after the second figure. Seconds.
QUIET_S = 0.4
PATIENCE_S = 3.0
DIRTY_LIMIT = 5000
# Over so many seconds the rate of reading is taken.
RATE_S = 20.0


@dataclass(slots=True)
class Dirty:
    """Paths of one root that may have changed. `first` and `last` are the clock at the oldest and newest event."""

    scope: set[str] = field(default_factory=set)
    first: float = 0.0
    last: float = 0.0

    def add(self, relpath: str, moment: float, *, now: bool) -> None:
        # An ignore file changes what is read in its whole directory.
        directory, _, name = relpath.rpartition("/")
        if not self.scope:
            self.first = moment
        self.last = moment if not now else moment - PATIENCE_S
        self.scope.add(directory if name in IGNORE_FILES else relpath)
        if len(self.scope) > DIRTY_LIMIT:
            self.scope = {""}

    def due(self) -> float:
        """When to look."""
        return min(self.last + QUIET_S, self.first + PATIENCE_S)


@dataclass(slots=True)
class Work:
    """What is to be done for one root, and how far it is."""

    root: Root
    dirty: Dirty = field(default_factory=Dirty)
    hot: dict[str, Entry] = field(default_factory=dict)
    """Saved just now, as an event told."""
    cold: dict[str, Entry] = field(default_factory=dict)
    """Found new or changed by a look at the whole folder."""
    recut: dict[str, Entry] = field(default_factory=dict)
    """Unchanged, but to be cut or parsed anew; they are found as they are, so they come last."""
    flying: dict[str, Entry] = field(default_factory=dict)
    """Being read."""
    looking: bool = False
    read: int = 0
    """Files read since the root was last idle."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Of the last scan of the whole root: directories and files that cannot be looked at."""
    directories: int = 0
    """That scan's count of directories that may be looked into."""
    look_s: float = 0.0
    """How long that scan took."""
    looked_at: float = 0.0
    """The clock at the last time somebody asked for such a scan."""
    kept: int = 0
    """Files that vanished together with their disk in that scan, and are kept."""
    finished: deque[float] = field(default_factory=deque)
    """The clock when files were read, of the last RATE_S."""

    @property
    def idle(self) -> bool:
        return not (self.looking or self.dirty.scope or self.left)

    @property
    def left(self) -> int:
        """Files still to be read, those under way included."""
        return len(self.hot) + len(self.cold) + len(self.recut) + len(self.flying)

    @property
    def current(self) -> str:
        """A file that is being read; "" if there is none."""
        return next(iter(self.flying), "")

    def queue_up(self, entries: dict[str, Entry], queue: dict[str, Entry]) -> None:
        """Put files into one queue and out of the others; what is being read in just this version is left out."""
        for path, entry in entries.items():
            for other in (self.hot, self.cold, self.recut):
                other.pop(path, None)
            if self.flying.get(path) != entry:
                queue[path] = entry

    def note_read(self, clock: float) -> None:
        self.read += 1
        self.finished.append(clock)

    def rate(self, clock: float) -> float | None:
        """Files a second of late; None while unknown."""
        while self.finished and clock - self.finished[0] > RATE_S:
            self.finished.popleft()
        if len(self.finished) < 2:
            return None
        return len(self.finished) / max(clock - self.finished[0], 0.1)

    def clear(self) -> None:
        """Nothing can be read now."""
        self.hot.clear()
        self.cold.clear()
        self.recut.clear()
