"""Several connections for one file: where each is slow they add up, and what a kill leaves of them is used."""

import contextlib
import hashlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from index_fakes import noise

from localmind.models.ahead import Spread
from localmind.models.fetch import Fetch
from localmind.models.line import Patience
from localmind.models.room import FLOOR

BODY = noise(3_000_000, 21)
SHA256 = hashlib.sha256(BODY).hexdigest()
SPREAD = Spread(lines=3, piece=300_000, below=1e9, after_s=0.1)
PATIENT = Patience(stall_s=30.0, attempts=3, pause_s=0.0)


@dataclass
class FakeThrottle:
    """A server that gives each connection so many bytes a second."""

    rate: int
    ranges: bool = True
    etag: str | None = '"one"'
    url: str = ""
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    most: int = 0
    longest: int = 0
    """Bytes of the connection that brought most."""
    open: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            while head := peer.recv(65536).decode("latin-1"):
                found = re.search(r"(?im)^range: bytes=(\d+)-(\d*)", head)
                with self.lock:
                    self.asked.append(found[0] if found else "")
                    self.open += 1
                    self.most = max(self.most, self.open)
                try:
                    self._send(peer, found if self.ranges else None)
                finally:
                    with self.lock:
                        self.open -= 1

    def _send(self, peer: socket.socket, found: "re.Match[str] | None") -> None:
        start = int(found[1]) if found else 0
        end = int(found[2]) + 1 if found and found[2] else len(BODY)
        more = f"Content-Range: bytes {start}-{end - 1}/{len(BODY)}\r\n" if found else ""
        more += f"ETag: {self.etag}\r\n" if self.etag else ""
        peer.sendall(f"HTTP/1.1 {206 if found else 200} OK\r\n{more}Content-Length: {end - start}\r\n\r\n".encode())
        first = start
        while start < end and not self.done.is_set():
            step = min(8192, end - start)
            peer.sendall(BODY[start : start + step])
            start += step
            with self.lock:
                self.sent += step
                self.longest = max(self.longest, start - first)
            self.done.wait(step / self.rate)  # nothing is made up for: after a standstill it would come all at once


@contextlib.contextmanager
def running(server: FakeThrottle) -> Iterator[FakeThrottle]:
    listener = socket.create_server(("127.0.0.1", 0))
    server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    threads = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while not server.done.is_set():
                peer, _ = listener.accept()
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # little is on its way when it is left
                if server.done.is_set():
                    peer.close()
                    return
                threads.append(threading.Thread(target=server.answer, args=(peer,)))
                threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    try:
        yield server
    finally:
        server.done.set()
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname()).close()
        for thread in threads:
            thread.join(60)
        listener.close()


def fetch_of(server: FakeThrottle, client, place: Path, spread: Spread = SPREAD) -> Fetch:
    free = FLOOR + 100_000_000
    return Fetch(
        f"{server.url}/f", place / "f.part", SHA256, len(BODY), client,
        free=lambda _: free, patience=PATIENT, spread=spread,
    )  # fmt: skip


async def run(fetch: Fetch) -> list[float]:
    return [step.done async for step in fetch.run()]


async def test_slow_connections_add_up_and_the_file_is_whole(client, tmp_path) -> None:
    with running(FakeThrottle(800_000)) as server:
        steps = await run(fetch_of(server, client, tmp_path))
    assert (tmp_path / "f.part").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["f.part"]
    assert 2 <= server.most <= 6  # four at a time; the server sees late that one was left
    assert server.longest < 0.75 * len(BODY)  # so it took no longer than that part of one connection alone
    assert steps[-1] == len(BODY)
    assert server.sent < len(BODY) * 1.3


async def test_a_quick_connection_stays_alone(client, tmp_path) -> None:
    with running(FakeThrottle(3_000_000)) as server:
        await run(fetch_of(server, client, tmp_path, Spread(lines=3, piece=300_000, below=5_000, after_s=0.1)))
    assert server.asked == [""]
    assert (tmp_path / "f.part").read_bytes() == BODY


@pytest.mark.parametrize("server", [FakeThrottle(3_000_000, ranges=False), FakeThrottle(3_000_000, etag=None)])
async def test_a_server_without_ranges_or_a_name_for_its_bytes_is_asked_once_more_at_most(
    client, tmp_path, server
) -> None:
    with running(server):
        await run(fetch_of(server, client, tmp_path))
    assert len(server.asked) <= 2
    assert (tmp_path / "f.part").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["f.part"]


async def test_pieces_that_an_earlier_run_left_are_not_fetched_again(client, tmp_path) -> None:
    (tmp_path / "f.part").write_bytes(BODY[:100_000])
    (tmp_path / "f.part.json").write_text('{"url": "u", "etag": "\\"one\\""}')
    (tmp_path / "f.part.ahead-1000000").write_bytes(BODY[1_000_000:2_500_000])
    with running(FakeThrottle(50_000_000)) as server:
        await run(fetch_of(server, client, tmp_path))
    assert (tmp_path / "f.part").read_bytes() == BODY
    assert server.sent < len(BODY) - 600_000  # some is on its way when a connection is left
    assert [path.name for path in tmp_path.iterdir()] == ["f.part"]


async def test_a_damaged_piece_costs_one_clean_try(client, tmp_path) -> None:
    (tmp_path / "f.part").write_bytes(BODY[:100_000])
    (tmp_path / "f.part.ahead-1000000").write_bytes(os.urandom(500_000))
    with running(FakeThrottle(50_000_000)) as server:
        await run(fetch_of(server, client, tmp_path))
    assert (tmp_path / "f.part").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["f.part"]


async def test_a_download_that_is_stopped_keeps_its_pieces_for_the_next(client, tmp_path) -> None:
    with running(FakeThrottle(600_000)) as server:
        steps = fetch_of(server, client, tmp_path).run()
        async with contextlib.aclosing(steps):
            async for step in steps:
                if step.done > 1_000_000 and list(tmp_path.glob("*.ahead-*")):
                    break
        kept = sum(path.stat().st_size for path in tmp_path.glob("f.part*") if path.suffix != ".json")
        assert kept > 900_000
    with running(FakeThrottle(50_000_000)) as second:
        await run(fetch_of(second, client, tmp_path))
    assert (tmp_path / "f.part").read_bytes() == BODY
    assert second.sent < len(BODY) - kept + 900_000
