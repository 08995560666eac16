"""One daemon a home: a lock that the kernel frees on kill -9, and a note beside it saying who holds it.

The lock file is never removed: removing it would let two daemons lock two different files.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from localmind import __version__
from localmind.errors import DaemonAlreadyRunning
from localmind.paths import Paths, private_dir, write_atomic


def runtime_file(paths: Paths) -> Path:
    return paths.data / "runtime.json"


@contextlib.contextmanager
def only_daemon(paths: Paths) -> Iterator[None]:
    """Hold this home's lock. Raises DaemonAlreadyRunning with the other one's pid."""
    private_dir(paths.data)
    lock = filelock.FileLock(paths.lock_file, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as problem:
        raise DaemonAlreadyRunning(
            f"a daemon is already running for {paths.data}{_holder(paths)}", hint="localmind status, or localmind stop"
        ) from problem
    try:
        note = {"pid": os.getpid(), "started": time.time(), "version": __version__, "socket": str(paths.socket)}
        write_atomic(runtime_file(paths), json.dumps(note).encode())
        yield
    finally:
        runtime_file(paths).unlink(missing_ok=True)
        lock.release()


def _holder(paths: Paths) -> str:
    try:
        return f" (pid {json.loads(runtime_file(paths).read_bytes())['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
