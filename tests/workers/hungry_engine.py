"""A scripted engine for tests whose memory ends.

Its first argument is JSON: room for so many `cells` at a load (`warm_cells`, `busy_cells` later), with keys and values
of `kv_type` only, and `how` it fails: "refuse", "exhaust" or "kill".
"""

import json
import os
import resource
import signal
import socket
import sys
from typing import Any

from localmind.errors import NoRoom
from localmind.workers.runtime import BlockingWorker, Reply, prepare_process, serve

options = json.loads(sys.argv[1])
plan: dict[str, Any] = {}


def exhaust() -> None:
    """Take all that the kernel gives this process, for real."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
    held = bytearray(1 << 46)  # beyond every limit also where this one is not enforced
    raise AssertionError(f"{len(held)} bytes were given although the limit is below")


def full() -> None:
    match options["how"]:
        case "refuse":
            raise NoRoom(f"no room for a context of {plan['n_ctx']} tokens")
        case "exhaust":
            exhaust()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)


def load(params: dict[str, Any], reply: Reply) -> dict[str, Any]:
    plan.update(params["plan"])
    if plan["n_ctx"] > options["cells"] or (options.get("kv_type") and plan["kv_type"] != options["kv_type"]):
        full()
    memory = {"kind": "attention", "explanation": "any beginning can be shared"}
    return {"n_ctx": plan["n_ctx"], "n_ctx_seq": plan["n_ctx"], "memory": memory, "canary": {}}


def warm(params: dict[str, Any], reply: Reply) -> None:
    if plan["n_ctx"] > options.get("warm_cells", options["cells"]):
        full()


def generate(params: dict[str, Any], reply: Reply) -> dict[str, Any]:
    if plan["n_ctx"] > options.get("busy_cells", options["cells"]):
        full()
    return {
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 0},
        "timings": {"queue_ms": 1.0, "prefill_ms": 1.0, "decode_ms": 1.0, "parked_ms": 0.0},
    }


METHODS = {
    "load": load,
    "warm": warm,
    "cool": lambda params, reply: None,
    "generate": generate,
    "state": lambda params, reply: {"n_ctx": plan["n_ctx"]},
}

if __name__ == "__main__":
    prepare_process(int(sys.argv[4]))
    serve(socket.socket(fileno=int(sys.argv[3])), BlockingWorker(METHODS))
    os._exit(0)
