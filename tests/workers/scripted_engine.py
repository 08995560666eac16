"""A worker process for tests that speaks the engine's calls and repeats what it was asked."""

import os
import socket
import sys
import threading
from typing import Any

from localmind.errors import Cancelled, QueueFull
from localmind.workers.runtime import BlockingWorker, Reply, prepare_process, serve

loaded: dict[str, Any] = {}
pause = threading.Event()


def load(params: dict[str, Any], reply: Reply) -> dict[str, Any]:
    loaded.update(params)
    memory = {"kind": "attention", "explanation": "any beginning can be shared"}
    return {"n_ctx": 2048, "n_ctx_seq": 2048, "memory": memory, "canary": {}}


def generate(params: dict[str, Any], reply: Reply) -> dict[str, Any]:
    if params.get("client") == "one too many":
        raise QueueFull("256 requests wait already")
    if params.get("client") == "without an end":
        reply.item({"type": "TextDelta", "text": "round "})
        while not reply.cancelled:
            pause.wait(0.005)
        told = {"prompt_tokens": 30, "completion_tokens": 17, "cached_tokens": 8, "prefill_ms": 100, "decode_ms": 200}
        raise Cancelled("the request was cancelled", numbers=told)
    reply.item({"type": "ReasoningDelta", "text": "hm"})
    reply.item({"type": "TextDelta", "text": repr(sorted(params))})
    reply.item({"type": "ToolCallDelta", "index": 0, "id": "c", "name": "f", "arguments": "{}"})
    return {
        "finish_reason": "tool_calls",
        "usage": {"prompt_tokens": 30, "completion_tokens": 17, "cached_tokens": 8},
        "timings": {"queue_ms": 1.0, "prefill_ms": 100.0, "decode_ms": 100.0, "parked_ms": 2.0},
        "cache": {"cached_tokens": 8, "source": "disk", "matched_tokens": 8, "explanation": "first differs at token 8"},
    }


METHODS = {
    "forget": lambda params, reply: loaded.update(forgot=loaded.get("forgot", 0) + 1),
    "cool": lambda params, reply: None,
    "warm": lambda params, reply: None,
    "load": load,
    "generate": generate,
    "state": lambda params, reply: {"sequences": [], "queued": 0, "loaded_with": loaded},
    "embed": lambda params, reply: {"vectors": [b"\0\0\x80?"] * len(params["texts"]), "tokens": 5},
    "rerank": lambda params, reply: {"scores": list(range(len(params["documents"])))},
    "count": lambda params, reply: len(params["messages"]),
}

if __name__ == "__main__":
    prepare_process(int(sys.argv[3]))
    serve(socket.socket(fileno=int(sys.argv[2])), BlockingWorker(METHODS))
    os._exit(0)
