"""Compare greedy answers and logprobs of two OpenAI-compatible servers with the same model, one request at a time.

    python benchmarks/same_answers.py --ours http://127.0.0.1:11411/v1 --theirs http://127.0.0.1:8080/v1 [--tokens 48]

Prints for every prompt whether the texts are the same, where they first differ, and the largest
difference of the chosen tokens' logprobs up to there. A difference is only possible where two tokens
are almost equally likely: kernels round differently for batches of different size. So start both servers
afresh: what they still hold from earlier requests was computed in batches of other shapes.
"""

import argparse
import json
import sys
import urllib.request
from typing import Any

PROMPTS = (
    "Write a long story about a lighthouse keeper.",
    "What is the capital of France?",
    "List five fruits.",
    "Explain why the sky is blue in two sentences.",
    "Write a haiku about rain.",
    "Translate to German: The house is small.",
    "Give me a recipe for pancakes.",
    "What is 12 plus 30?",
    "Write a Python function that reverses a string.",
    "Name the planets of the solar system.",
    "Who wrote Hamlet?",
    "Describe a walk through a forest in autumn.",
    "What does HTTP stand for?",
    "Tell me a joke about cats.",
    "Write an email that asks for a day off.",
    "Continue: Once upon a time, in a village by the sea,",
    "What are the primary colours?",
    "How do bees make honey?",
    "Summarise: The meeting was moved from Monday to Thursday because the room was taken.",
    "Give three reasons to learn the piano.",
)


def ask(url: str, prompt: str, tokens: int) -> list[tuple[str, float]]:
    """The answer as (token text, logprob) pairs."""
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 1,
    }
    request = urllib.request.Request(
        url + "/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        choice: dict[str, Any] = json.load(reply)["choices"][0]
    return [(entry["token"], entry["logprob"]) for entry in choice["logprobs"]["content"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--theirs", required=True)
    parser.add_argument("--tokens", type=int, default=48)
    args = parser.parse_args()
    same, worst = 0, 0.0
    for prompt in PROMPTS:
        ours, theirs = ask(args.ours, prompt, args.tokens), ask(args.theirs, prompt, args.tokens)
        pairs = list(zip(ours, theirs, strict=False))
        at = next((place for place, (one, other) in enumerate(pairs) if one[0] != other[0]), len(pairs))
        gap = max((abs(one[1] - other[1]) for one, other in pairs[:at]), default=0.0)
        # A server may list the end-of-generation token as the last one, or leave it out.
        whole = at == len(pairs) and abs(len(ours) - len(theirs)) <= 1
        same += whole
        worst = max(worst, gap)
        sys.stdout.write(
            json.dumps(
                {"prompt": prompt, "same": whole, "tokens": len(ours), "differs_at": at, "logprob_gap": round(gap, 5)}
            )
            + "\n"
        )
    sys.stdout.write(json.dumps({"same": same, "of": len(PROMPTS), "worst_logprob_gap": round(worst, 5)}) + "\n")


if __name__ == "__main__":
    main()
