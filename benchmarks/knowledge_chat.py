"""What indexing costs a chat that streams: tokens a second with the index paused and at work, in turn.

    python benchmarks/knowledge_chat.py URL MODEL [PAIRS]

URL is a daemon that has much to embed: add a big folder first (`localmind folders add`), and ask while it works.
Each pair is one answer with the index paused and one with it resumed two seconds before; pairs alternate in their
order, so that a machine that gets slower or faster spoils neither side. Standard library only.
"""

import json
import statistics
import sys
import time
import urllib.request

TOKENS = 200


def post(url: str, body: object | None = None) -> urllib.request.Request:
    data = b"" if body is None else json.dumps(body).encode()
    return urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="POST")


def rate(url: str, model: str, number: int) -> float:
    """Tokens a second of one streamed answer, from its first text to its end."""
    body = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": TOKENS,
        "temperature": 0.8,
        "seed": number,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": f"Tell a long story about the number {number} and the sea."}],
    }
    first = last = 0.0
    tokens = 0
    with urllib.request.urlopen(post(f"{url}/v1/chat/completions", body), timeout=120) as reply:
        for line in reply:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            if any(choice["delta"].get("content") for choice in chunk["choices"]):
                last = time.perf_counter()
                first = first or last
            if chunk.get("usage"):
                tokens = chunk["usage"]["completion_tokens"]
    return (tokens - 1) / (last - first)


def pending(url: str) -> int:
    with urllib.request.urlopen(f"{url}/localmind/v1/folders", timeout=30) as reply:
        return sum(folder["vectors_pending"] for folder in json.load(reply)["folders"])


def measured(url: str, model: str, number: int, *, paused: bool) -> float:
    urllib.request.urlopen(post(f"{url}/localmind/v1/folders/{'pause' if paused else 'resume'}"), timeout=30).close()
    time.sleep(2)
    return rate(url, model, number)


def main() -> None:
    url, model, pairs = sys.argv[1].rstrip("/"), sys.argv[2], int((sys.argv[3:] or ["5"])[0])
    rate(url, model, 0)
    before = pending(url)
    alone, beside = [], []
    for pair in range(pairs):
        for paused in (True, False) if pair % 2 else (False, True):
            (alone if paused else beside).append(measured(url, model, pair, paused=paused))
        print(f"pair {pair + 1}: {alone[-1]:.1f} tokens/s alone, {beside[-1]:.1f} beside the index", flush=True)
    urllib.request.urlopen(post(f"{url}/localmind/v1/folders/resume"), timeout=30).close()
    left = pending(url)
    ratios = [one / other for one, other in zip(beside, alone, strict=True)]
    print(f"{before - left} passages embedded meanwhile, {left} left")
    print(
        f"median {statistics.median(alone):.1f} alone, {statistics.median(beside):.1f} beside;"
        f" a chat keeps {100 * statistics.median(ratios):.0f} % (pairs {min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
