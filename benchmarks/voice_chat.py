"""What hearing costs a running chat, and how soon a text is read aloud: on a running daemon of this LOCALMIND_HOME.

    python benchmarks/voice_chat.py SPEECH.wav [--pairs 4]

Pairs of the same answer, alone and while the file is transcribed or heard live over and over; each pair gives a ratio
of tokens a second, so that a machine that is slow for a minute is slow for both. Means something on an idle machine.
"""

import argparse
import contextlib
import json
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from localmind.client import Client
from localmind.client.listening import listen
from localmind.client.wire import connection
from localmind.errors import LocalmindError
from localmind.microphone import FileCapture
from localmind.paths import Paths

QUESTION = "Write a long story about a lighthouse keeper and the sea."
TOKENS = 160


def answer(paths: Paths) -> float:
    """Tokens a second between the first and the last of one answer."""
    link, headers = connection(paths, 120)
    body = {"model": "default", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    body |= {"max_tokens": TOKENS, "temperature": 0, "stream_options": {"include_usage": True}}
    with contextlib.closing(link):
        link.request("POST", "/v1/chat/completions", json.dumps(body), headers | {"Content-Type": "application/json"})
        first = last = 0.0
        count = 0
        for line in link.getresponse():
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if event["choices"] and event["choices"][0]["delta"].get("content"):
                last = time.perf_counter()
                first = first or last
            if event.get("usage"):
                count = event["usage"]["completion_tokens"]
    return (count - 1) / (last - first)


def transcribing(paths: Paths, file: Path, over: threading.Event) -> None:
    with Client(paths) as client:
        while not over.is_set():
            for _ in client.events("/transcribe", {"path": str(file.absolute()), "language": "en"}):
                if over.is_set():
                    break


def listening(paths: Paths, file: Path, over: threading.Event) -> None:
    with Client(paths) as client:
        while not over.is_set():
            with FileCapture(file) as capture, contextlib.suppress(LocalmindError):
                for _ in listen(client, capture.pieces(), {"continuous": True}):
                    if over.is_set():
                        break


def pairs(paths: Paths, file: Path, work: Callable[[Paths, Path, threading.Event], None], count: int) -> None:
    ratios = []
    for _ in range(count):
        alone = answer(paths)
        over = threading.Event()
        thread = threading.Thread(target=work, args=(paths, file, over))
        thread.start()
        time.sleep(1.0)  # so that it is well under way
        beside = answer(paths)
        over.set()
        thread.join(30)
        ratios.append(beside / alone)
        print(
            f"{work.__name__:12} alone {alone:6.1f}, beside it {beside:6.1f} tokens/s: {beside / alone:.3f}", flush=True
        )
    print(f"{work.__name__:12} median {statistics.median(ratios):.3f}", flush=True)


def aloud(paths: Paths) -> None:
    """Seconds to the first sound and to the last of a text of two sentences, where a voice is installed."""
    text = "The boiler in the kitchen was serviced on the third of March. Please call the water company tomorrow."
    with Client(paths) as client:
        for _ in range(3):
            began = time.perf_counter()
            size = 0
            first = 0.0
            try:
                for piece in client.sound("/speak", {"input": text, "response_format": "pcm"}):
                    first = first or time.perf_counter() - began
                    size += len(piece)
            except LocalmindError as problem:
                print(f"not read aloud: {problem.message}")
                return
            took = time.perf_counter() - began
            print(f"aloud: first sound {first:.2f} s, {size / 48_000:.1f} s of speech in {took:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("speech", type=Path)
    parser.add_argument("--pairs", type=int, default=4)
    given = parser.parse_args()
    paths = Paths.find()
    answer(paths)
    aloud(paths)
    for work in (transcribing, listening):
        pairs(paths, given.speech, work, given.pairs)


if __name__ == "__main__":
    main()
