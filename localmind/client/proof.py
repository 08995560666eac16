"""Proof that whoever holds a TCP port is this user's daemon, before it is told anything.

Where there are no unix sockets, any program of any user may have taken the port first. So each new connection begins
with a question: a nonce, whose answer is HMAC-SHA256 of it and of the port under the token that both sides read
from a private file (RFC 2104). The port is in it so that the answer of a daemon elsewhere cannot be passed on.
"""

import hashlib
import hmac
import http.client
import json
import secrets
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from localmind.errors import DaemonUnreachable

if TYPE_CHECKING:
    import httpcore2

PATH = "/localmind/v1/proof"
PATIENCE_S = 5.0
MOST_BYTES = 8192
"""Of an answer; a proof takes 300."""


def proof_of(token: str, nonce: str, port: int) -> str:
    """64 hexadecimal digits."""
    return hmac.new(token.encode(), f"localmind daemon {nonce} {port}".encode(), hashlib.sha256).hexdigest()


class Question:
    """One connection's nonce, and what came back so far."""

    def __init__(self, token: str, port: int) -> None:
        self._token, self._port = token, port
        self._nonce = secrets.token_hex(32)
        self._came = b""

    @property
    def request(self) -> bytes:
        """What is sent; nothing in it is secret."""
        return f"GET {PATH}?nonce={self._nonce} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode()

    def take(self, data: bytes) -> bool:
        """Whether the answer is complete, and right. Raises DaemonUnreachable for any other."""
        self._came += data
        head, ended, body = self._came.partition(b"\r\n\r\n")
        if not data or len(self._came) > MOST_BYTES:
            raise squatted(self._port)
        if not ended or len(body) < _length(head):
            return False
        try:
            given = json.loads(body)["proof"]
        except (ValueError, KeyError, TypeError) as problem:
            raise squatted(self._port) from problem
        if not isinstance(given, str) or not hmac.compare_digest(
            given.encode(), proof_of(self._token, self._nonce, self._port).encode()
        ):
            raise squatted(self._port)
        return True


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:") and line[15:].strip().isdigit():
            return int(line[15:])
    return 0


def squatted(port: int) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"port {port} is held by a program that is not your localmind; it was told nothing",
        hint=f"stop that program, or choose another port: LOCALMIND_PORT={port + 1}",
    )


class ProvenConnection(http.client.HTTPConnection):
    """A blocking connection that is open only to a daemon that has proved itself."""

    def __init__(self, port: int, token: str, timeout: float | None) -> None:
        super().__init__("127.0.0.1", port, timeout=timeout)
        self._token = token

    def connect(self) -> None:
        super().connect()
        sock: socket.socket = self.sock
        question = Question(self._token, self.port)
        try:
            sock.settimeout(PATIENCE_S if self.timeout is None else min(PATIENCE_S, self.timeout))
            sock.sendall(question.request)
            while not question.take(sock.recv(MOST_BYTES)):
                pass
            sock.settimeout(self.timeout)
        except TimeoutError as problem:
            self.close()
            raise squatted(self.port) from problem
        except BaseException:
            self.close()
            raise


def proving_pool(port: int, token: str) -> "httpcore2.AsyncConnectionPool":
    """The same for the asynchronous client: each of its connections is proved before anything else is sent."""
    import httpcore2

    class Proving(httpcore2.AsyncNetworkBackend):
        def __init__(self) -> None:
            self._network = httpcore2.AnyIOBackend()

        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore2.AsyncNetworkStream:
            stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
            question = Question(token, port)
            try:
                await stream.write(question.request, PATIENCE_S)
                while not question.take(await stream.read(MOST_BYTES, PATIENCE_S)):
                    pass
            except (httpcore2.ReadTimeout, httpcore2.ReadError, httpcore2.WriteError) as problem:
                await stream.aclose()
                raise squatted(port) from problem
            except BaseException:
                await stream.aclose()
                raise
            return stream

        async def sleep(self, seconds: float) -> None:
            await self._network.sleep(seconds)

    return httpcore2.AsyncConnectionPool(max_connections=None, network_backend=Proving())
