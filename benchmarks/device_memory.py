"""What a plan says each device will hold, beside what llama.cpp reserves there: by layers on the GPU.

    python benchmarks/device_memory.py MODEL.gguf [--layers 0 8 99] [--ctx 4096] [--kv f16] [--decode] [--rpc HOST:PORT]

For trying an engine built for a second device, docs/devices.md has the recipe. LLAMA_CPP_LIB_PATH points at libraries
that are not installed. Buffers are read from llama.cpp's own log; what stays resident after everything is closed is the
last column, compared with the process before the first load. `--decode` computes a few tokens too. `--rpc` adds the
device of a ggml-rpc-server, which the daemon itself never does: nothing leaves the machine unasked.
"""

import argparse
import ctypes
import re
from array import array
from dataclasses import replace
from pathlib import Path

import psutil
from llama_cpp import llama_cpp as native

from localmind.engine import llama
from localmind.engine.llama import Batch, Context, Model, devices, library
from localmind.engine.loaded import MAX_OUTPUTS, SLOTS
from localmind.machine.binding import installed_binding
from localmind.machine.devices import Gpu, Machine
from localmind.machine.plan import Plan, Wishes, make_plan, price
from localmind.models.gguf import read_facts

BUFFER = re.compile(r"(\S+)\s+(model|KV|RS|compute|output) buffer size =\s+([\d.]+) MiB")
lines: list[str] = []


def keep(_level: int, text: bytes, _data: object) -> None:
    lines.append(text.decode("utf-8", "replace"))


def found() -> dict[tuple[str, str], float]:
    """MiB by (device, part), as llama.cpp logged them since the last call."""
    sizes: dict[tuple[str, str], float] = {}
    for line in lines:
        match = BUFFER.search(line)
        if match is not None:
            gpu = re.fullmatch(r"(Vulkan|CUDA|ROCm|MTL|RPC)\S*\d+\S*", match[1])
            part = {"model": "weights", "KV": "kv", "RS": "kv"}.get(match[2], "compute")
            key = (match[1].partition("[")[0] if gpu else "RAM", part)  # RPC0[127.0.0.1:50052]
            sizes[key] = sizes.get(key, 0.0) + float(match[3])
    lines.clear()
    return sizes


def join(endpoint: str) -> None:
    """Add the devices of a server to ggml's list of this process."""
    native.llama_backend_init()
    registry = devices._function("ggml_backend_reg_by_name", ctypes.c_void_p, ctypes.c_char_p)(b"RPC")
    lookup = devices._function("ggml_backend_reg_get_proc_address", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
    add = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(lookup(registry, b"ggml_backend_rpc_add_server"))
    devices._function("ggml_backend_register", None, ctypes.c_void_p)(add(endpoint.encode()))


def try_plan(path: Path, plan: Plan, decode: bool) -> dict[tuple[str, str], float]:
    model = Model(path, plan, lambda _done: True)
    context = Context(model, plan, n_slots=SLOTS + 1, n_outputs=MAX_OUTPUTS)
    if decode:
        batch = Batch(context.n_batch)
        batch.add(array("i", range(8)), position=0, slot=0, output=True)
        code = context.decode(batch)
        print(f"   8 tokens decoded, code {code}, the first logit {float(context.logits(7)[0]):.3f}")
    sizes = found()
    context.close()
    model.close()
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--layers", nargs="+", type=int, default=[0, 8, 99])
    parser.add_argument("--ctx", type=int, default=4096)
    parser.add_argument("--kv", choices=["f16", "q8_0", "q4_0"], default="f16")
    parser.add_argument("--cpu-experts", type=int, help="experts of so many layers in main memory")
    parser.add_argument("--decode", action="store_true")
    parser.add_argument("--rpc", metavar="HOST:PORT", help="a ggml-rpc-server")
    asked = parser.parse_args()
    machine, binding = Machine.here(), installed_binding()
    backends = binding.backends if binding else frozenset()
    if asked.rpc is not None:
        join(asked.rpc)
        there = [each for each in devices.devices() if each.backend == "RPC"]
        gpus = tuple(Gpu(each.name, "RPC", each.memory_total, each.memory_free, id=each.id) for each in there)
        machine, backends = replace(machine, gpus=(*machine.gpus, *gpus)), backends | {"RPC"}
    for gpu in machine.gpus:
        print(
            f"{gpu.id}: {gpu.name}, {gpu.memory_free >> 20} of {gpu.memory_total >> 20} MiB free, shared: {gpu.unified}"
        )
    facts = read_facts(asked.model)
    callback = native.llama_log_callback(keep)
    library._log_callback = callback
    llama.start()
    before = psutil.Process().memory_info().rss
    for layers in asked.layers:
        wishes = Wishes(n_ctx=asked.ctx, gpu_layers=layers, kv_type=asked.kv, backends=backends)
        plan = make_plan(machine, facts, wishes)
        if asked.cpu_experts is not None and plan.n_gpu_layers:
            plan = price(replace(plan, cpu_experts=asked.cpu_experts), machine, facts)
        print(f"{layers} layers asked for, {plan.n_gpu_layers} of {facts.n_layers + 1} planned:")
        sizes = try_plan(asked.model, plan, asked.decode)
        for need in plan.need:
            told = " · ".join(
                f"{part} {getattr(need, part) / 2**20:.1f} planned, {sizes.get((need.device, part), 0.0):.1f} reserved"
                for part in ("weights", "kv", "compute")
            )
            print(f"   {need.device:<8} {told} (MiB)")
        left = psutil.Process().memory_info().rss - before
        print(f"   closed again: {left / 2**20:+.0f} MiB resident, compared with before the first load")


if __name__ == "__main__":
    main()
