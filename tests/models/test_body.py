"""Bodies as they come from real sockets: in one buffer where that is possible, through the library where not."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import httpx2
import pytest
import trustme
from index_fakes import noise

from localmind.models.body import BUFFER, pieces, plain_socket

BODY = noise(BUFFER * 2 + 12_345, 5)
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.contextmanager
def answering(send: Callable[[socket.socket], object], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """One connection, of which the request is read and not looked at; it is closed after the answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        peer, _ = listener.accept()
        with contextlib.suppress(OSError), tls.wrap_socket(peer, server_side=True) if tls else peer as connection:
            connection.recv(65536)
            send(connection)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()
        thread.join(60)


def read(url: str, verify: ssl.SSLContext | bool = True, stall_s: float = 10.0) -> tuple[bytes, bool]:
    """The body, and whether it came past the library."""
    with httpx2.Client(verify=verify, trust_env=False) as client, client.stream("GET", url) as answer:
        return b"".join(bytes(piece) for piece in pieces(answer, stall_s)), plain_socket(answer) is not None


def test_a_body_of_known_length_is_read_from_the_socket_and_ends_with_it() -> None:
    more = b"HTTP/1.1 200 OK\r\n\r\nthe next answer"
    with answering(lambda peer: peer.sendall(LENGTH % len(BODY) + BODY + more)) as url:
        assert read(url) == (BODY, True)


def test_a_head_that_comes_alone_takes_nothing_from_the_body() -> None:
    gate = threading.Event()

    def send(peer: socket.socket) -> None:
        peer.sendall(LENGTH % len(BODY))
        gate.wait(60)
        peer.sendall(BODY)

    with answering(send) as url, httpx2.Client(trust_env=False) as client, client.stream("GET", url) as answer:
        gate.set()
        assert b"".join(bytes(piece) for piece in pieces(answer, 10.0)) == BODY


def test_chunks_and_bodies_without_a_length_come_through_the_library() -> None:
    with answering(lambda peer: peer.sendall(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))) as url:
        assert read(url) == (BODY, False)
    with answering(lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + BODY)) as url:
        assert read(url) == (BODY, False)


def test_a_body_that_ends_early_is_an_error_and_not_a_short_body() -> None:
    short = LENGTH % len(BODY) + BODY[:-1]
    with answering(lambda peer: peer.sendall(short)) as url, pytest.raises(httpx2.RemoteProtocolError, match="1 bytes"):
        read(url)


def test_a_peer_that_falls_silent_is_a_timeout() -> None:
    gate = threading.Event()

    def send(peer: socket.socket) -> None:
        peer.sendall(LENGTH % len(BODY) + BODY[:200_000])
        gate.wait(60)

    with answering(send) as url:
        with pytest.raises(httpx2.ReadTimeout):
            read(url, stall_s=0.1)
        gate.set()


def test_tls_is_read_through_its_own_socket() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    with answering(lambda peer: peer.sendall(LENGTH % len(BODY) + BODY), server) as url:
        assert read(url, client) == (BODY, True)
