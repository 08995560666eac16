#!/usr/bin/env python3
"""Bad neighbours: half-open connections and readers that never read, and what is left for everybody else.

    python benchmarks/overload.py [--url http://127.0.0.1:11411] [--model NAME] [--half-open 200] [--stalled 50]

Against a running daemon with a chat model. First without anybody, then with the bad ones: `/health` on fresh
connections for some seconds, and streams that start one after another. The stalled readers ask for long answers with
twenty probabilities a token (several kilobytes each), read one piece and then nothing, with the smallest buffer the
kernel gives, so that the daemon's writes block; half-open heads are opened again whenever the daemon closes them. At
the end the stalled ones are waited for until the daemon closes them, and some more ask for answers that would take
minutes, and never read either: when the daemon closes those, the engine must be free. Exits with 1 when p99 of /health
is 100 ms or more, a new stream needs a second or more to start, or a reader that does not read is kept.
"""

import argparse
import contextlib
import json
import select
import selectors
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

LIMIT_HEALTH_MS = 100.0
LIMIT_START_MS = 1000.0
DEADLINE_S = 30.0
"""The daemon's, for a client that does not read."""
PATIENCE_S = 60.0


class Target:
    def __init__(self, url: str, model: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.model = model

    def connect(self, buffer: int | None = None) -> socket.socket:
        sock = socket.socket()
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(60)
        sock.connect((self.host, self.port))
        return sock

    def head(self, line: str, more: str = "") -> bytes:
        return f"{line} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{more}\r\n".encode()

    def ask(self, **fields: object) -> bytes:
        body = json.dumps({"model": self.model, "stream": True} | fields).encode()
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        return self.head("POST /v1/chat/completions", more) + body

    def health(self) -> float:
        """Milliseconds of one look, connection included."""
        began = time.perf_counter()
        with self.connect() as sock:
            sock.sendall(self.head("GET /health", "Connection: close\r\n"))
            answer = b""
            while more := sock.recv(4096):
                answer += more
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"/health answered {answer[:80]!r}")
        return 1e3 * (time.perf_counter() - began)

    def idle(self) -> float:
        """Seconds until no sequence is under way."""
        began = time.perf_counter()
        while time.perf_counter() - began < 120:
            with self.connect() as sock:
                sock.sendall(self.head("GET /localmind/v1/engine/sequences", "Connection: close\r\n"))
                answer = b""
                while more := sock.recv(65536):
                    answer += more
            states = json.loads(answer.partition(b"\r\n\r\n")[2])["engines"]
            if not any(state["running"] + state["queued"] + state["parked"] for state in states):
                return time.perf_counter() - began
            time.sleep(0.1)
        raise SystemExit("the engine is not done after two minutes")

    def start(self, number: int) -> float:
        """Milliseconds to the first piece of a new answer's text, connection included; it is read to its end."""
        began = time.perf_counter()
        said = [{"role": "user", "content": f"{number}. What is a boiler?"}]
        with self.connect() as sock:
            sock.sendall(self.ask(messages=said, max_tokens=4, ignore_eos=True))
            answer, first = b"", 0.0
            while more := sock.recv(65536):
                answer += more
                if not first and b'"delta":{"content":' in answer:
                    first = time.perf_counter()
        if not first:
            raise SystemExit(f"a new stream got {answer[:300]!r}")
        return 1e3 * (first - began)


@contextlib.contextmanager
def half_open(target: Target, count: int) -> Iterator[list[int]]:
    """So many connections with half a head, all the time; yields the number opened again as a list of one."""
    again = [0]
    over = threading.Event()

    def keep() -> None:
        with selectors.DefaultSelector() as watched:

            def one_more() -> None:
                sock = target.connect()
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
                watched.register(sock, selectors.EVENT_READ)

            for _ in range(count):
                one_more()
            ready.set()
            while not over.is_set():
                for key, _ in watched.select(0.2):
                    closed = key.fileobj
                    assert isinstance(closed, socket.socket)
                    watched.unregister(closed)
                    closed.close()
                    one_more()
                    again[0] += 1
            for key in list(watched.get_map().values()):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()

    ready = threading.Event()
    thread = threading.Thread(target=keep)
    thread.start()
    ready.wait(60)
    try:
        yield again
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def stalled(target: Target, count: int, tokens: int) -> Iterator[list[socket.socket]]:
    """So many streams that are begun and never read."""
    with contextlib.ExitStack() as closing:
        opened = []
        for number in range(count):
            sock = closing.enter_context(target.connect(buffer=2048))
            said = [{"role": "user", "content": f"Tell story {number}."}]
            probable = {"logprobs": True, "top_logprobs": 20, "ignore_eos": True}
            sock.sendall(target.ask(messages=said, max_tokens=tokens, **probable))
            opened.append(sock)
        for sock in opened:
            sock.recv(1)
        yield opened


