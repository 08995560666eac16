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


def uses_tcp() -> bool:
    """Where there are no unix sockets, or the user wants it: LOCALMIND_TRANSPORT=tcp."""
    return not hasattr(socket, "AF_UNIX") or os.environ.get("LOCALMIND_TRANSPORT") == "tcp"


def by_tcp(paths: Paths) -> tuple[int, str]:
    """Port and token of the daemon that runs, or ran last. Whoever has the port must prove itself first."""
    try:
        return int(paths.port_file.read_text("ascii")), paths.token_file.read_text("ascii").strip()
    except (OSError, ValueError) as problem:
        raise DaemonUnreachable("no daemon runs here", hint="localmind serve") from problem


def connection(paths: Paths, timeout: float | None = None) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """A connection to the daemon of this home, not yet opened, and the headers it needs."""
    if not uses_tcp():
        return UnixConnection(paths.socket, timeout), {}
    from localmind.client.proof import ProvenConnection  # hmac and hashlib, which a unix socket does not need

    port, token = by_tcp(paths)
    return ProvenConnection(port, token, timeout), {"Authorization": f"Bearer {token}"}


def raise_for(status: int, body: bytes) -> None:
    if status < 300:
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
