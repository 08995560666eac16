"""What a decode step costs beside llama.cpp's own computing: scheduler, sampling, text, streaming.

    python benchmarks/engine_profile.py --model PATH [--threads 2] [--tokens 96] [--rows 1 4 16] [--greedy] [--json]
    python benchmarks/engine_profile.py --shape 1b            # a random GGUF in the shape of a 1B Llama

The loop runs as it does in the worker, answers included. `native` is the time inside llama_decode, `ours`
everything between two of them, on the wall clock and as processor time of the loop's thread; `share`
is ours by the whole step. Medians over all pure decode steps.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Hashable, Sequence
from pathlib import Path

from localmind.engine.answer import Answer, PlainParser
from localmind.engine.generation import Ask
from localmind.engine.loaded import Loaded, open_model
from localmind.engine.loop import Limits, Loop
from localmind.engine.native_thread import NativeThread
from localmind.engine.sequence import Row, State
from localmind.errors import LocalmindError
from localmind.machine.plan import Plan
from localmind.messages import SamplingParams

PROMPT = 32


class TimedLoaded(Loaded):
    """A Loaded that notes when llama_decode begins and ends, on the wall clock and in processor time."""

    def start(self) -> None:
        self.steps: list[tuple[bool, float, float, float, float]] = []

    def evaluate(self, rows: Sequence[Row], fill: int) -> tuple[int, list[int]]:
        decode = all(row.sequence.state is State.DECODE for row in rows)
        began, cpu = time.perf_counter(), time.thread_time()
        result = super().evaluate(rows, fill)
        self.steps.append((decode, began, time.perf_counter(), cpu, time.thread_time()))
        return result


class CountingReply:
    """A Reply that throws everything away."""

    cancelled = False

    def __init__(self, number: int) -> None:
        self.id = number
        self.ended = threading.Event()
        self.error: LocalmindError | None = None

    def together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def item(self, value: object) -> None:
        json.dumps(value)

    def result(self, value: object = None) -> None:
        self.ended.set()

    def fail(self, error: LocalmindError) -> None:
        self.error = error
        self.ended.set()


def run(loaded: TimedLoaded, loop: Loop, rows: int, params: SamplingParams) -> dict[str, float]:
    """One table line: medians over the pure decode steps of `rows` requests at once."""
    loaded.start()
    replies = []
    for number in range(rows):
        prompt = array("i", [(7 * number + 13 * place) % 1000 + 100 for place in range(PROMPT)])
        reply = CountingReply(number)
        adapters: Hashable = ()
        ask = Ask(prompt, params, client=str(number), adapters=adapters)
        answer = Answer(reply, PlainParser(), end=lambda: None, forget=lambda _: None, report=None)
        loop.submit(ask, answer)
        replies.append(reply)
    for reply in replies:
        reply.ended.wait()
        if reply.error is not None:
            raise reply.error
    pairs = [
        (before, after) for before, after in zip(loaded.steps, loaded.steps[1:], strict=False) if before[0] and after[0]
    ]
    native = statistics.median(after[2] - after[1] for _, after in pairs)
    ours = statistics.median(after[1] - before[2] for before, after in pairs)
    ours_cpu = statistics.median(after[3] - before[4] for before, after in pairs)
    return {
        "rows": rows,
        "native_ms": round(1e3 * native, 3),
        "ours_ms": round(1e3 * ours, 3),
        "ours_cpu_ms": round(1e3 * ours_cpu, 3),
        "share": round(ours / (ours + native), 4),
        "tok_s": round(rows / (ours + native), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--shape", help="write a GGUF of random weights in this shape, and use it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = args.model
        if args.shape:
            import random_gguf

            path = random_gguf.write(Path(directory) / "model.gguf", args.shape)
        if path is None:
            parser.error("--model or --shape is needed")
        plan = Plan(n_ctx=8192, n_threads=args.threads, n_threads_batch=args.threads)
        thread = NativeThread()
        loaded = thread.call(lambda: TimedLoaded(open_model(path, plan, lambda done: True), plan))
        loop = Loop(loaded, Limits(speculate=False), thread=thread)
        params = SamplingParams(
            temperature=0.0 if args.greedy else 0.8, max_tokens=args.tokens, ignore_eos=True, seed=1
        )
        run(loaded, loop, 1, params)  # warm
        for rows in args.rows:
            line = run(loaded, loop, rows, params)
            if args.json:
                sys.stdout.write(json.dumps(line) + "\n")
            else:
                sys.stdout.write("  ".join(f"{name} {value:>8}" for name, value in line.items()) + "\n")
            sys.stdout.flush()
        loop.stop(5)


if __name__ == "__main__":
    main()
