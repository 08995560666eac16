"""ggml's own list of devices, which the binding does not wrap, and where a model's parts are put on them.

The functions are looked up in the library that llama.cpp itself uses, never in a second copy of it, whose list would
be another one. The CPU device reports all memory as free, so main memory is asked elsewhere (machine/devices.py).
"""

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from llama_cpp import llama_cpp as native

from localmind.errors import InvalidRequest, NoRoom
from localmind.machine.plan import Plan

CPU, GPU, INTEGRATED = 0, 1, 2  # enum ggml_backend_dev_type of ggml-backend.h; 3 is an accelerator such as BLAS
EXPERTS = r"blk\.{}\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""As llama.cpp writes it for --n-cpu-moe; one more override than layers, all zero, ends the list."""


@dataclass(slots=True, frozen=True)
class Device:
    """One entry of the list. Memory in bytes."""

    id: str
    """E.g. "CUDA0"."""
    name: str
    backend: str
    """E.g. "CUDA", "Vulkan", "MTL"."""
    integrated: bool
    memory_total: int
    memory_free: int


class _Override(ctypes.Structure):
    _fields_ = [("pattern", ctypes.c_char_p), ("buft", ctypes.c_void_p)]


@cache
def _function(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    for library in _libraries():
        try:
            found = getattr(library, name)
        except AttributeError:
            continue
        found.restype, found.argtypes = result, list(arguments)
        return found  # type: ignore[no-any-return]
    raise InvalidRequest(f"the installed engine has no {name}", hint="localmind engine build --force")


def _libraries() -> Iterator[Any]:
    yield native._lib  # finds what it is linked with, but for Windows
    from llama_cpp._ctypes_extensions import load_shared_library

    for name in ("ggml", "ggml-base"):
        yield load_shared_library(name, native._base_path)


def devices() -> list[Device]:
    """All that may take layers, in the order in which llama.cpp would use them."""
    found = []
    memory = _function("ggml_backend_dev_memory", None, ctypes.c_void_p, *(ctypes.POINTER(ctypes.c_size_t),) * 2)
    for number in range(_function("ggml_backend_dev_count", ctypes.c_size_t)()):
        handle = _function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)(number)
        kind = _function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)(handle)
        if kind not in (GPU, INTEGRATED):
            continue
        registry = _function("ggml_backend_dev_backend_reg", ctypes.c_void_p, ctypes.c_void_p)(handle)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        memory(handle, ctypes.byref(free), ctypes.byref(total))
        found.append(
            Device(
                id=_text("ggml_backend_dev_name", handle),
                name=_text("ggml_backend_dev_description", handle),
                backend=_text("ggml_backend_reg_name", registry),
                integrated=kind == INTEGRATED,
                memory_total=total.value,
                memory_free=free.value,
            )
        )
    return found


def _text(function: str, handle: Any) -> str:
    text: bytes | None = _function(function, ctypes.c_char_p, ctypes.c_void_p)(handle)
    return (text or b"").decode("utf-8", "replace")


def put_on_devices(params: Any, plan: Plan) -> list[Any]:
    """Write into llama_model_params where the plan wants layers and experts.

    Returns what must live as long as the load. Without layers on a GPU no GPU is touched at all: llama.cpp would
    otherwise start every driver and reserve scratch memory there. Raises NoRoom for a device that is gone.
    """
    named = plan.devices if plan.n_gpu_layers else ()
    handles = [_handle(name) for name in named]
    listed = (ctypes.c_void_p * (len(handles) + 1))(*handles, None)
    kept: list[Any] = [listed]
    params.n_gpu_layers = plan.n_gpu_layers
    if named or not plan.n_gpu_layers:  # a plan of old names no devices: llama.cpp chooses
        params.devices = ctypes.cast(listed, ctypes.c_void_p)
    if len(handles) > 1:
        split = (ctypes.c_float * native.llama_max_devices())(*map(float, plan.layers))
        params.tensor_split = ctypes.cast(split, ctypes.POINTER(ctypes.c_float))
        kept.append(split)
    if plan.cpu_experts and plan.n_gpu_layers:
        buffer = _function("ggml_backend_cpu_buffer_type", ctypes.c_void_p)()
        patterns = [EXPERTS.format(layer).encode() for layer in range(plan.cpu_experts)]
        overrides = (_Override * (len(patterns) + 1))(*(_Override(pattern, buffer) for pattern in patterns))
        params.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
        kept += [overrides, patterns]
    return kept


def _handle(name: str) -> int:
    handle: int | None = _function("ggml_backend_dev_by_name", ctypes.c_void_p, ctypes.c_char_p)(name.encode())
    if not handle:
        known = ", ".join(device.id for device in devices()) or "none"
        # No room, since plans that ask for less of it are tried next; the last of them needs no device.
        raise NoRoom(
            f"the device {name}, which the plan uses, is not there (there are: {known})", hint="localmind doctor"
        )
    return handle
