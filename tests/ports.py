"""TCP ports of loopback that a test names before somebody listens on them.

A port that was free a moment ago is given by the kernel to the next who asks: a daemon of another test, or any
connection that goes out. So each one given here stays bound, without listening, until the tests end. Who sets
SO_REUSEADDR, as every server does, listens on it all the same; the kernel gives it to nobody else.
"""

import errno
import socket

FAMILIES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def reserved_port() -> int:
    """Free on both families of loopback, as far as both are here, and nobody else's as long as this process runs."""
    while True:
        held: list[socket.socket] = []
        port = 0
        try:
            for family, host in FAMILIES:
                if (sock := _bound(family, host, port)) is not None:
                    held.append(sock)
                    port = sock.getsockname()[1]
        except OSError as problem:
            for sock in held:
                sock.close()
            if problem.errno != errno.EADDRINUSE:
                raise
        else:
            for sock in held:
                sock.detach()  # open until the process ends
            return port


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket | None:
    """None where this family is not here."""
    try:
        sock = socket.socket(family)
    except OSError:
        return None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as problem:
        sock.close()
        if family == socket.AF_INET6 and problem.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None
        raise
    return sock
