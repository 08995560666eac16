"""Looks at a folder and says what differs from what is known: the only judge of change.

Events, timers and users merely ask for a scan. A scan reads directory entries and stat, never file
contents; it follows no link, opens no FIFO, and a directory that it cannot read keeps what is known
below it. `compare` is pure: known rows and found entries in, changes out, moves recognised by inode.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localmind.knowledge.extract import kind_of, size_limit
from localmind.knowledge.rules import Rules


@dataclass(slots=True, frozen=True)
class Entry:
    """A file that may be read. `relpath` uses "/" everywhere."""

    relpath: str
    kind: str
    device: int
    inode: int
    size: int
    mtime_ns: int


@dataclass(slots=True, frozen=True)
class Known:
    """What the index holds about a file."""

    id: int
    relpath: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    recipe: str


@dataclass(slots=True)
class Found:
    """The result of a walk. Directories are counted for the watcher's limits."""

    entries: dict[str, Entry] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    directories: int = 0


@dataclass(slots=True, frozen=True)
class Changes:
    """What must be done so that the index equals the folder."""

    read: tuple[Entry, ...] = ()
    moved: tuple[tuple[int, Entry], ...] = ()
    gone: tuple[int, ...] = ()
    recut: tuple[Entry, ...] = ()
    """Unchanged files whose recipe is another one now."""
    kept: int = 0
    """Files that vanished together with their disk."""
    devices: Mapping[int, int] = field(default_factory=dict)
    """Disks that have a new number."""

    def __bool__(self) -> bool:
        return bool(self.read or self.moved or self.gone or self.recut)


def walk(root: Path, rules: Rules, scope: Iterable[str] = ("",)) -> Found:
    """Everything readable at or below the relative paths in `scope` ("" is the whole root)."""
    found = Found()
    for relpath in minimal(scope):
        if relpath == "":
            _walk_directory(root, "", rules, found)
            continue
        try:
            status = os.lstat(os.path.join(root, relpath))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            found.problems.append((relpath, error.strerror or str(error)))
            found.unreadable.append(relpath)
            continue
        if rules.explain(relpath, is_dir=stat.S_ISDIR(status.st_mode)) is not None:
            continue
        if stat.S_ISDIR(status.st_mode):
            _walk_directory(root, relpath, rules, found)
        else:
            _take(relpath, status, found)
    return found


def _walk_directory(root: Path, top: str, rules: Rules, found: Found) -> None:
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        found.directories += 1
        try:
            with os.scandir(os.path.join(root, directory)) as entries:
                for entry in entries:
                    relpath = f"{directory}/{entry.name}" if directory else entry.name
                    if entry.is_symlink():
                        continue
                    if not storable(relpath):
                        shown = relpath.encode("utf-8", "backslashreplace").decode()
                        found.problems.append((shown, "its name is not Unicode"))
                        continue
                    is_dir = entry.is_dir(follow_symlinks=False)
                    if rules.refusal(relpath, is_dir=is_dir) is not None:
                        continue
                    if is_dir:
                        waiting.append(relpath)
                    else:
                        _take_entry(relpath, entry, found)
        except FileNotFoundError:
            continue
        except OSError as error:
            found.problems.append((directory or ".", error.strerror or str(error)))
            found.unreadable.append(directory)


def _take_entry(relpath: str, entry: "os.DirEntry[str]", found: Found) -> None:
    try:
        _take(relpath, entry.stat(follow_symlinks=False), found)
    except FileNotFoundError:
        return  # gone between the listing and the look
    except OSError as error:
        found.problems.append((relpath, error.strerror or str(error)))
        found.unreadable.append(relpath)


def _take(relpath: str, status: os.stat_result, found: Found) -> None:
    kind = kind_of(relpath)
    # FIFOs, sockets and devices are not even listed: opening one may block or act.
    if kind is None or not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return
    if status.st_size > size_limit(kind):
        found.problems.append((relpath, f"it is bigger than {size_limit(kind) // 2**20} MiB"))
        return
    found.entries[relpath] = Entry(relpath, kind, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def storable(relpath: str) -> bool:
    """Names that are not Unicode cannot be shown, stored or cited."""
    try:
        relpath.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def minimal(scope: Iterable[str]) -> list[str]:
    """The paths that are not below another path of the scope."""
    kept: list[str] = []
    for path in sorted(set(scope), key=lambda item: item.split("/") if item else []):
        if not any(is_below(path, above) for above in kept[-1:]):
            kept.append(path)
    return kept


def is_below(path: str, above: str) -> bool:
    """Whether `path` is `above` or inside it; everything is inside ""."""
    return above == "" or path == above or path.startswith(above + "/")


def compare(known: Mapping[str, Known], found: Found, recipes: Mapping[str, str]) -> Changes:
    """Changes that make `known` equal to `found`; both must be of the same scope. `recipes` by kind.

    A vanished file and a new one with the same inode, size and time are one file that moved: its
    chunks and vectors stay, nothing is parsed. A file that failed is read again only when it changed.
    """
    vanished = {
        row.relpath: row
        for row in known.values()
        if row.relpath not in found.entries and not any(is_below(row.relpath, path) for path in found.unreadable)
    }
    by_identity = {(row.device, row.inode, row.size, row.mtime_ns): row for row in vanished.values()}
    read: list[Entry] = []
    recut: list[Entry] = []
    moved: list[tuple[int, Entry]] = []
    for entry in found.entries.values():
        row = known.get(entry.relpath)
        if row is not None:
            if (row.size, row.mtime_ns, row.inode) != (entry.size, entry.mtime_ns, entry.inode):
                read.append(entry)
            elif row.recipe != recipes[entry.kind]:
                recut.append(entry)
            continue
        origin = by_identity.pop((entry.device, entry.inode, entry.size, entry.mtime_ns), None)
        if origin is not None and kind_of(origin.relpath) == entry.kind:
            moved.append((origin.id, entry))
            del vanished[origin.relpath]
            if origin.recipe != recipes[entry.kind]:
                recut.append(entry)
        else:
            read.append(entry)
    # Newest first: what somebody just saved is what they will ask for.
    read.sort(key=lambda entry: -entry.mtime_ns)
    return Changes(tuple(read), tuple(moved), tuple(row.id for row in vanished.values()), tuple(recut))
