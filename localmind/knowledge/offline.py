"""Tells what was deleted from what merely is not there: a disk that was unplugged is not an empty folder.

A root that cannot be listed is offline, and a file that vanished together with the disk it was on is
kept. Systems number disks anew when they start, so the numbers of known files are first brought up to
date by files that are where they were. Looks are bounded in time, because a dead network share
answers nobody. Nothing is read here but names and stat.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from localmind.knowledge.index import Root
from localmind.knowledge.scan import Entry, Known

# Seconds in which a disk that is there answers, one that must spin up included.
ANSWER_S = 20.0


def unavailable(root: Root) -> str | None:
    """Why a root cannot be scanned: then nothing of it is deleted. An unmounted disk is not an empty folder."""
    try:
        status = os.stat(root.path)
        with os.scandir(root.path) as entries:
            empty = next(entries, None) is None
    except FileNotFoundError:
        return "the folder is not there; its index is kept until it is back"
    except OSError as error:
        return f"the folder cannot be read: {error.strerror}; its index is kept"
    if empty and status.st_dev != root.device:
        return "the folder is empty and its disk is not the one it was on; its index is kept"
    return None


class Probe:
    """`unavailable` for the loop: a share that does not answer holds one thread, not all that we have."""

    def __init__(self) -> None:
        self._asking: dict[int, asyncio.Future[str | None]] = {}

    async def unavailable(self, root: Root) -> str | None:
        asked = self._asking.get(root.id)
        if asked is None:
            asked = self._asking[root.id] = asyncio.ensure_future(asyncio.to_thread(unavailable, root))
            asked.add_done_callback(lambda _: self._asking.pop(root.id, None))
        done, _ = await asyncio.wait([asked], timeout=ANSWER_S)
        return asked.result() if done else "the folder's disk does not answer; its index is kept"


def renumbered(known: Mapping[str, Known], found: Mapping[str, Entry]) -> dict[int, int]:
    """Old number → new number of disks, by files that are where they were with size and time as they were."""
    votes = Counter(
        (row.device, entry.device)
        for path, row in known.items()
        if (entry := found.get(path)) is not None
        and row.device != entry.device
        and (row.size, row.mtime_ns) == (entry.size, entry.mtime_ns)
    )
    # The most frequent last, so that it wins.
    return {old: new for (old, new), _ in reversed(votes.most_common())}


def without_disk(root: Path, rows: Iterable[Known]) -> set[int]:
    """Ids of vanished files whose disk is gone too: the directory that would hold them is on another one."""
    seen: dict[str, int | None] = {}
    return {row.id for row in rows if _device_above(root, os.path.dirname(row.relpath), seen) not in (row.device, None)}


def _device_above(root: Path, directory: str, seen: dict[str, int | None]) -> int | None:
    """The disk of the nearest directory that is there; None when even the root does not tell."""
    if directory not in seen:
        try:
            seen[directory] = os.stat(os.path.join(root, directory), follow_symlinks=False).st_dev
        except (FileNotFoundError, NotADirectoryError):
            above = os.path.dirname(directory)
            seen[directory] = _device_above(root, above, seen) if directory else None
        except OSError:
            seen[directory] = None
    return seen[directory]
