"""What a prompt costs cold, and after the daemon was stopped and started again: its prefix comes from disk.

    LOCALMIND_HOME=... python benchmarks/restart.py [--tokens 1500] [--port 11499]

Starts a daemon of its own on the models of that home, asks a question behind a long system prompt, stops the daemon,
starts another and asks a second question behind the same system prompt. Figures: seconds to the first token of both,
and how many tokens of the second were not evaluated again. The model is loaded before either question.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from typing import Any

WORDS = ("harbor", "copper", "lantern", "meadow", "quartz", "violin", "ember", "saddle", "glacier", "timber", "orchid")
TOKENS_A_WORD = 1.1
START_S = 30.0


def start(port: int) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"LOCALMIND_PORT": str(port)}
    daemon = subprocess.Popen([sys.executable, "-m", "localmind", "serve"], env=environment, stdout=subprocess.DEVNULL)
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
        except OSError:
            time.sleep(0.1)
        else:
            ask(port, "You are brief.", "Say yes.")
            return daemon
    daemon.kill()
    raise SystemExit(f"no daemon on port {port} within {START_S:.0f} s")


def stop(daemon: "subprocess.Popen[bytes]") -> None:
    daemon.send_signal(signal.SIGTERM)
    daemon.wait()


def ask(port: int, system: str, question: str) -> tuple[float, dict[str, Any]]:
    """Seconds to the first token, and the usage."""
    body = {
        "model": "default",
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
        "max_tokens": 4,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    began = time.perf_counter()
    first, usage = 0.0, {}
    with urllib.request.urlopen(request) as reply:
        for line in reply:
            if line.startswith(b"data: {"):
                chunk = json.loads(line[6:])
                usage = chunk.get("usage") or usage
                if not first and chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                    first = time.perf_counter() - began
    return first, usage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1500)
    parser.add_argument("--port", type=int, default=11499)
    args = parser.parse_args()
    words = (WORDS[(place * 7 + place // 11) % len(WORDS)] for place in range(round(args.tokens / TOKENS_A_WORD)))
    system = f"{secrets.token_hex(4)} " + " ".join(words)
    daemon = start(args.port)
    cold, usage = ask(args.port, system, "Question 1: pick a word.")
    stop(daemon)
    daemon = start(args.port)
    warm, again = ask(args.port, system, "Question 2: pick another word.")
    stop(daemon)
    result = {
        "prompt_tokens": usage["prompt_tokens"],
        "cold_s": round(cold, 3),
        "after_restart_s": round(warm, 3),
        "quotient": round(warm / cold, 3),
        "cached_tokens": again["prompt_tokens_details"]["cached_tokens"],
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
