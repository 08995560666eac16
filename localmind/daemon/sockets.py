"""The sockets that the daemon listens on: a unix socket for this user, and loopback TCP for editors.

Binding happens before the server starts, so that a port that is taken is a clear error and not a
half-started daemon. An address that another machine could reach is bound only where the settings name it.
"""

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil

from localmind.errors import ConfigInvalid, PermissionRefused, PortTaken
from localmind.paths import private_dir

BACKLOG = 128


def unix_listener(path: Path) -> socket.socket:
    """A listening unix socket at `path`, mode 0600. The caller holds the daemon lock, so a leftover file is stale."""
    private_dir(path.parent)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as problem:
        listener.close()
        raise PermissionRefused(
            f"cannot make the socket {path}: {problem.strerror}", hint=f"ls -ld {path.parent}"
        ) from problem
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def tcp_listeners(port: int) -> list[socket.socket]:
    """Listening sockets on 127.0.0.1 and, where IPv6 exists, ::1. Raises PortTaken."""
    listeners: list[socket.socket] = []
    with contextlib.ExitStack() as opened:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            if (listener := _bind(family, host, port)) is not None:
                listeners.append(opened.enter_context(listener))
        opened.pop_all()
    return listeners


def other_listeners(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Listening sockets on addresses that the user named. Raises ConfigInvalid, PortTaken."""
    listeners: list[socket.socket] = []
    with contextlib.ExitStack() as opened:
        for address in addresses:
            family = socket.AF_INET6 if _address(address).version == 6 else socket.AF_INET
            if (listener := _bind(family, address, port)) is None:
                raise ConfigInvalid(f"`listen`: this machine has no IPv6, so it has no {address}")
            listeners.append(opened.enter_context(listener))
        opened.pop_all()
    return listeners


def names_of(addresses: Sequence[str], allowed: Sequence[str]) -> frozenset[str]:
    """What a Host header may call this machine beside its loopback names. Raises ConfigInvalid."""
    found = [_address(address) for address in addresses]
    if any(each.is_unspecified for each in found) and not allowed:
        raise ConfigInvalid(
            "`listen` names every address of this machine, and no name that others call it by is allowed",
            hint='add allowed_hosts = ["NAME", …] to settings.toml, or listen on single addresses',
        )
    own = {f"[{each}]" if each.version == 6 else str(each) for each in found if not each.is_unspecified}
    return frozenset(own | set(allowed))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as problem:
        raise ConfigInvalid(f"`listen`: {text!r} is no IP address", hint='such as ["192.168.1.20"]') from problem


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket | None:
    try:
        # The protocol by its name: asyncio switches Nagle's delay off only for sockets that say TCP, and each that is
        # accepted says what its listener said. With the delay a kept connection got its first text 40 ms late.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError:
        return None  # no IPv6 in this kernel
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        if problem.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} on {host} is taken by {_owner(port)}",
                hint="stop that program, or choose another port: LOCALMIND_PORT=11412 localmind serve",
            ) from problem
        if problem.errno == errno.EACCES:
            raise PermissionRefused(
                f"this user may not listen on port {port}", hint="choose a port above 1023"
            ) from problem
        if host == "::1" and problem.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None  # IPv6 is there but switched off
        if problem.errno == errno.EADDRNOTAVAIL:
            raise ConfigInvalid(f"`listen`: this machine has no address {host}", hint="ip addr") from problem
        raise
    return listener


def _owner(port: int) -> str:
    """The program that listens on `port`, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr[1:] == (port,):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"
