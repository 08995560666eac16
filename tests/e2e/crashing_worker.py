"""Worker entry for tests: the real workers, but an engine that loads with extra buffers dies of SIGSEGV.

This is what a plain build does on a processor with AMX: the process is really gone, by the signal.
"""

import ctypes
import os
import socket
import sys
from typing import Any

from localmind.workers.kinds import create
from localmind.workers.runtime import Reply, WorkerMain, prepare_process, serve


class CrashesWithExtraBuffers:
    """A WorkerMain around the real engine."""

    def __init__(self, engine: WorkerMain) -> None:
        self._engine = engine
        self.cancel, self.busy_seconds, self.close = engine.cancel, engine.busy_seconds, engine.close

    def call(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        if method == "load" and params["plan"]["use_extra_bufts"]:
            print("ggml_backend_amx_mul_mat: about to load the tile configuration", file=sys.stderr, flush=True)
            ctypes.string_at(0)
        self._engine.call(method, params, reply)


if __name__ == "__main__":
    kind, descriptor, parent = sys.argv[1:]
    prepare_process(int(parent))
    worker = create(kind)
    serve(socket.socket(fileno=int(descriptor)), CrashesWithExtraBuffers(worker) if kind == "engine" else worker)
    os._exit(0)
