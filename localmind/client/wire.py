"""What both clients share: where the daemon is, how its events and errors are read, what is said when it is gone."""

import http.client
import json
import os
import socket
from pathlib import Path

from localmind.errors import DaemonUnreachable, LocalmindError, from_wire
from localmind.events import Event, decode
from localmind.paths import Paths

API = "/localmind/v1"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket. `http.client` because httpx takes 0.15 s to import, which every command would pay."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(str(self._path))
        except OSError:
            sock.close()
            raise
        self.sock = sock


def by_tcp(paths: Paths) -> tuple[int, dict[str, str]]:
    """Port and headers for a system without unix sockets."""
    try:
        token = paths.token_file.read_text("utf-8").strip()
    except OSError as problem:
        raise DaemonUnreachable("no token yet: the daemon has never run here", hint="localmind serve") from problem
    return int(os.environ.get("LOCALMIND_PORT", "11411")), {"Authorization": f"Bearer {token}"}


def connection(paths: Paths, timeout: float | None = None) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """A connection to the daemon of this home, not yet opened, and the headers it needs."""
    if hasattr(socket, "AF_UNIX"):
        return UnixConnection(paths.socket, timeout), {}
    port, headers = by_tcp(paths)
    return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout), headers


def raise_for(status: int, body: bytes) -> None:
    if status < 400:
        return
    try:
        error = from_wire(json.loads(body)["error"]["localmind"])
    except (ValueError, KeyError, TypeError):
        raise LocalmindError(f"the daemon answered {status}: {body[:200]!r}") from None
    raise error


def event(line: str) -> Event | None:
    return decode(json.loads(line[5:])) if line.startswith("data:") else None


def unreachable(paths: Paths) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"no daemon answers at {paths.socket}", hint="localmind serve, or any command that starts it"
    )


def went_away(paths: Paths) -> DaemonUnreachable:
    return DaemonUnreachable(
        "the daemon went away in the middle of the answer", hint=f"localmind status; its log is {paths.log_file}"
    )
