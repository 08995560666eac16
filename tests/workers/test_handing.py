"""A worker gets its socket on systems where it cannot inherit one."""

import asyncio
import io
import socket
import struct
import sys

import pytest

from localmind.workers.handing import MOST, SHARED, Handing, received
from localmind.workers.process import Death

CHILD = """
import sys
from localmind.workers.handing import received

opened = []
received("shared", sys.stdin.buffer, opened.append)
sys.stdout.write(repr(opened))
"""


class FakeWindowsSocket:
    """`socket.share` as Windows has it: a description that is good for one process."""

    def share(self, pid: int) -> bytes:
        return b"for %d \x00\n\xff" % pid


async def test_a_description_reaches_the_child_that_it_is_for() -> None:
    handing = Handing(FakeWindowsSocket(), inherits=False)
    assert handing.argument == SHARED
    assert handing.options["stdin"] == asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", CHILD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    await handing.finish(process)
    told = await process.stdout.read()
    await process.wait()
    assert told == repr([b"for %d \x00\n\xff" % process.pid]).encode()


async def test_an_inherited_socket_is_named_by_its_number_and_nothing_is_written() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        handing = Handing(theirs, inherits=True)
        assert handing.options["pass_fds"] == (theirs.fileno(),)
        with received(handing.argument, io.BytesIO()) as same:
            same.send(b"x")
            assert ours.recv(1) == b"x"
            same.detach()


@pytest.mark.parametrize("told", [b"", b"\x05\x00", struct.pack("<I", 5) + b"four"])
def test_a_parent_that_ends_before_is_told_as_that(told: bytes) -> None:
    with pytest.raises(EOFError):
        received(SHARED, io.BytesIO(told), lambda data: socket.socket())


def test_nothing_of_any_length_is_taken_for_a_description() -> None:
    with pytest.raises(ValueError, match="bytes"):
        received(SHARED, io.BytesIO(struct.pack("<I", MOST + 1) + bytes(MOST + 1)), lambda data: socket.socket())


@pytest.mark.parametrize(
    ("code", "name"),
    [(-11, "SIGSEGV"), (0xC0000005, "SIGSEGV"), (0xC0000409, "SIGABRT"), (0xC000001D, "SIGILL"), (0, None), (3, None)],
)
def test_a_crash_has_the_same_name_everywhere(code: int, name: str | None) -> None:
    assert Death("worker", code, None, ()).signal_name == name
