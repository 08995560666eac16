"""The sockets that the daemon listens on: a unix socket for this user, and loopback TCP for editors.

Binding happens before the server starts, so that a port that is taken is a clear error and not a
half-started daemon. Nothing here ever binds an address that another machine could reach.
"""

import errno
import os
import socket
from pathlib import Path

import psutil

from localmind.errors import PermissionRefused, PortTaken
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
    try:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            listener = _bind(family, host, port)
            if listener is not None:
                listeners.append(listener)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket | None:
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
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
        if family == socket.AF_INET6 and problem.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None  # IPv6 is there but switched off
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
