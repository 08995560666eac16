"""Room on the disk: how much is free, taking it before it is needed, and filling it in good time.

Blocks are reserved beyond a file's end, so that its length still says how much of it has come.
"""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

FLOOR = 256 << 20
"""Bytes that a download leaves free, so that the database can still be written."""
KEEP_SIZE = 1
"""FALLOC_FL_KEEP_SIZE of fallocate(2)."""

WRITE = 2
"""SYNC_FILE_RANGE_WRITE of sync_file_range(2)."""

FreeSpace = Callable[[Path], int]
Reserve = Callable[[Path, int], bool]


def free_space(path: Path) -> int:
    return shutil.disk_usage(path).free


def reserve_blocks(path: Path, size: int) -> bool:
    """Give a file, made if need be, blocks for so many bytes. False where the system or file system cannot do that.

    Raises OSError where there is no room.
    Not posix_fallocate: where a file system cannot do it, that writes zeros, for minutes and to a longer file.
    """
    if sys.platform != "linux":
        return False
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if call(descriptor, KEEP_SIZE, 0, size) == 0:
            return True
        failure = ctypes.get_errno()
        if failure in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(failure, os.strerror(failure), str(path))
        return False
    finally:
        os.close(descriptor)


def begin_writing(descriptor: int, start: int, length: int) -> None:
    """Let the system begin to move written bytes to the disk; waits for nothing and promises nothing.

    Otherwise all of a large file is still in memory at its end, and the last sync stands still for seconds.
    """
    if sys.platform == "linux":
        call = ctypes.CDLL(None).sync_file_range
        call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
        call(descriptor, start, length, WRITE)


def blocks_of(path: Path) -> int:
    """Bytes of disk that a file has, beyond its end too."""
    try:
        return getattr(path.stat(), "st_blocks", 0) * 512
    except OSError:
        return 0
