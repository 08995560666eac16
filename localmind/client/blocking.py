"""The blocking client of the command line. It opens a connection a call and keeps nothing between calls."""

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

from localmind.client.wire import API, connection, event, raise_for, unreachable, went_away
from localmind.errors import DaemonUnreachable
from localmind.events import Done, Event, Failed
from localmind.paths import Paths

HEALTH_TIMEOUT_S = 2.0


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

    def text(self, path: str, /, **query: Any) -> str:
        """GET of something that is not JSON."""
        with self._reply("GET", path, query=query) as reply:
            return reply.read().decode("utf-8", "replace")

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self._answer("PATCH", path, body=body)

    def delete(self, path: str, /, **query: Any) -> Any:
        return self._answer("DELETE", path, query=query)

    def events(self, path: str, body: dict[str, Any] | None = None) -> Iterator[Event]:
        """POST and yield the events of the answer. A Failed event is raised as its error."""
        return self._events("POST", path, body=body or {})

    def follow(self, path: str) -> Iterator[Event]:
        """The same of an answer that the daemon writes whoever watches."""
        return self._events("GET", path)

    def _events(self, method: str, path: str, **more: Any) -> Iterator[Event]:
        with self._reply(method, path, **more) as reply:
            for line in reply:
                if (each := event(line.decode())) is None:
                    continue
                if isinstance(each, Failed):
                    raise each.exception()
                yield each
                if isinstance(each, Done):
                    return
        raise went_away(self.paths)

    def sound(self, path: str, body: dict[str, Any]) -> Iterator[bytes]:
        """POST and yield the bytes of the answer as they come."""
        with self._reply("POST", path, body=body) as reply:
            while data := reply.read1(1 << 16):
                yield data

    def healthy(self) -> bool:
        """Whether a daemon answers."""
        try:
            link, headers = connection(self.paths, HEALTH_TIMEOUT_S)
            with contextlib.closing(link):
                link.request("GET", "/health", headers=headers)
                return link.getresponse().status == 200
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
        link, headers = connection(self.paths)
        with contextlib.closing(link):
            try:
                link.connect()
            except OSError as problem:
                raise unreachable(self.paths) from problem
            try:
                data = None if body is None else json.dumps(body).encode()
                link.request(method, target, data, headers | {"Content-Type": "application/json"})
                reply = link.getresponse()
                if reply.status >= 300:  # no route of ours sends anybody elsewhere
                    raise_for(reply.status, reply.read())
                yield reply
            except (http.client.HTTPException, ConnectionError) as problem:
                raise went_away(self.paths) from problem
