"""The only door from the command line and the terminal app to the daemon.

`Client` and `AsyncClient` speak the native HTTP API over the unix socket (TCP with the token where
there is none); both are thin over the same requests and the same reading of events. `ensure_daemon`
starts a daemon when none answers. Nothing here imports the daemon's code: it is started as a command.
"""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from localmind.errors import DaemonUnreachable, LocalmindError, TimedOut, from_wire
from localmind.events import Done, Event, Failed, decode
from localmind.messages import Message
from localmind.paths import Paths, private_dir

START_TIMEOUT_S = 20.0
"""A daemon is up in under 1.5 s; a cold disk gets this long before we show its log."""
HEALTH_TIMEOUT_S = 2.0

API = "/localmind/v1"


class _UnixConnection(http.client.HTTPConnection):
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


def _by_tcp(paths: Paths) -> tuple[int, dict[str, str]]:
    """Port and headers for a system without unix sockets."""
    try:
        token = paths.token_file.read_text("utf-8").strip()
    except OSError as problem:
        raise DaemonUnreachable("no token yet: the daemon has never run here", hint="localmind serve") from problem
    return int(os.environ.get("LOCALMIND_PORT", "11411")), {"Authorization": f"Bearer {token}"}


def _connection(paths: Paths, timeout: float | None = None) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """A connection to the daemon of this home, not yet opened, and the headers it needs."""
    if hasattr(socket, "AF_UNIX"):
        return _UnixConnection(paths.socket, timeout), {}
    port, headers = _by_tcp(paths)
    return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout), headers


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


def _unreachable(paths: Paths) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"no daemon answers at {paths.socket}", hint="localmind serve, or any command that starts it"
    )


def _went_away(paths: Paths) -> DaemonUnreachable:
    return DaemonUnreachable(
        "the daemon went away in the middle of the answer", hint=f"localmind status; its log is {paths.log_file}"
    )


class Client:
    """Blocking calls, for the command line. Raises LocalmindError subclasses only."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays open between calls."""

    def get(self, path: str, /, **query: Any) -> Any:
        """GET of the native API; `path` without its prefix."""
        return self._answer("GET", path, query=query)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._answer("POST", path, body=body or {})

    def delete(self, path: str, /, **query: Any) -> Any:
        return self._answer("DELETE", path, query=query)

    def events(self, path: str, body: dict[str, Any] | None = None) -> Iterator[Event]:
        """POST and yield the events of the answer. A Failed event is raised as its error."""
        with self._reply("POST", path, body=body or {}) as reply:
            for line in reply:
                if (event := _event(line.decode())) is None:
                    continue
                if isinstance(event, Failed):
                    raise event.exception()
                yield event
                if isinstance(event, Done):
                    return
        raise _went_away(self.paths)

    def healthy(self) -> bool:
        """Whether a daemon answers."""
        try:
            connection, headers = _connection(self.paths, HEALTH_TIMEOUT_S)
            with contextlib.closing(connection):
                connection.request("GET", "/health", headers=headers)
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException, DaemonUnreachable):
            return False

    def _answer(self, method: str, path: str, **more: Any) -> Any:
        with self._reply(method, path, **more) as reply:
            return json.loads(reply.read())

    @contextlib.contextmanager
    def _reply(
        self, method: str, path: str, *, query: dict[str, Any] | None = None, body: dict[str, Any] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """The reply, its status checked. Waits without limit: a daemon that dies closes the socket."""
        given = {key: value for key, value in (query or {}).items() if value is not None}
        target = API + urllib.parse.quote(path) + (f"?{urllib.parse.urlencode(given)}" if given else "")
        connection, headers = _connection(self.paths)
        with contextlib.closing(connection):
            try:
                connection.connect()
            except OSError as problem:
                raise _unreachable(self.paths) from problem
            try:
                data = None if body is None else json.dumps(body).encode()
                connection.request(method, target, data, headers | {"Content-Type": "application/json"})
                reply = connection.getresponse()
                if reply.status >= 400:
                    _raise_for(reply.status, reply.read())
                yield reply
            except (http.client.HTTPException, ConnectionError) as problem:
                raise _went_away(self.paths) from problem


class AsyncClient:
    """The same for the terminal app. Closing an iterator cancels what it was streaming."""

    def __init__(self, paths: Paths) -> None:
        import httpx2  # see _UnixConnection

        self.paths = paths
        self._httpx = httpx2
        base, headers, socket_path = "http://localhost", dict[str, str](), str(paths.socket)
        if not hasattr(socket, "AF_UNIX"):
            port, headers = _by_tcp(paths)
            base, socket_path = f"http://127.0.0.1:{port}", ""
        self._http = httpx2.AsyncClient(
            base_url=base + API,
            headers=headers,
            timeout=None,
            transport=httpx2.AsyncHTTPTransport(verify=False, uds=socket_path or None),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def status(self) -> dict[str, Any]:
        with self._reaching():
            reply = await self._http.get("/status")
        _raise_for(reply.status_code, reply.content)
        status: dict[str, Any] = reply.json()
        return status

    def ask(
        self, question: str, *, folder: str | None = None, model: str | None = None, thread: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Answer from the watched folders: Sources, text, Sources cited, Done."""
        return self.events("/ask", {"question": question, "folder": folder, "model": model, "thread": thread})

    def chat(self, messages: Sequence[Message], *, model: str | None = None) -> AsyncGenerator[Event, None]:
        """Talk to the model alone."""
        said = [{"role": message.role, "content": message.content} for message in messages]
        return self.events("/chat", {"messages": said, "model": model})

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """POST and yield the events, the last one (Done or Failed) included."""
        with self._reaching():
            async with self._http.stream("POST", path, json=body) as reply:
                if reply.status_code >= 400:
                    _raise_for(reply.status_code, await reply.aread())
                async for line in reply.aiter_lines():
                    if (event := _event(line)) is not None:
                        yield event

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn a failed connection, or one that broke, into DaemonUnreachable."""
        try:
            yield
        except (self._httpx.ConnectError, self._httpx.ConnectTimeout) as problem:
            raise _unreachable(self.paths) from problem
        except (self._httpx.RemoteProtocolError, self._httpx.ReadError, self._httpx.WriteError) as problem:
            raise _went_away(self.paths) from problem


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
