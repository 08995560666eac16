"""What prompt lookup brings: decode tokens a second with and without it, in turn, on the same loaded model.

    python benchmarks/speculation.py --model PATH [--threads 2] [--rounds 3]

Tasks: `copy` repeats a text that is in the prompt, `edit` repeats it with changed words, each after examples enough
that even the starter does it (behind one copy it wrote something else, and nothing was measured); `prose` writes a
story. The figure is the median quotient over the rounds; acceptance is accepted by drafted tokens.
"""

import argparse
import json
import statistics
import sys
import threading
from array import array
from pathlib import Path

from localmind.engine.generation import Ask, Outcome
from localmind.engine.loaded import Loaded, open_model
from localmind.engine.loop import Loop
from localmind.engine.native_thread import NativeThread
from localmind.errors import LocalmindError
from localmind.machine.plan import Plan
from localmind.messages import SamplingParams

CODE = """def total(prices):
    result = 0
    for price in prices:
        result = result + price
    return result


def mean(prices):
    if not prices:
        return 0
    return total(prices) / len(prices)


def highest(prices):
    best = prices[0]
    for price in prices:
        if price > best:
            best = price
    return best
"""
TASKS = {
    "copy": f"First copy:\n{CODE}\nSecond copy:\n{CODE}\nThird copy:\n{CODE}\nFourth copy:\n",
    "edit": "".join(
        f"Before:\n{code}\nAfter, with prices called values:\n{code.replace('prices', 'values')}\n"
        for code in (CODE, CODE.replace("best", "top"))
    )
    + f"Before:\n{CODE.replace('result', 'whole')}\nAfter, with prices called values:\n",
    "prose": "Once upon a time, in a village by the sea, there lived an old lighthouse keeper who",
    "list": "Here is a list of fifty animals, each with a colour:\n1. dog, brown\n2. cat, black\n",
}


class Waiter:
    """A Sink that waits for the end."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.outcome: Outcome | None = None
        self.error: LocalmindError | None = None
        self.ended = threading.Event()

    def text(self, text: str, logprobs: object) -> None:
        self.parts.append(text)

    def done(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.ended.set()

    def failed(self, error: LocalmindError) -> None:
        self.error = error
        self.ended.set()


def run(loop: Loop, prompt: "array[int]", tokens: int) -> tuple[float, Outcome, str]:
    """Decode tokens a second, with the outcome and the text."""
    waiter = Waiter()
    loop.submit(Ask(prompt, SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)), waiter)
    waiter.ended.wait()
    if waiter.outcome is None:
        raise waiter.error or RuntimeError("no outcome")
    outcome = waiter.outcome
    return 1e3 * (outcome.usage.completion_tokens - 1) / outcome.timings.decode_ms, outcome, "".join(waiter.parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    plan = Plan(n_ctx=8192, n_threads=args.threads, n_threads_batch=args.threads)
    thread = NativeThread()
    loaded = thread.call(lambda: Loaded(open_model(args.model, plan, lambda done: True), plan))
    loop = Loop(loaded, thread=thread)
    sys.stderr.write(f"cost of a step by rows: { {rows: round(s, 4) for rows, s in loaded.decode_costs.items()} }\n")
    for name, text in TASKS.items():
        prompt = loaded.model.tokenize(text, add_special=True)
        quotients, drafted, accepted, same = [], 0, 0, True
        run(loop, prompt, 8)
        for _ in range(args.rounds):
            loop.drafting.speculates = False
            plain, _, plain_text = run(loop, prompt, args.tokens)
            loop.drafting.speculates = True
            quick, outcome, quick_text = run(loop, prompt, args.tokens)
            quotients.append(quick / plain)
            drafted += outcome.timings.drafted_tokens
            accepted += outcome.timings.accepted_tokens
            same = same and plain_text == quick_text
        line = {
            "task": name,
            "quotient": round(statistics.median(quotients), 3),
            "all": [round(each, 3) for each in quotients],
            "drafted": drafted,
            "accepted": accepted,
            "same_text": same,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    loop.stop(5)


if __name__ == "__main__":
    main()
