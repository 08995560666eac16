"""The gate in front of every route: the right Host, no foreign Origin, and an asker whom we know.

It is the outermost layer of the application, so that websockets, unknown paths and documentation
pages pass through it as well. It decides from headers and the peer alone and never reads a body.
Order (DESIGN, "Security"): Host → 421, Origin → 403, then who: a peer that runs as this user, or
the token → else 401, and 429 for who keeps guessing.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse

from localmind.api.error_forms import form_of, headers_of
from localmind.api.peers import Peer
from localmind.client.proof import PATH as PROOF
from localmind.errors import ForbiddenOrigin, LocalmindError, TooManyGuesses, Unauthorized, WrongHost, row
from localmind.paths import private_dir, write_atomic

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PEER_KEY = "localmind.peer"
"""Where the server puts a callable that returns the Peer of the connection."""

PUBLIC_PATHS = frozenset({"/health", PROOF})
"""Say nothing about the user; the Host and Origin rules hold for them too."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(slots=True, frozen=True)
class Gatekeeper:
    """The rules. Pure: `refuse` maps a request's head to an error or None."""

    port: int
    token: str
    origins: frozenset[str] = frozenset()
    also: int | None = None
    """A second port that we listen on, for programs that know no other."""
    names: frozenset[str] = frozenset()
    """Of this machine beside its loopback's, where it listens beyond it; without the port."""

    def refuse(self, path: str, headers: Iterable[tuple[bytes, bytes]], peer: Peer) -> LocalmindError | None:
        """Why this request may not pass; None when it may."""
        named: dict[str, list[str]] = {}
        for key, value in headers:
            named.setdefault(key.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        if peer.transport != "unix" and (error := self._wrong_host(named.get("host", []))):
            return error
        if error := self._foreign_origin(named):
            return error
        if path in PUBLIC_PATHS or peer.is_us or self._has_token(named.get("authorization", [])):
            return None
        return Unauthorized(
            "this API answers programs of the user who runs it, or a bearer token",
            hint="send `Authorization: Bearer` with the output of `localmind token`",
        )

    def _wrong_host(self, hosts: list[str]) -> LocalmindError | None:
        ports = [port for port in (self.port, self.also) if port is not None]
        ours = (*LOOPBACK_NAMES, *(name.lower() for name in self.names))
        allowed = {f"{name}:{port}" for name in ours for port in ports}
        if 80 in ports:
            allowed |= set(ours)
        if len(hosts) == 1 and hosts[0].lower() in allowed:
            return None
        return WrongHost(
            "the Host header does not name an address and port of this machine that localmind answers to",
            hint=f"use http://127.0.0.1:{self.port} or http://localhost:{self.port}; other names: `allowed_hosts`",
        )

    def _foreign_origin(self, named: dict[str, list[str]]) -> LocalmindError | None:
        origins = named.get("origin", [])
        cross_site = any(value in ("cross-site", "same-site") for value in named.get("sec-fetch-site", []))
        if all(origin in self.origins for origin in origins) and (origins or not cross_site):
            return None
        return ForbiddenOrigin(
            "web pages may not use this API",
            hint='allow the page by `allowed_origins = ["http://…"]` in settings.toml if it is yours',
        )

    def _has_token(self, values: list[str]) -> bool:
        if len(values) != 1:
            return False
        scheme, _, given = values[0].partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), self.token.encode())


class Guesses:
    """Wrong tokens by where they came from: a user of this machine, or an address."""

    MOST = 10
    WINDOW_S = 60.0
    PLACES = 1000
    """Remembered at once; the ones heard of longest ago are forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, peer: Peer) -> float:
        """Seconds before another token of this peer is looked at; 0 when the next one may come."""
        times = [each for each in self._failed.get(_place(peer), []) if each > self._clock() - self.WINDOW_S]
        return times[0] + self.WINDOW_S - self._clock() if len(times) >= self.MOST else 0.0

    def wrong(self, peer: Peer) -> None:
        """One more wrong token."""
        times = self._failed.pop(_place(peer), [])
        self._failed[_place(peer)] = [*times[1 - self.MOST :], self._clock()]
        while len(self._failed) > self.PLACES:
            self._failed.popitem(last=False)


def _place(peer: Peer) -> str:
    return f"uid {peer.uid}" if peer.uid is not None else peer.address


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: App, keeper: Gatekeeper, guesses: Guesses | None = None) -> None:
        self._app = app
        self._keeper = keeper
        self._guesses = guesses or Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        peer_of: Callable[[], Peer] | None = scope.get(PEER_KEY)
        peer = peer_of() if peer_of is not None else Peer("tcp", None)
        error = self._refuse(scope, peer)
        if error is None or (isinstance(error, Unauthorized) and _is_preflight(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        else:
            answer = JSONResponse(form_of(scope["path"])(error), row(error).status, headers_of(error))
            await answer(scope, receive, send)

    def _refuse(self, scope: Scope, peer: Peer) -> LocalmindError | None:
        """As the keeper says; who keeps guessing tokens is not listened to, except as a program of this user."""
        guesses = not peer.is_us and any(name.lower() == b"authorization" for name, _ in scope["headers"])
        if guesses and (wait := self._guesses.wait(peer)) > 0:
            error = TooManyGuesses("too many wrong tokens came from there", hint="localmind token prints the right one")
            error.retry_after_s = round(wait) + 1
            return error
        refused = self._keeper.refuse(scope["path"], scope["headers"], peer)
        if guesses and isinstance(refused, Unauthorized):
            self._guesses.wrong(peer)
        return refused


def _is_preflight(scope: Scope) -> bool:
    """A browser's question on behalf of a page, which carries no token. Only a listed origin has come so far, and what
    adds the headers for those pages (app.py) answers it before any route sees it."""
    names = {name.lower() for name, _ in scope["headers"]}
    return scope.get("method") == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names


def read_or_make_token(path: Path) -> str:
    """The 256-bit token of this home, made (mode 0600) when there is none yet."""
    try:
        if token := path.read_text("ascii").strip():
            return token
    except FileNotFoundError:
        private_dir(path.parent)
    token = secrets.token_urlsafe(32)
    write_atomic(path, token.encode() + b"\n")
    return token
