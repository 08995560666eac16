"""Thousands of requests of every kind against the engine worker, looking for what does not come back.

    python benchmarks/engine_soak.py --model PATH [--requests 10000] [--minutes M] [--seed N]

Random sizes, priorities, clients, sampling and grammars; requests are cancelled in the queue, in prefill and in
decode, and some clients vanish (their reply raises, as a broken pipe does). At intervals it prints resident memory,
cells and sequences. It fails when a request does not end exactly once, when anything is left that nobody waits for,
when the ledger of cells and the sequences disagree, or when memory has grown by more than --leak-mb since a third of
the run. KV cells in main memory are part of the working set and bounded by --ram-mb.
"""

import argparse
import contextlib
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from localmind.engine.worker import create
from localmind.errors import Cancelled, LocalmindError

WAIT = 600.0
PROMPT_TOKENS = (4, 20, 60, 150, 400)
ANSWER_TOKENS = (1, 2, 4, 8, 16, 32)
AT_ONCE = 24
CANCELLED = Cancelled("the request was cancelled")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}


class Told(NamedTuple):
    """What is kept of a reply: ten thousand whole ones would look like a leak."""

    id: int
    ends: int
    error: LocalmindError | None


class SoakReply:
    """A Reply that counts its ends; a vanished one cannot be written to."""

    def __init__(self, number: int, ended: threading.Semaphore, *, vanishes: bool) -> None:
        self.id = number
        self.cancelled = False
        self.ends = 0
        self.first = threading.Event()
        self.error: LocalmindError | None = None
        self.value: Any = None
        self._vanishes = vanishes
        self._ended = ended

    def together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def item(self, value: Any) -> None:
        self.first.set()
        if self._vanishes:
            raise BrokenPipeError("the client is gone")

    def result(self, value: Any = None) -> None:
        self.value = value
        self._end()

    def fail(self, error: LocalmindError) -> None:
        self.error = error
        self._end()

    def told(self) -> Told:
        error = self.error if self.error is None or not isinstance(self.error, Cancelled) else CANCELLED
        return Told(self.id, self.ends, error)

    def _end(self) -> None:
        self.ends += 1
        if self.ends > 1:
            raise SystemExit(f"request {self.id} ended {self.ends} times")
        self.first.set()
        self._ended.release()


class Soak:
    def __init__(self, options: argparse.Namespace) -> None:
        self.chance = random.Random(options.seed)
        self.worker = create()
        self.number = 0
        self.ended = threading.Semaphore(0)
        plan: dict[str, Any] = {"n_ctx": options.ctx, "n_batch": 512, "n_ubatch": 512, "n_threads": options.threads}
        plan["n_threads_batch"] = options.threads
        plan["use_extra_bufts"] = not options.no_extra_bufts
        self.ask("load", path=str(options.model), plan=plan, prefix_ram_mb=options.ram_mb)
        self.words = self.ask("tokenize", text="the quick brown fox jumps over the lazy dog and goes on " * 60)

    def ask(self, method: str, **params: Any) -> Any:
        ended = threading.Semaphore(0)
        self.number += 1
        reply = SoakReply(self.number, ended, vanishes=False)
        self.worker.call(method, params, reply)
        if not ended.acquire(timeout=WAIT):
            raise SystemExit(f"{method} did not answer")
        if reply.error is not None:
            raise reply.error
        return reply.value

    def start(self) -> SoakReply:
        chance = self.chance
        self.number += 1
        reply = SoakReply(self.number, self.ended, vanishes=chance.random() < 0.1)
        shared = self.words[: chance.choice((0, 30, 100, 300))]
        own = [chance.choice(self.words) for _ in range(chance.choice(PROMPT_TOKENS))]
        sampling: dict[str, Any] = {"max_tokens": chance.choice(ANSWER_TOKENS), "seed": chance.randrange(1000)}
        if chance.random() < 0.4:
            sampling["temperature"] = 0
        if chance.random() < 0.2:
            sampling["logprobs"] = 2
        if chance.random() < 0.1:
            sampling["stop"] = ["the"]
        params: dict[str, Any] = {
            "tokens": shared + own,
            "sampling": sampling,
            "client": f"client {chance.randrange(4)}",
            "priority": chance.choice(("interactive", "interactive", "background")),
            "explain": chance.random() < 0.2,
        }
        if chance.random() < 0.15:
            params["format"] = {"json_schema": SCHEMA}
        self.worker.call("generate", params, reply)
        return reply

    def cancel(self, reply: SoakReply) -> None:
        reply.cancelled = True
        self.worker.cancel(reply.id)


