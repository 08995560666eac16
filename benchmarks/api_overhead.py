#!/usr/bin/env python3
"""What the API adds to the engine: the same prompts through a running daemon and through an engine of our own, in turn.

    python benchmarks/api_overhead.py --gguf FILE [--url http://127.0.0.1:11411] [--model NAME] [--pairs 20]

FILE is the daemon's model; both engines get the daemon's plan. Each pair is one raw prompt of some fifty tokens, to
the first piece of text and on to the last, greedy and without an end of its own: once in this process, without any
process or protocol between, and once as a stream of `/v1/completions` over TCP, on a connection that is kept and,
for the first piece, on a fresh one. Which of them comes first changes from pair to pair. Exits with 1 when the API
adds more than 3 ms (median) to the first piece on a kept connection or costs more than 5 % of the tokens a second.
"""

import argparse
import http.client
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine_loop import Worker

LIMIT_ADDED_MS = 3.0
LIMIT_LOST = 0.05


class Alone(Worker):
    """An engine in this process."""

    def ask(self, prompt: str, tokens: int) -> tuple[float, float]:
        """Milliseconds to the first text, and tokens a second from there to the last."""
        began = time.perf_counter()
        reply = self.start(
            "generate",
            prompt=prompt,
            sampling={"temperature": 0.0, "ignore_eos": True, "max_tokens": tokens},
            client="bench",
        )
        value = reply.wait()
        made = int(value["usage"]["completion_tokens"])
        return 1e3 * (reply.first - began), (made - 1) / (reply.last - reply.first)


class Through:
    """The same through the daemon."""

    def __init__(self, url: str, model: str) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._model = model
        self._kept = http.client.HTTPConnection(*self._place)

    def plan(self) -> dict[str, Any]:
        """Of the model, which is loaded for it."""
        self.ask("hello", 4)
        self._kept.request("GET", "/localmind/v1/status")
        models = json.loads(self._kept.getresponse().read())["models"]
        return next(dict(each["plan"]) for each in models if each.get("load") and each.get("plan"))

    def _warm(self) -> http.client.HTTPConnection:
        """The kept connection, opened again where it rested for so long that the daemon closed it."""
        try:
            self._kept.request("GET", "/health")
            self._kept.getresponse().read()
        except (OSError, http.client.HTTPException):
            self._kept.close()
            self._kept.request("GET", "/health")
            self._kept.getresponse().read()
        return self._kept

    def ask(self, prompt: str, tokens: int, *, fresh: bool = False) -> tuple[float, float]:
        body = json.dumps(
            {
                "model": self._model,
                "prompt": prompt,
                "stream": True,
                "temperature": 0,
                "ignore_eos": True,
                "max_tokens": tokens,
            }
        )
        link = http.client.HTTPConnection(*self._place) if fresh else self._warm()
        first = last = 0.0
        began = time.perf_counter()
        link.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        made, reply = 0, link.getresponse()
        if reply.status != 200:
            raise SystemExit(reply.read().decode())
        for line in reply:
            if line.startswith(b"data: {") and b'"finish_reason":null' in line:
                last = time.perf_counter()
                first = first or last
            elif line.startswith(b"data: {"):
                made = int(json.loads(line[6:])["timings"]["predicted_n"])
        if fresh:
            link.close()
        return 1e3 * (first - began), (made - 1) / (last - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:11411")
    parser.add_argument("--model", default="default")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=128)
    asked = parser.parse_args()
    daemon = Through(asked.url, asked.model)
    plan = daemon.plan()
    alone = Alone(asked.gguf, plan)
    rows: dict[str, list[tuple[float, float]]] = {"alone": [], "kept": [], "fresh": []}
    for number in range(asked.pairs + 2):
        prompt = f"{number} is a number of the " + "old house by the river " * 8
        ways = {
            "alone": lambda text=prompt: alone.ask(text, asked.tokens),
            "kept": lambda text=prompt: daemon.ask(text, asked.tokens),
            "fresh": lambda text=prompt: daemon.ask("b " + text, 4, fresh=True),
        }
        order = list(ways) if number % 2 else list(ways)[::-1]
        for way in order:
            figures = ways[way]()
            if number > 1:  # the first two only warm up
                rows[way].append(figures)
    alone.close()
    first = {way: statistics.median(ms for ms, _ in found) for way, found in rows.items()}
    added = [kept[0] - own[0] for own, kept in zip(rows["alone"], rows["kept"], strict=True)]
    added_fresh = [fresh[0] - own[0] for own, fresh in zip(rows["alone"], rows["fresh"], strict=True)]
    rates = {way: statistics.median(rate for _, rate in rows[way]) for way in ("alone", "kept")}
    lost = 1 - statistics.median(kept[1] / own[1] for own, kept in zip(rows["alone"], rows["kept"], strict=True))
    print(f"{asked.pairs} pairs, {asked.tokens} tokens each, plan: {plan.get('n_threads')} threads")
    print(f"first text   alone {first['alone']:7.2f}   kept {first['kept']:7.2f}   fresh {first['fresh']:7.2f} ms")
    print(f"added        kept {statistics.median(added):+.2f} ms   fresh {statistics.median(added_fresh):+.2f} ms")
    print(f"tokens/s     alone {rates['alone']:7.1f}   through {rates['kept']:7.1f}   lost {100 * lost:+.1f} %")
    if statistics.median(added) > LIMIT_ADDED_MS or lost > LIMIT_LOST:
        print("LIMIT BROKEN")
        sys.exit(1)


if __name__ == "__main__":
    main()
