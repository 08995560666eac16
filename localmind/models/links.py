"""One file under two names without its bytes twice: clones, hard links, symbolic links.

A clone (btrfs, XFS, bcachefs) shares bytes until somebody writes, so it is as good as a copy. A hard link lives on when
the other name is deleted, and changes when the other program writes into the file. A symbolic link does not even live
on. So the two last are remembered with the time of the file's last change, and are not loaded after another one.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from localmind.errors import DiskFull, PermissionRefused

Way = Literal["clone", "hard link", "symbolic link"]

FICLONE = 0x40049409
"""ioctl_ficlone(2) of Linux; the number is the same on x86, ARM and RISC-V."""


def link(source: Path, place: Path) -> Way:
    """Give the new name `place` the bytes of `source` for no room. Raises PermissionRefused or DiskFull."""
    source = source.resolve()
    if _clone(source, place):
        return "clone"
    with contextlib.suppress(OSError):
        os.link(source, place)
        return "hard link"
    try:
        os.symlink(source, place)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no room left on the disk for {place}", hint=f"df -h {place.parent}") from problem
        raise PermissionRefused(
            f"cannot link {source} into {place.parent}: {problem.strerror}", hint="localmind models import --copy"
        ) from problem
    return "symbolic link"


def shared_since(blob: Path) -> int | None:
    """When a blob that somebody else can change was last changed (ns); None for one that is ours alone."""
    try:
        found = blob.stat()
        ours = found.st_nlink == 1 and not blob.is_symlink()
    except OSError:
        return None
    return None if ours else found.st_mtime_ns


def room_of(path: Path) -> int:
    """Bytes that deleting this name would free."""
    found = path.lstat()
    return found.st_size if found.st_nlink == 1 and not path.is_symlink() else 0


def _clone(source: Path, place: Path) -> bool:
    try:
        import fcntl
    except ImportError:
        return False
    with contextlib.suppress(OSError), _given_up(place) as keep:
        with source.open("rb") as bytes_, place.open("xb") as out:
            fcntl.ioctl(out.fileno(), FICLONE, bytes_.fileno())
        keep.append(True)
        return True
    return False


@contextlib.contextmanager
def _given_up(place: Path) -> Iterator[list[bool]]:
    """Take away what a failed attempt left."""
    keep: list[bool] = []
    try:
        yield keep
    finally:
        if not keep:
            place.unlink(missing_ok=True)
