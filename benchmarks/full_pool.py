"""Many long answers in a pool that cannot hold them: every one must come whole, and be the text it is alone.

    python benchmarks/full_pool.py --model PATH [--requests 6] [--prompt 1000] [--tokens 400] [--cells 4096]

All requests start at once, from clients of their own, with prompts that have nothing in common. The figures are the
answers that came whole, how long each was parked in main memory, and how many texts are those of a request that had
the pool to itself. A text may differ where two tokens are almost equally likely: batches of other shapes round
otherwise; the place of the first difference is given.
"""

import argparse
import json
import sys
import time
from array import array
from pathlib import Path

from speculation import Waiter

from localmind.engine.generation import Ask
from localmind.engine.loaded import Loaded, open_model
from localmind.engine.loop import Limits, Loop
from localmind.engine.native_thread import NativeThread
from localmind.machine.plan import Plan
from localmind.messages import SamplingParams

WORDS = ("harbor", "copper", "lantern", "meadow", "quartz", "violin", "ember", "saddle", "glacier", "timber", "orchid")
RAM_BYTES = 256 << 20


def prompt_of(loaded: Loaded, number: int, length: int) -> "array[int]":
    words = (WORDS[(place * (number + 3) + place // 7) % len(WORDS)] for place in range(length))
    tokens = loaded.model.tokenize(f"Chapter {number + 1}. " + " ".join(words), add_special=True)
    return tokens[:length]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=6)
    parser.add_argument("--prompt", type=int, default=1000, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=400, help="tokens of each answer")
    parser.add_argument("--cells", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    plan = Plan(n_ctx=args.cells, n_threads=args.threads, n_threads_batch=args.threads)
    thread = NativeThread()
    loaded = thread.call(lambda: Loaded(open_model(args.model, plan, lambda done: True), plan))
    loop = Loop(loaded, Limits(ram_bytes=RAM_BYTES, speculate=False), thread=thread)
    prompts = [prompt_of(loaded, number, args.prompt) for number in range(args.requests)]

    def start(number: int) -> Waiter:
        waiter = Waiter()
        params = SamplingParams(temperature=0.0, max_tokens=args.tokens, ignore_eos=True)
        loop.submit(Ask(prompts[number], params, client=str(number)), waiter)
        return waiter

    began = time.monotonic()
    together = [start(number) for number in range(args.requests)]
    for waiter in together:
        waiter.ended.wait()
    seconds = time.monotonic() - began
    alone = []
    for number in range(args.requests):
        alone.append(start(number))
        alone[-1].ended.wait()
    whole = same = 0
    for number, (crowded, single) in enumerate(zip(together, alone, strict=True)):
        outcome = crowded.outcome
        if outcome is None:
            sys.stdout.write(json.dumps({"request": number, "error": str(crowded.error)}) + "\n")
            continue
        texts = "".join(crowded.parts), "".join(single.parts)
        differs = next((at for at, pair in enumerate(zip(*texts, strict=False)) if pair[0] != pair[1]), None)
        whole += outcome.usage.completion_tokens == args.tokens
        same += differs is None
        line = {
            "request": number,
            "prompt_tokens": outcome.usage.prompt_tokens,
            "completion_tokens": outcome.usage.completion_tokens,
            "parked_ms": round(outcome.timings.parked_ms),
            "first_other_character": differs,
        }
        sys.stdout.write(json.dumps(line) + "\n")
    result = {"whole": whole, "same_text": same, "requests": args.requests, "seconds": round(seconds, 1)}
    sys.stdout.write(json.dumps(result) + "\n")
    loop.stop(5)
    sys.exit(whole != args.requests)


if __name__ == "__main__":
    main()
