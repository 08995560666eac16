"""A loopback package index that misbehaves on request, and small wheels to put on it."""

import asyncio
import hashlib
import json
import random
import threading
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from localmind.catalog import FileSpec, ModelSpec, WheelSource
from localmind.models.line import Patience

FLIPPED = bytes(byte ^ 1 for byte in range(256))
PATIENT = Patience(stall_s=30.0, attempts=3, pause_s=0.0)
QUICK = Patience(stall_s=2.0, attempts=3, pause_s=0.0)
"""For a peer that falls silent; elsewhere a busy machine would be taken for one."""


@dataclass(frozen=True)
class Drop:
    """Close the connection after so many bytes of the body."""

    after: int


@dataclass(frozen=True)
class Stall:
    """Send so many bytes, then nothing until the test ends."""

    after: int


@dataclass(frozen=True)
class IgnoreRange:
    """200 with the whole file for a request with a Range."""


@dataclass(frozen=True)
class WrongRange:
    """206 whose Content-Range is not the one asked for."""


@dataclass(frozen=True)
class Answer:
    """A status without a file, and headers with it."""

    status: int
    retry_after: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Corrupt:
    """Right length, wrong bytes."""


@dataclass(frozen=True)
class Longer:
    """More bytes than there should be, without a Content-Length."""


@dataclass(frozen=True)
class Compressed:
    """A Content-Encoding nobody asked for."""


@dataclass(frozen=True)
class NoLength:
    """Everything, or so many bytes, and no Content-Length."""

    after: int | None = None


@dataclass(frozen=True)
class Endless:
    """Bytes without a Content-Length until the peer hangs up."""


@dataclass(frozen=True)
class Trickle:
    """So many bytes, then one at a time for ever."""

    after: int


@dataclass(frozen=True)
class Changed:
    """Another file of the same length and with another ETag, from this answer on."""

    body: bytes
    etag: str


Fault = (
    Drop | Stall | IgnoreRange | WrongRange | Answer | Corrupt | Longer | Compressed
    | NoLength | Endless | Trickle | Changed
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    path: str
    range: str | None
    if_range: str | None
    authorization: str | None


@dataclass
class FakeIndex:
    """Files by name; `faults` are used up one a download, in order."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    etag: str | None = '"one"'
    html: bool = False
    page_status: int = 200
    released: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    """Bytes of bodies that were written to a peer by NoLength, Endless and Trickle."""

    @property
    def simple(self) -> str:
        return f"{self.url}/simple"

    @property
    def downloads(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.path.startswith("/files/")]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what many of these tests are about."""


@contextmanager
def running_index() -> Iterator[FakeIndex]:
    index = FakeIndex()

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                _answer(self, index)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Requests)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    index.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield index
    finally:
        index.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(request: BaseHTTPRequestHandler, index: FakeIndex) -> None:
    head = request.headers
    index.seen.append(Seen(request.path, head.get("Range"), head.get("If-Range"), head.get("Authorization")))
    if request.path.startswith("/simple/"):
        _page(request, index)
        return
    name = request.path.partition("?")[0].removeprefix("/files/")
    body = index.files.get(name)
    if body is None:
        _send(request, 404, b"")
        return
    fault = index.faults.popleft() if index.faults else None
    if isinstance(fault, Changed):
        body = index.files[name] = fault.body
        index.etag = fault.etag
    start = int(head["Range"].removeprefix("bytes=").rstrip("-")) if "Range" in head else 0
    same = head.get("If-Range") in (None, index.etag)
    if isinstance(fault, IgnoreRange) or not same:
        start = 0
    extra = {"ETag": index.etag} if index.etag else {}
    status = 200
    if start >= len(body):
        _send(request, 416, b"")
        return
    if start:
        status = 206
        first = start + 1 if isinstance(fault, WrongRange) else start
        extra["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
    part = body[start:]
    match fault:
        case Answer(code, retry_after, headers):
            _send(request, code, b"no", dict(headers) | ({"Retry-After": retry_after} if retry_after else {}))
        case NoLength() | Endless() | Trickle():
            request.send_response(status)
            for key, value in extra.items():
                request.send_header(key, value)
            request.send_header("Connection", "close")
            request.end_headers()
            request.close_connection = True
            for piece in _pieces(fault, part, index):
                request.wfile.write(piece)
                request.wfile.flush()
                index.sent += len(piece)
        case Drop(after) | Stall(after):
            request.send_response(status)
            for key, value in (*extra.items(), ("Content-Length", str(len(part)))):
                request.send_header(key, value)
            request.end_headers()
            request.wfile.write(part[:after])
            request.wfile.flush()
            if isinstance(fault, Stall):
                index.released.wait(60)
            request.close_connection = True
        case Corrupt():
            _send(request, status, part.translate(FLIPPED), extra)
        case Longer():
            request.send_response(status)
            request.send_header("Connection", "close")
            request.end_headers()
            request.wfile.write(part + b"more")
            request.close_connection = True
        case Compressed():
            _send(request, status, part, extra | {"Content-Encoding": "gzip"})
        case _:
            _send(request, status, part, extra)


def _pieces(fault: NoLength | Endless | Trickle, part: bytes, index: FakeIndex) -> Iterator[bytes]:
    match fault:
        case NoLength(after):
            yield part[:after]
        case Endless():
            while not index.released.is_set():
                yield bytes(1 << 16)
        case Trickle(after):
            yield part[:after]
            for at in range(after, len(part)):
                if index.released.wait(0.01):
                    return
                yield part[at : at + 1]


def _page(request: BaseHTTPRequestHandler, index: FakeIndex) -> None:
    names = sorted(index.files)
    if index.page_status != 200:
        _send(request, index.page_status, b"")
    elif index.html:
        links = "".join(f'<a href="../../files/{name}#sha256=00">{name}</a><br>' for name in names)
        _send(request, 200, f"<!doctype html><body>{links}".encode(), {"Content-Type": "text/html"})
    else:
        body = {"meta": {"api-version": "1.1"}, "files": [{"filename": n, "url": f"../../files/{n}"} for n in names]}
        kind = {"Content-Type": "application/vnd.pypi.simple.v1+json"}
        _send(request, 200, json.dumps(body).encode(), kind)


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    request.send_response(status)
    for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
        request.send_header(key, value)
    request.end_headers()
    request.wfile.write(body)


async def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for a condition that another process or thread brings about."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def noise(size: int, seed: int) -> bytes:
    """Bytes that do not compress, so that the wheel is as big as its members."""
    return random.Random(seed).randbytes(size)


def model_in_wheel(
    directory: Path, name: str = "tiny:1b", size: int = 900_000, seed: int = 1
) -> tuple[ModelSpec, Path]:
    """A two-file model and a wheel that carries it."""
    members = {"weights.bin": noise(size, seed), "sub/config.json": b'{"seed": %d}' % seed}
    package = name.partition(":")[0]
    wheel = directory / f"{package}_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{package}_model/__init__.py", "raise SystemExit('never run')")
        for member, data in members.items():
            archive.writestr(f"{package}_model/model/{member}", data)
    data = wheel.read_bytes()
    spec = ModelSpec(
        name=name,
        role="embed",
        format="safetensors",
        family="Tiny",
        licence="MIT",
        parameters=1,
        context=1,
        quantisation="F32",
        files=tuple(
            FileSpec(member, len(content), hashlib.sha256(content).hexdigest()) for member, content in members.items()
        ),
        sources=(
            WheelSource(
                package=f"{package}-model",
                version="1.0",
                wheel=wheel.name,
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                prefix=f"{package}_model/model/",
            ),
        ),
    )
    return spec, wheel
