#!/usr/bin/env python3
"""What the API adds to the engine: the same prompts through a running daemon and through an engine of our own, in turn.

    LOCALMIND_SPECULATION=false LOCALMIND_PREFIX_DISK_MB=0 localmind serve
    python benchmarks/api_overhead.py --gguf FILE [--url http://127.0.0.1:11411] [--model NAME] [--pairs 20]

FILE is the daemon's model; both engines get the same plan and settings. Nothing is drafted and nothing written to disk
meanwhile: how much a draft is worth is measured at load, a little differently each time, and prefixes are written in a
quiet moment, which would be the other engine's. Each pair is one raw prompt of some fifty tokens, to the first piece
of text and on to the last, greedy and without an end of its own: once in this process, without any process or protocol
between, and once as a stream of `/v1/completions` over TCP, on a connection that is kept and, for the first piece, on a
fresh one. Which comes first changes from pair to pair. Both engines tell what they needed themselves, and what is added
to the first text is what the client waited beyond that. Exits with 1 when the API adds more than 3 ms (median) to the
first piece on a kept connection or costs more than 5 % of the tokens a second.
"""

import argparse
import json
import socket
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from engine_loop import Worker

from localmind.engine.worker import SWITCH_SECONDS

LIMIT_ADDED_MS = 3.0
LIMIT_LOST = 0.05
PREFIX_RAM_MB = 512
"""The daemon's default. Without it an engine keeps no copies, and does not spend the time to make them."""


@dataclass(slots=True, frozen=True)
class Seen:
    """One answer, as its client saw it."""

    first_ms: float
    """From asking to the first text."""
    rate: float
    """Tokens a second from there to the last."""
    engine_ms: float
    """Of `first_ms`, by the engine's own clock: waiting and reading the prompt."""

    @property
    def beside_ms(self) -> float:
        return self.first_ms - self.engine_ms


def seen(began: float, first: float, last: float, timings: dict[str, Any], tokens: int) -> Seen:
    if timings["drafted_tokens"]:
        raise SystemExit("tokens were drafted: start the daemon with LOCALMIND_SPECULATION=false")
    engine = float(timings["queue_ms"]) + float(timings["prefill_ms"])
    return Seen(1e3 * (first - began), (tokens - 1) / (last - first), engine)


class Alone(Worker):
    """An engine in this process."""

    def ask(self, prompt: str, tokens: int) -> Seen:
        began = time.perf_counter()
        sampling = {"temperature": 0.0, "ignore_eos": True, "max_tokens": tokens}
        reply = self.start("generate", prompt=prompt, sampling=sampling, client="bench")
        value = reply.wait()
        return seen(began, reply.first, reply.last, value["timings"], int(value["usage"]["completion_tokens"]))


class Through:
    """The same through the daemon."""

    def __init__(self, url: str, model: str) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._model = model
        self._kept = self._connect()

    def status(self) -> dict[str, Any]:
        with self._connect() as sock:
            sock.sendall(self._head("GET /localmind/v1/status", "Connection: close\r\n"))
            answer = b""
            while more := sock.recv(65536):
                answer += more
        return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))

    def ask(self, prompt: str, tokens: int, *, fresh: bool = False) -> Seen:
        fields = {"model": self._model, "prompt": prompt, "stream": True, "temperature": 0, "ignore_eos": True}
        body = json.dumps(fields | {"max_tokens": tokens}).encode()
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        request = self._head("POST /v1/completions", more) + body
        if not fresh:
            self._warm()
        began = time.perf_counter()
        sock = self._connect() if fresh else self._kept
        sock.sendall(request)
        parts: list[tuple[float, bytes]] = []
        while True:  # nothing is parsed meanwhile: the engine needs the cores
            part = sock.recv(65536)
            parts.append((time.perf_counter(), part))
            if not part or b"[DONE]" in part:
                break
        if fresh:
            sock.close()
        return self._read(began, parts)

    def _read(self, began: float, parts: list[tuple[float, bytes]]) -> Seen:
        whole = b"".join(part for _, part in parts)
        if not whole.startswith(b"HTTP/1.1 200") or b"[DONE]" not in whole:
            raise SystemExit(whole.decode("utf-8", "replace"))
        texts = [when for when, part in parts if b'"finish_reason":null' in part]
        end = next(line for line in whole.splitlines() if b'"timings"' in line)
        timings = json.loads(end.removeprefix(b"data: "))["timings"]
        return seen(began, texts[0], texts[-1], timings, int(timings["predicted_n"]))

    def _warm(self) -> None:
        """Open the kept connection again where it rested for so long that the daemon closed it."""
        try:
            self._kept.sendall(self._head("GET /health"))
            answer = b""
            while more := self._kept.recv(65536):
                answer += more
                if answer.endswith(b"}"):
                    return
        except OSError:
            pass
        self._kept.close()
        self._kept = self._connect()

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(self._place, timeout=120)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _head(self, line: str, more: str = "") -> bytes:
        return f"{line} HTTP/1.1\r\nHost: {self._place[0]}:{self._place[1]}\r\n{more}\r\n".encode()


def spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:11411")
    parser.add_argument("--model", default="default")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=128)
    asked = parser.parse_args()
    through = Through(asked.url, asked.model)
    through.ask("hello", 4)
    status = through.status()
    plan = next(dict(each["plan"]) for each in status["models"] if each.get("load") and each.get("plan"))
    sys.setswitchinterval(SWITCH_SECONDS)
    alone = Alone(asked.gguf, plan, prefix_ram_mb=PREFIX_RAM_MB, speculation=False)
    daemon, cpu = psutil.Process(status["pid"]), 0.0
    rows: dict[str, list[Seen]] = {"alone": [], "kept": [], "fresh": []}
    for number in range(asked.pairs + 2):
        prompt = f"{number} is a number of the " + "old house by the river " * 8
        order = list(rows) if number % 2 else list(rows)[::-1]
        for way in order:
            before = spent(daemon)
            if way == "alone":
                found = alone.ask(prompt, asked.tokens)
            elif way == "kept":
                found = through.ask(prompt, asked.tokens)
            else:
                found = through.ask("b " + prompt, 4, fresh=True)
            if number > 1:  # the first two only warm up
                rows[way].append(found)
                cpu += spent(daemon) - before if way == "kept" else 0.0
    alone.close()
    bare = statistics.median(each.beside_ms for each in rows["alone"])
    added = {way: statistics.median(each.beside_ms for each in rows[way]) - bare for way in ("kept", "fresh")}
    lost = 1 - statistics.median(kept.rate / own.rate for own, kept in zip(rows["alone"], rows["kept"], strict=True))
    print(f"{asked.pairs} pairs, {asked.tokens} tokens each, plan: {plan.get('n_threads')} threads")
    for way, found in rows.items():
        first, engine = (statistics.median(getattr(each, name) for each in found) for name in ("first_ms", "engine_ms"))
        rate = statistics.median(each.rate for each in found)
        print(f"{way:<6} first text {first:7.2f} ms, of it the engine {engine:7.2f}   tokens/s {rate:7.1f}")
    print(f"added to the first text: kept {added['kept']:+.2f} ms, fresh {added['fresh']:+.2f} ms")
    each = 1e6 * cpu / asked.pairs / asked.tokens
    print(f"tokens/s lost: {100 * lost:+.1f} %, CPU of the daemon {each:.0f} µs a token")
    if added["kept"] > LIMIT_ADDED_MS or lost > LIMIT_LOST:
        print("LIMIT BROKEN")
        sys.exit(1)


if __name__ == "__main__":
    main()
