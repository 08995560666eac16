"""How a worker process comes to its end of the socket, on every system.

POSIX lets a child inherit a descriptor, and its number stands on the command line. Windows inherits handles of files
only: there a socket is duplicated for a process that runs already, and what describes the duplicate is written to the
child's standard input. Nothing else of starting a process is decided here.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

SHARED = "shared"
"""In place of a number on the command line: the socket comes through standard input."""
LENGTH = struct.Struct("<I")
MOST = 4096
"""Bytes of a description; Windows' WSAPROTOCOL_INFO has 628."""
CREATE_NO_WINDOW, CREATE_NEW_PROCESS_GROUP = 0x08000000, 0x00000200
"""A console program of a background daemon opens no window, and Ctrl-C of a terminal does not reach it."""


@dataclass(slots=True, frozen=True)
class Handing:
    """One socket on its way to one child."""

    theirs: socket.socket
    inherits: bool = os.name == "posix"

    @property
    def argument(self) -> str:
        return str(self.theirs.fileno()) if self.inherits else SHARED

    @property
    def options(self) -> dict[str, Any]:
        """For asyncio.create_subprocess_exec."""
        if self.inherits:
            return {
                "pass_fds": (self.theirs.fileno(),),
                "stdin": asyncio.subprocess.DEVNULL,
                "start_new_session": True,
            }
        return {"stdin": asyncio.subprocess.PIPE, "creationflags": CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP}

    async def finish(self, process: asyncio.subprocess.Process) -> None:
        """The child runs: give it what it has not inherited. A child that has ended already is found out elsewhere."""
        if self.inherits:
            return
        share: Callable[[int], bytes] = getattr(self.theirs, "share")  # noqa: B009 - Windows alone has it
        data = share(process.pid)
        assert process.stdin is not None  # asked for above
        process.stdin.write(LENGTH.pack(len(data)) + data)
        try:
            await process.stdin.drain()
        except ConnectionError:
            return
        process.stdin.close()


def received(
    argument: str, source: BinaryIO, open_shared: Callable[[bytes], socket.socket] | None = None
) -> socket.socket:
    """The socket, in the child. `source` is its standard input. Raises EOFError when the parent has gone meanwhile."""
    if argument != SHARED:
        return socket.socket(fileno=int(argument))
    length = LENGTH.unpack(_exactly(source, LENGTH.size))[0]
    if length > MOST:
        raise ValueError(f"a description of a socket with {length} bytes")
    opened: Callable[[bytes], socket.socket] = open_shared or getattr(socket, "fromshare")  # noqa: B009 - as above
    return opened(_exactly(source, length))


def _exactly(source: BinaryIO, count: int) -> bytes:
    data = source.read(count)
    if len(data) < count:
        raise EOFError("the parent ended before it handed over the socket")
    return data
