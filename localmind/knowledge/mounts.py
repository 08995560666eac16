"""What the system hides from events: network mounts, watches it did not give, and the time it slept.

Each function asks the system one question and is safe to call on any thread; where a system cannot
tell, the answer is "nothing known", and the periodic look at everything makes up for it.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

# Types of file systems on which other machines change files without an event here.
NETWORK = re.compile(
    r"^(nfs\d?|cifs|smb\w*|9p|afs|afpfs|ncpfs?|ceph|glusterfs|lustre|gpfs|beegfs|webdav|davfs\d?|virtiofs|vboxsf|"
    r"vmhgfs|prl_fs|drvfs|fuse\.(sshfs|rclone|s3fs|gcsfuse|davfs\d?|glusterfs|ceph\w*|vmhgfs-fuse|google-drive\w*|"
    r"gvfsd-fuse|onedrive\w*|encfs|cryfs|mergerfs|bindfs|unionfs\w*))$"
)


def network_mount(path: Path, mounts: Iterable[tuple[str, str]] | None = None) -> str | None:
    """Why changes of a folder may come without an event: it is on a network mount, or holds one. None: it is not.

    `mounts`: (mount point, type) pairs; None asks the system.
    """
    if mounts is None:
        mounts = system_mounts()
    home, inside = ("", ""), None
    for point, kind in mounts:
        if path == Path(point) or path.is_relative_to(point):
            # Of two mounts on one point the later one is seen.
            if len(point) >= len(home[0]):
                home = (point, kind)
        elif Path(point).is_relative_to(path) and NETWORK.match(kind):
            inside = (point, kind)
    if NETWORK.match(home[1]):
        return f"it is on a network file system ({home[1]}), which tells of no change made elsewhere"
    if inside is not None:
        return f"{inside[0]} in it is a network file system ({inside[1]}), which tells of no change made elsewhere"
    return None


def system_mounts() -> list[tuple[str, str]]:
    """(mount point, type) of everything that is mounted."""
    try:
        return [
            # Windows names no type for a share but says so among the options.
            (entry.mountpoint, "smb" if "remote" in entry.opts.split(",") else entry.fstype)
            for entry in psutil.disk_partitions(all=True)
        ]
    except (OSError, RuntimeError):
        return []


def installed_watches() -> int | None:
    """inotify watches that this process holds, from /proc; None where that cannot be read."""
    instances, watches = 0, 0
    try:
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:inotify":
                    instances += 1
                    watches += Path(f"/proc/self/fdinfo/{name}").read_text().count("inotify wd:")
    except OSError:
        return None
    # Some sandboxes show the instances without their watches.
    return None if instances and not watches else watches


def awake() -> float:
    """Seconds that differ from the clock of waking time by the time the machine slept, and only by that.

    Linux counts sleep in CLOCK_BOOTTIME and not in CLOCK_MONOTONIC; elsewhere the wall clock has to do, so that
    setting it looks like sleep, which costs one look at the folders.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return (time.clock_gettime(clock) if clock is not None else time.time()) - time.monotonic()