def report(soak: Soak, done: int, began: float) -> float:
    state = soak.ask("state")
    resident = psutil.Process().memory_info().rss / 1e6
    print(
        f"{done:>7} requests {time.monotonic() - began:>7.0f} s   {resident:>7.1f} MB   "
        f"cells {state['cells_used']:>5} (+{state['cells_in_ram']} in RAM)   running {state['running']} "
        f"parked {state['parked']} queued {state['queued']} idle {state['idle']}   parkings {state['parkings']}",
        flush=True,
    )
    return resident


def problems(soak: Soak, replies: list[Told]) -> list[str]:
    found = [f"request {reply.id} ended {reply.ends} times" for reply in replies if reply.ends != 1]
    strange = [reply.error for reply in replies if reply.error and not isinstance(reply.error, Cancelled)]
    found += [f"{type(error).__name__}: {error}" for error in strange[:5]]
    soak.ask("state")
    state = soak.ask("state")  # after the step that gave the last cells back
    if state["running"] or state["parked"] or state["queued"]:
        found.append(f"left over: running {state['running']}, parked {state['parked']}, queued {state['queued']}")
    if any(sequence["state"] != "cached" for sequence in state["sequences"]):
        found.append("a sequence without a request is not idle")
    held = sum(sequence["cells"] for sequence in state["sequences"])
    if state["cells_used"] > held:
        found.append(f"{state['cells_used']} cells are in use and sequences hold {held}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop earlier after so long")
    parser.add_argument("--ctx", type=int, default=2048)
    parser.add_argument("--ram-mb", type=int, default=64)
    parser.add_argument("--leak-mb", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=500, help="requests between two lines")
    parser.add_argument("--no-extra-bufts", action="store_true", help="plain weights: no repacking, no AMX")
    options = parser.parse_args()
    soak = Soak(options)
    began = time.monotonic()
    open_replies: list[SoakReply] = []
    ended: list[Told] = []
    resident: list[float] = []
    started = done = 0
    while done < options.requests:
        enough = started >= options.requests or time.monotonic() - began > 60 * options.minutes
        if enough and not open_replies:
            break
        while not enough and len(open_replies) < AT_ONCE and started < options.requests:
            open_replies.append(soak.start())
            started += 1
            if soak.chance.random() < 0.1:
                soak.cancel(open_replies[-1])  # at the desk or in the queue
        if soak.chance.random() < 0.3:
            soak.cancel(soak.chance.choice(open_replies))  # anywhere
        if not soak.ended.acquire(timeout=WAIT):
            raise SystemExit("no request ends any more")
        ended += [reply.told() for reply in open_replies if reply.ends]
        open_replies = [reply for reply in open_replies if not reply.ends]
        if len(ended) // options.every > done // options.every:
            resident.append(report(soak, len(ended), began))
        done = len(ended)
    resident.append(report(soak, done, began))
    found = problems(soak, ended)
    cancelled = sum(isinstance(reply.error, Cancelled) for reply in ended)
    third = resident[len(resident) // 3]
    if len(resident) > 3 and resident[-1] - third > options.leak_mb:
        found.append(f"resident memory grew from {third:.0f} to {resident[-1]:.0f} MB")
    print(
        f"{done} requests, {cancelled} cancelled; memory {third:.0f} MB after a third, {resident[-1]:.0f} MB at the end"
    )
    soak.worker.close()
    for problem in found:
        print(f"PROBLEM {problem}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
