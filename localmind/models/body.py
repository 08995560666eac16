"""The body of an answer, read from its connection into one buffer.

An HTTP library hands a body on in pieces of 64 kB, each parsed and copied several times, which costs as much as hashing
it. A body of known length and without a coding is nothing but the next bytes of the connection: the library's first
piece brings all that it has read so far, and what follows is read here. Bodies without a length, and connections that
are more than one socket, come through the library. It writes no file and judges no answer.
"""

import socket
import ssl
from collections.abc import Iterator

import httpx2

BUFFER = 1 << 20


def pieces(answer: httpx2.Response, stall_s: float) -> Iterator[memoryview]:
    """The body; each piece is valid until the next is asked for. Raises what httpx2 raises while reading."""
    left, source = _length(answer), plain_socket(answer)
    chunks = answer.iter_raw()  # when it is dropped, it closes the connection
    for chunk in chunks:
        yield memoryview(chunk)
        left -= len(chunk)
        if source is not None and left > 0:
            break
    else:
        return
    buffer = memoryview(bytearray(BUFFER))
    source.settimeout(stall_s)
    while left > 0:
        try:
            count = source.recv_into(buffer[:left])
        except TimeoutError as problem:
            raise httpx2.ReadTimeout(str(problem)) from problem
        except OSError as problem:
            raise httpx2.ReadError(str(problem)) from problem
        if not count:
            raise httpx2.RemoteProtocolError(f"the connection was closed {left} bytes before the end")
        left -= count
        yield buffer[:count]


def socket_of(answer: httpx2.Response) -> socket.socket | None:
    """What can be shut down to wake up whoever reads from it."""
    stream = answer.extensions.get("network_stream")
    found = stream.get_extra_info("socket") if stream is not None else None
    return found if isinstance(found, socket.socket) else None


def plain_socket(answer: httpx2.Response) -> socket.socket | None:
    """The socket that gives the body's bytes as they are; None where a layer of the library lies above it."""
    if answer.http_version not in ("HTTP/1.1", "HTTP/1.0") or _length(answer) <= 0:
        return None
    found = socket_of(answer)
    # TLS to a server inside of TLS to a proxy is computed by the library, in memory.
    inside = answer.extensions["network_stream"].get_extra_info("ssl_object") if found is not None else None
    return None if isinstance(inside, ssl.SSLObject) else found


def _length(answer: httpx2.Response) -> int:
    """Of the whole body in bytes; 0 if it is not known."""
    length = answer.headers.get("content-length", "")
    coded = "transfer-encoding" in answer.headers
    return int(length) if length.isascii() and length.isdigit() and not coded else 0
