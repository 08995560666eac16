"""Prefill and decode tokens a second of one GGUF, through the engine worker's own code.

    python benchmarks/engine_loop.py --model PATH [--no-extra-bufts] [--threads 2] [--tokens 64] [--json]

For 1, 2, 4 and 8 requests at once: the bare llama.cpp calls (a loop without scheduler, text or
replies) and then the worker with everything, on the same context and in the same minute, and their
quotient. Prefill is one prompt of 512 tokens. Run it on two builds in turn to compare them.
"""

import argparse
import contextlib
import json
import statistics
import sys
import threading
import time
from array import array
from pathlib import Path
from typing import Any

from localmind.engine.loaded import Loaded, open_model
from localmind.engine.plan import read_plan
from localmind.engine.sequence import Row, Sequence, State
from localmind.engine.worker import EngineWorker
from localmind.errors import LocalmindError
from localmind.messages import SamplingParams

CROWDS = (1, 2, 4, 8)
PREFILL = 512
PROMPT = 32


class BenchReply:
    """A Reply that notes when its first and last text came."""

    cancelled = False

    def __init__(self, number: int) -> None:
        self.id = number
        self.first = self.last = 0.0
        self.count = 0
        self.value: Any = None
        self.error: LocalmindError | None = None
        self.ended = threading.Event()

    def together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def item(self, value: Any) -> None:
        self.last = time.perf_counter()
        self.first = self.first or self.last
        self.count += 1

    def result(self, value: Any = None) -> None:
        self.value = value
        self.ended.set()

    def fail(self, error: LocalmindError) -> None:
        self.error = error
        self.ended.set()

    def wait(self) -> Any:
        self.ended.wait()
        if self.error is not None:
            raise self.error
        return self.value


def bare(loaded: Loaded, crowd: int, tokens: int) -> float:
    """Decode tokens a second of the native calls alone: batch, decode, sample."""
    sequences = []
    for slot in range(crowd):
        prompt = loaded.model.tokenize(f"{slot} " + "word " * PROMPT, add_special=True)[:PROMPT]
        sequence = Sequence(slot, "", prompt, len(prompt), loaded.n_ctx, State.PREFILL, slot)
        sequences.append((sequence, loaded.sampler(SamplingParams(seed=slot, ignore_eos=True))))
    for sequence, sampler in sequences:
        _, (index,) = loaded.evaluate([Row(sequence, 0, len(sequence.tokens), True)], 0)
        sequence.stored = len(sequence.tokens)
        sequence.tokens.append(sampler.sample(index))
    began = time.perf_counter()
    for _ in range(tokens):
        _, indices = loaded.evaluate([Row(sequence, sequence.stored, 1, True) for sequence, _ in sequences], 0)
        for (sequence, sampler), index in zip(sequences, indices, strict=True):
            sequence.stored += 1
            sequence.tokens.append(sampler.sample(index))
    spent = time.perf_counter() - began
    for sequence, sampler in sequences:
        sampler.close()
        loaded.clear(sequence.slot)
    return crowd * tokens / spent


def bare_prefill(loaded: Loaded) -> float:
    prompt = array("i", (loaded.model.tokenize("The quick brown fox. " * PREFILL, add_special=True))[:PREFILL])
    sequence = Sequence(0, "", prompt, len(prompt), loaded.n_ctx, State.PREFILL, 0)
    began = time.perf_counter()
    for start in range(0, PREFILL, loaded.n_batch):
        count = min(loaded.n_batch, PREFILL - start)
        loaded.evaluate([Row(sequence, start, count, start + count == PREFILL)], 0)
    spent = time.perf_counter() - began
    loaded.clear(0)
    return PREFILL / spent


class Worker:
    def __init__(self, path: Path, plan: dict[str, Any], **options: Any) -> None:
        """`options` are other fields of LoadParams."""
        self._worker = EngineWorker()
        self._number = 0
        self.facts = self.start("load", path=str(path), plan=plan, **options).wait()

    def start(self, method: str, **params: Any) -> BenchReply:
        self._number += 1
        reply = BenchReply(self._number)
        self._worker.call(method, params, reply)
        return reply

    def decode(self, crowd: int, tokens: int) -> float:
        """Tokens a second while all of the crowd decode: from the last first text to the first last one."""
        replies = [
            self.start(
                "generate",
                prompt=f"{number} " + "word " * PROMPT,
                sampling={"seed": number, "ignore_eos": True, "max_tokens": tokens},
            )
            for number in range(crowd)
        ]
        for reply in replies:
            reply.wait()
        seconds = statistics.median(1e-3 * reply.value["timings"]["decode_ms"] for reply in replies)
        return crowd * (tokens - 1) / seconds

    def prefill(self) -> float:
        prompt = "The quick brown fox. " * (PREFILL // 5)
        value = self.start("generate", prompt=prompt, sampling={"max_tokens": 1}).wait()
        return 1e3 * float(value["usage"]["prompt_tokens"]) / float(value["timings"]["prefill_ms"])

    def close(self) -> None:
        self._worker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--no-extra-bufts", action="store_true", help="plain weights: no repacking, no AMX")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ctx", type=int, default=8192)
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each answer")
    parser.add_argument("--passes", type=int, default=3, help="the median is shown")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan = {
        "n_ctx": options.ctx,
        "n_batch": 512,
        "n_ubatch": 512,
        "n_threads": options.threads,
        "n_threads_batch": options.threads,
        "use_extra_bufts": not options.no_extra_bufts,
    }
    loaded = Loaded(open_model(options.model, read_plan(plan), lambda done: True), read_plan(plan))
    worker = Worker(options.model, plan)
    samples: dict[str, dict[str, list[float]]] = {}
    for _ in range(options.passes):  # in turn, so that a busy minute hits both
        row = samples.setdefault("prefill", {"bare": [], "worker": []})
        row["bare"].append(bare_prefill(loaded))
        row["worker"].append(worker.prefill())
        for crowd in CROWDS:
            row = samples.setdefault(f"decode x{crowd}", {"bare": [], "worker": []})
            row["bare"].append(bare(loaded, crowd, options.tokens))
            row["worker"].append(worker.decode(crowd, options.tokens))
    result = {
        name: {kind: round(statistics.median(values), 1) for kind, values in row.items()}
        for name, row in samples.items()
    }
    if options.json:
        json.dump({"build": worker.facts["build"], "plan": plan, "tokens_per_second": result}, sys.stdout, indent=2)
        print()
    else:
        print(f"{worker.facts['description']} · {options.threads} threads · extra buffers {plan['use_extra_bufts']}")
        print(f"{'tokens/s':<12}{'bare':>10}{'worker':>10}{'worker/bare':>13}")
        for name, row in result.items():
            print(f"{name:<12}{row['bare']:>10}{row['worker']:>10}{row['worker'] / row['bare']:>13.2f}")
    worker.close()
    loaded.close()


if __name__ == "__main__":
    main()
