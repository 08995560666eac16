"""The library as a whole: its start, its log, and what it was built with."""

import ctypes
import os
from collections import deque
from typing import Any

from llama_cpp import llama_cpp as native

LOG_ERROR, LOG_CONTINUED = 4, 5  # enum ggml_log_level of ggml.h; the table in llama_cpp/_logger.py is an older one

GIVEN_UP = frozenset(
    (
        b"graph_compute: ggml_backend_sched_graph_compute_async failed with error 1\n",
        b"process_ubatch: failed to compute graph, compute status: 1\n",
        b"llama_decode: failed to decode, ret = 2\n",
    )
)
"""What llama.cpp says of a step that our abort callback gave up, which nothing else has these numbers for. Whoever
cancels a long prompt would fill the worker's log with what is no error."""

errors: deque[str] = deque(maxlen=20)
_last_level = 0


def _on_log(level: int, text: bytes, _data: Any) -> None:
    """Keep errors for our own messages and print them, which the supervisor keeps; drop everything else."""
    global _last_level
    level = _last_level if level == LOG_CONTINUED else level
    _last_level = level
    if level == LOG_ERROR and text not in GIVEN_UP:
        errors.append(text.decode("utf-8", "replace").strip())
        os.write(2, text)


_log_callback = native.llama_log_callback(_on_log)  # kept here: the library holds a pointer to it


def start() -> None:
    """Initialise the library once a process, and quieten it."""
    native.llama_log_set(_log_callback, ctypes.c_void_p(0))
    native.llama_backend_init()


def system_info() -> str:
    """What the build can use: `CPU : SSE3 = 1 | AVX512 = 1 | AMX_INT8 = 1 | ...`."""
    text: bytes = native.llama_print_system_info()
    return text.decode("utf-8", "replace").strip()


def build() -> str:
    """Which build of llama.cpp this is: the binding's version and what the library was compiled for."""
    import llama_cpp

    return f"{llama_cpp.__version__} {system_info()}"


def reason() -> str:
    """The first error that llama.cpp logged since it was last asked for something, without its function's name."""
    line = next(iter(errors), "it gives no reason")
    return line.split(": ", 1)[-1]
