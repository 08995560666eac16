"""The only door from the command line and the terminal app to the daemon.

`Client` and `AsyncClient` speak the native HTTP API over the unix socket (TCP with the token where
there is none); both are thin over the same requests and the same reading of events. `ensure_daemon`
starts a daemon when none answers. Nothing here imports the daemon's code: it is started as a command.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2 as httpx

from localmind.errors import DaemonUnreachable, LocalmindError, TimedOut, from_wire
from localmind.events import Done, Event, Failed, decode
from localmind.messages import Message
from localmind.paths import Paths, private_dir

START_TIMEOUT_S = 20.0
"""A daemon is up in under 1.5 s; a cold disk gets this long before we show its log."""

API = "/localmind/v1"


def _base(paths: Paths) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Base URL, transport arguments and headers that reach the daemon of this home."""
    if hasattr(os, "getuid"):
        return "http://localhost", {"uds": str(paths.socket)}, {}
    port = int(os.environ.get("LOCALMIND_PORT", "11411"))
    try:
        token = paths.token_file.read_text("utf-8").strip()
    except OSError as problem:
        raise DaemonUnreachable("no token yet: the daemon has never run here", hint="localmind serve") from problem
    return f"http://127.0.0.1:{port}", {}, {"Authorization": f"Bearer {token}"}


# No read limit: an answer may take minutes, and a daemon that dies closes the connection.
_TIMEOUT = httpx.Timeout(None, connect=5.0)


def _listening(path: Path) -> bool:
    """Whether anybody accepts connections at a unix socket. httpx leaks the socket of a refused connection."""
    if not hasattr(socket, "AF_UNIX"):
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _raise_for(status: int, body: bytes) -> None:
    if status < 400:
        return
    try:
        error = from_wire(json.loads(body)["error"]["localmind"])
    except (ValueError, KeyError, TypeError):
        raise LocalmindError(f"the daemon answered {status}: {body[:200]!r}") from None
    raise error


def _event(line: str) -> Event | None:
    return decode(json.loads(line[5:])) if line.startswith("data:") else None