def closed(opened: list[socket.socket], seconds: float) -> list[float]:
    """After how many seconds the daemon closed each, of those that it did. Nothing is read."""
    began, found = time.perf_counter(), []
    watched = select.poll()
    for sock in opened:
        watched.register(sock, select.POLLRDHUP)
    while len(found) < len(opened) and time.perf_counter() - began < seconds:
        for number, _ in watched.poll(200):
            watched.unregister(number)
            found.append(time.perf_counter() - began)
    return found


def looks(target: Target, seconds: float) -> list[float]:
    found, over = [], time.perf_counter() + seconds
    while time.perf_counter() < over:
        found.append(target.health())
        time.sleep(0.01)
    return found


def told(what: str, found: list[float]) -> float:
    ordered = sorted(found)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    print(
        f"{what:<42} n {len(found):>4}   p50 {statistics.median(found):8.1f}   p99 {p99:8.1f}"
        f"   max {ordered[-1]:8.1f} ms"
    )
    return p99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:11411")
    parser.add_argument("--model", default="default")
    parser.add_argument("--half-open", type=int, default=200)
    parser.add_argument("--stalled", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=400, help="of each answer that nobody reads")
    parser.add_argument("--endless", type=int, default=8, help="readers of answers that would take minutes")
    parser.add_argument("--seconds", type=float, default=8.0, help="of looking at /health in each phase")
    parser.add_argument("--streams", type=int, default=10, help="new streams in each phase")
    asked = parser.parse_args()
    target = Target(asked.url, asked.model)
    target.start(-1)  # the model is loaded
    told("alone: /health", looks(target, asked.seconds))
    told("alone: a new stream", [target.start(number) for number in range(asked.streams)])
    with half_open(target, asked.half_open) as again:
        told(f"{asked.half_open} half-open: /health", looks(target, asked.seconds))
        began = time.perf_counter()
        with stalled(target, asked.stalled, asked.tokens) as unread:
            print(f"{asked.stalled} readers have begun, after {time.perf_counter() - began:.1f} s, and read no more")
            health = told("both: /health", looks(target, asked.seconds))
            made = [target.start(99 - number) for number in range(asked.streams)]
            told("both, their answers being made: a new one", made)
            print(f"after {target.idle():.1f} s the engine has made their answers; nobody reads them")
            starts = [target.start(number) for number in range(100, 100 + asked.streams)]
            told("both: a new stream", starts)
            ends = closed(unread, PATIENCE_S)
            print(
                f"{len(ends)} of {asked.stalled} were closed by the daemon, the last {max(ends, default=0):.0f} s later"
            )
        kept = asked.stalled - len(ends)
        print(f"{again[0]} half-open connections were closed by the daemon and opened again")
    told("afterwards: a new stream", [target.start(number) for number in range(200, 200 + asked.streams)])
    with stalled(target, asked.endless, 7000) as unread:
        ends, free = closed(unread, DEADLINE_S + PATIENCE_S), target.idle()
        kept += asked.endless - len(ends)
        print(
            f"{asked.endless} answers of 7,000 tokens: {len(ends)} closed after {min(ends, default=0):.0f} to "
            f"{max(ends, default=0):.0f} s, the engine free {free:.1f} s later"
        )
    worst = max(starts + made)
    if health >= LIMIT_HEALTH_MS or worst >= LIMIT_START_MS or kept:
        print(f"LIMIT BROKEN: /health p99 {health:.1f} ms, slowest start {worst:.1f} ms, {kept} kept")
        sys.exit(1)


if __name__ == "__main__":
    main()
