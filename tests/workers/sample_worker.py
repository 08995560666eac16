"""A worker process for tests: the real runtime around a few methods, some of which go wrong for real."""

import ctypes
import os
import signal
import socket
import sys
import threading
from typing import Any

from localmind.errors import ModelFileBroken
from localmind.workers.runtime import BlockingWorker, Reply, prepare_process, serve


def count(params: dict[str, Any], reply: Reply) -> str:
    for number in range(params["to"]):
        reply.item(number)
    return "counted"


def die_after(params: dict[str, Any], reply: Reply) -> None:
    """Send `items` items, then read address 0: a real SIGSEGV."""
    for number in range(params["items"]):
        reply.item(number)
    print("about to read address 0", file=sys.stderr, flush=True)
    ctypes.string_at(0)


def die_once(params: dict[str, Any], reply: Reply) -> str:
    """Die the first time only; the file remembers."""
    with open(params["file"], "a+") as file:
        file.seek(0)
        first = not file.read()
        file.write("x")
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def wait_for_cancel(params: dict[str, Any], reply: Reply) -> str:
    reply.item("waiting")
    pause = threading.Event()
    while not reply.cancelled:
        pause.wait(0.005)
    with open(params["file"], "w") as file:
        file.write("cancelled")
    return "cancelled"


def refuse(params: dict[str, Any], reply: Reply) -> None:
    raise ModelFileBroken("the file is cut short", hint="localmind models pull it")


def stumble(params: dict[str, Any], reply: Reply) -> None:
    raise ZeroDivisionError("nobody foresaw this")


def stop_yourself(params: dict[str, Any], reply: Reply) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    threading.Event().wait()  # the signal may reach another thread first


METHODS = {
    "echo": lambda params, reply: params,
    "pid": lambda params, reply: os.getpid(),
    "environment": lambda params, reply: dict(os.environ),
    "count": count,
    "die_after": die_after,
    "die_once": die_once,
    "wait_for_cancel": wait_for_cancel,
    "refuse": refuse,
    "stumble": stumble,
    "stop_yourself": stop_yourself,
}

if __name__ == "__main__":
    kind, descriptor, parent = sys.argv[1:]
    prepare_process(int(parent))
    sock = socket.socket(fileno=int(descriptor))
    if kind == "garbage":
        sock.sendall(b"\x00\x00\x00\x05hello")
        signal.pause()
    serve(sock, BlockingWorker(METHODS))
    os._exit(0)