@contextlib.contextmanager
def _reaching(paths: Paths) -> Iterator[None]:
    """Turn a failed connection, or one that broke, into DaemonUnreachable."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
        raise DaemonUnreachable(
            f"no daemon answers at {paths.socket}", hint="localmind serve, or any command that starts it"
        ) from problem
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as problem:
        raise DaemonUnreachable(
            "the daemon went away in the middle of the answer", hint=f"localmind status; its log is {paths.log_file}"
        ) from problem


class Client:
    """Blocking calls, for the command line. Raises LocalmindError subclasses only."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        base, transport, headers = _base(paths)
        # verify=False: no TLS on a unix socket or loopback, and loading the certificates takes 30 ms.
        self._http = httpx.Client(
            base_url=base, headers=headers, timeout=_TIMEOUT, transport=httpx.HTTPTransport(verify=False, **transport)
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, /, **query: Any) -> Any:
        """GET of the native API; `path` without its prefix."""
        return self._request("GET", API + path, params={k: v for k, v in query.items() if v is not None})

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._request("POST", API + path, json=body or {})

    def delete(self, path: str, /, **query: Any) -> Any:
        return self._request("DELETE", API + path, params={k: v for k, v in query.items() if v is not None})

    def events(self, path: str, body: dict[str, Any] | None = None) -> Iterator[Event]:
        """POST and yield the events of the answer. A Failed event is raised as its error."""
        ended = False
        with _reaching(self.paths), self._http.stream("POST", API + path, json=body or {}) as reply:
            if reply.status_code >= 400:
                _raise_for(reply.status_code, reply.read())
            for line in reply.iter_lines():
                if (event := _event(line)) is None:
                    continue
                if isinstance(event, Failed):
                    raise event.exception()
                ended = isinstance(event, Done)
                yield event
        if not ended:
            raise DaemonUnreachable(
                "the answer ended early", hint=f"localmind status; its log is {self.paths.log_file}"
            )

    def healthy(self) -> bool:
        """Whether a daemon answers."""
        if not _listening(self.paths.socket):
            return False
        try:
            return self._http.get("/health", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        with _reaching(self.paths):
            reply = self._http.request(method, path, **arguments)
        _raise_for(reply.status_code, reply.content)
        return reply.json()


class AsyncClient:
    """The same for the terminal app. Closing an iterator cancels what it was streaming."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        base, transport, headers = _base(paths)
        self._http = httpx.AsyncClient(
            base_url=base,
            headers=headers,
            timeout=_TIMEOUT,
            transport=httpx.AsyncHTTPTransport(verify=False, **transport),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def status(self) -> dict[str, Any]:
        with _reaching(self.paths):
            reply = await self._http.get(f"{API}/status")
        _raise_for(reply.status_code, reply.content)
        status: dict[str, Any] = reply.json()
        return status

    def ask(
        self, question: str, *, folder: str | None = None, model: str | None = None, thread: str | None = None
    ) -> AsyncIterator[Event]:
        """Answer from the watched folders: Sources, text, Sources cited, Done."""
        return self.events("/ask", {"question": question, "folder": folder, "model": model, "thread": thread})

    def chat(self, messages: Sequence[Message], *, model: str | None = None) -> AsyncIterator[Event]:
        """Talk to the model alone."""
        return self.events(
            "/chat", {"messages": [{"role": m.role, "content": m.content} for m in messages], "model": model}
        )

    async def events(self, path: str, body: dict[str, Any]) -> AsyncIterator[Event]:
        """POST and yield the events, the last one (Done or Failed) included."""
        with _reaching(self.paths):
            async with self._http.stream("POST", API + path, json=body) as reply:
                if reply.status_code >= 400:
                    _raise_for(reply.status_code, await reply.aread())
                async for line in reply.aiter_lines():
                    if (event := _event(line)) is not None:
                        yield event


def ensure_daemon(paths: Paths, *, progress: Callable[[str], None] = lambda text: None) -> Client:
    """A client of a daemon that answers; starts one if need be, telling `progress` what it does.

    Two commands that start at once start one daemon. Raises DaemonUnreachable with the end of the
    daemon's log when it does not come up in time.
    """
    client = Client(paths)
    if client.healthy():
        return client
    import filelock  # only when a daemon must be started

    private_dir(paths.data)
    lock = filelock.FileLock(paths.spawn_lock_file)
    try:
        with lock.acquire(timeout=START_TIMEOUT_S):
            if not client.healthy():
                progress("starting the localmind daemon")
                _wait_until_healthy(client, paths, _spawn(paths))
    except filelock.Timeout as problem:
        raise TimedOut("another command has been starting the daemon for too long", hint="localmind serve") from problem
    except BaseException:
        client._http.close()
        raise
    return client


def _spawn(paths: Paths) -> "subprocess.Popen[bytes]":
    private_dir(paths.logs)
    with open(paths.logs / "daemon.start.log", "wb") as log:
        return subprocess.Popen(
            # -P: the current directory may hold a file named like a module of ours.
            [sys.executable, "-P", "-m", "localmind", "serve", "--background"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path.home() if Path.home().is_dir() else "/",
            start_new_session=True,
        )


def _wait_until_healthy(client: Client, paths: Paths, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if client.healthy():
            process.returncode = 0  # it is meant to outlive us: no warning about a child left running
            return
        try:
            process.wait(timeout=0.03)
        except subprocess.TimeoutExpired:
            continue
        break
    said = (paths.logs / "daemon.start.log").read_text("utf-8", "replace").strip()
    if process.returncode is None:
        raise DaemonUnreachable(f"the daemon did not come up in {START_TIMEOUT_S:.0f} s", hint=f"see {paths.log_file}")
    if said.startswith("error: "):  # our own words: message, then hint
        message, _, hint = said.removeprefix("error: ").partition("\nhint: ")
        raise DaemonUnreachable(f"the daemon did not start: {message.strip()}", hint=hint.strip() or None)
    raise DaemonUnreachable(
        f"the daemon ended at once with exit code {process.returncode}: {said[-800:]}", hint="localmind serve shows why"
    )
