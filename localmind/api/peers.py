"""Who is at the other end of a connection, as the operating system knows it.

A unix socket tells the peer's user by itself. For a loopback TCP connection Linux lists the user of
every socket in /proc/net/tcp and tcp6: the client's own end is the row whose local address is the
peer's address (proc(5)). Elsewhere, and whenever in doubt, the answer is None: unknown, show a token.
"""

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

Address = tuple[str, int]


@dataclass(slots=True, frozen=True)
class Peer:
    """The other end of one connection."""

    transport: str
    """ "unix" or "tcp"."""
    uid: int | None
    """The user that owns it; None when unknown."""
    address: str = field(default="", compare=False)
    """Where a TCP connection comes from."""

    @property
    def is_us(self) -> bool:
        return self.uid is not None and hasattr(os, "getuid") and self.uid == os.getuid()


def unix_peer(sock: socket.socket) -> Peer:
    """The peer of a connected unix socket (SO_PEERCRED on Linux, LOCAL_PEERCRED on macOS)."""
    if sys.platform == "linux":
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", raw)
        return Peer("unix", uid)
    if sys.platform == "darwin":
        # struct xucred: u_int cr_version; uid_t cr_uid; … (sys/ucred.h); level SOL_LOCAL 0, LOCAL_PEERCRED 1
        raw = sock.getsockopt(0, 1, 76)
        _, uid = struct.unpack_from("2I", raw)
        return Peer("unix", uid)
    return Peer("unix", None)


def tcp_peer(ours: Address, theirs: Address, read_table: Callable[[], Iterable[str]] | None = None) -> Peer:
    """The peer of a loopback TCP connection. `read_table` yields the lines of /proc/net/tcp and tcp6."""
    if read_table is None:
        if sys.platform != "linux":
            return Peer("tcp", None, theirs[0])
        read_table = _proc_tables
    wanted = (_hex_address(theirs), _hex_address(ours))
    mapped = (_hex_address(_as_mapped(theirs)), _hex_address(_as_mapped(ours)))
    for line in read_table():
        fields = line.split()
        # sl local_address rem_address st tx:rx tr:tm retrnsmt uid …; state 01 is ESTABLISHED
        if len(fields) > 7 and fields[3] == "01" and (fields[1], fields[2]) in (wanted, mapped):
            return Peer("tcp", int(fields[7]), theirs[0])
    return Peer("tcp", None, theirs[0])


def _proc_tables() -> Iterable[str]:
    for name in ("tcp", "tcp6"):
        try:
            yield from Path("/proc/net", name).read_text("ascii").splitlines()
        except OSError:
            continue


def _as_mapped(address: Address) -> Address:
    host = ipaddress.ip_address(address[0])
    return (f"::ffff:{host}", address[1]) if host.version == 4 else address


def _hex_address(address: Address) -> str:
    """As the kernel prints it: each 32-bit word of the address in host byte order, then the port."""
    packed = ipaddress.ip_address(address[0]).packed
    words = struct.unpack(f">{len(packed) // 4}I", packed)
    host = "".join(f"{int.from_bytes(word.to_bytes(4, 'big'), sys.byteorder):08X}" for word in words)
    return f"{host}:{address[1]:04X}"
