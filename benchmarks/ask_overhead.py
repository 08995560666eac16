#!/usr/bin/env python3
"""What the command line adds to a request: `localmind ask` beside the same request over HTTP, in turn.

    python benchmarks/ask_overhead.py [--question TEXT] [--passes 7]

Needs a running daemon with a folder; the first request of each kind is thrown away. Also times
`localmind --help` beside `python -c pass`. Prints medians in milliseconds.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from localmind.client import Client
from localmind.paths import Paths


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - started)


def run(*command: str) -> None:
    subprocess.run([sys.executable, "-P", *command], check=True, capture_output=True)


def side_by_side(passes: int, first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Medians of both, A B A B, after one warm-up each."""
    first(), second()
    pairs = [(timed(first), timed(second)) for _ in range(passes)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--question", default="What is the capital of Mongolia?")
    parser.add_argument("--passes", type=int, default=7)
    asked = parser.parse_args()
    with Client(Paths.find()) as client:
        http, command = side_by_side(
            asked.passes,
            lambda: list(client.events("/ask", {"question": asked.question})),
            lambda: run("-m", "localmind", "ask", asked.question),
        )
    print(f"ask          HTTP {http:7.1f}   command {command:7.1f}   adds {command - http:6.1f} ms")
    bare, helped = side_by_side(asked.passes, lambda: run("-c", "pass"), lambda: run("-m", "localmind", "--help"))
    print(f"--help       pass {bare:7.1f}   command {helped:7.1f}   adds {helped - bare:6.1f} ms")


if __name__ == "__main__":
    main()
