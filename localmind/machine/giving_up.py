"""What a model gives up when memory runs out after all: context, then precision of the cache, then layers on GPUs.

Plans are reckoned from files, and other programs take memory between the reckoning and the load. So a load that
finds no room, or a worker that the kernel ends for want of memory, is tried again with less, and people are told.
"""

import sys
from dataclasses import replace
from pathlib import Path

from localmind.machine.plan import LEAST_CELLS, Plan, with_layers


def lesser(plan: Plan) -> tuple[Plan, ...]:
    """Plans that take less and less memory, the first a little less than `plan`."""
    rungs: list[Plan] = []
    plan = replace(plan, need=(), reasons=())
    while plan.n_ctx // 2 >= LEAST_CELLS:
        plan = replace(plan, n_ctx=plan.n_ctx // 2, n_ctx_seq=min(plan.n_ctx_seq, plan.n_ctx // 2))
        rungs.append(plan)
    if plan.kv_type == "f16":
        plan = replace(plan, kv_type="q8_0", flash_attn=True)
        rungs.append(plan)
    while plan.n_gpu_layers:
        plan = with_layers(plan, plan.n_gpu_layers // 2 if plan.n_gpu_layers > 4 else 0)
        rungs.append(plan)
    return tuple(rungs)


def given_up(wanted: Plan, got: Plan) -> str:
    """In words what `got` lacks of `wanted`; empty if nothing."""
    words: list[str] = []
    if got.n_ctx < wanted.n_ctx:
        words.append(f"{got.n_ctx} cells of context instead of {wanted.n_ctx}")
    if got.kv_type != wanted.kv_type:
        words.append(f"keys and values in {got.kv_type} instead of {wanted.kv_type}")
    if got.n_gpu_layers < wanted.n_gpu_layers:
        words.append(f"{got.n_gpu_layers} layers on the GPU instead of {wanted.n_gpu_layers}")
    return ", ".join(words)


def oom_kills(root: Path = Path("/")) -> int | None:
    """How many processes the kernel has ended for want of memory since it started; None where it does not say."""
    if sys.platform != "linux":
        return None
    try:
        text = (root / "proc/vmstat").read_text("ascii", "replace")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdigit():
            return int(value)
    return None


def private_bytes(pid: int) -> int:
    """Memory that would be free without this process; files that it maps are free already, as the kernel counts."""
    import psutil

    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return max(0, int(info.rss) - int(getattr(info, "shared", 0)))
