"""How one model is laid on this machine, as the engine worker receives it.

A plan is chosen by the daemon, which knows the devices and what crashed before; the worker obeys it
to the letter and falls back to nothing by itself, so that what the plan's memory says about a plan
is true of that plan.
"""

from typing import Any, Literal

import msgspec

from localmind.errors import InvalidRequest


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The wire form; fields that this version does not know are ignored."""

    n_ctx: int
    """Cells of the KV pool, shared by all sequences; 0 takes the model's training context."""
    n_batch: int = 512
    """Most tokens in one step."""
    n_ubatch: int = 512
    """Most tokens in one pass of the graph."""
    n_threads: int
    n_threads_batch: int
    n_gpu_layers: int = 0
    """Negative: all layers."""
    use_extra_bufts: bool = True
    """Repacked weights and AMX. False is what heals a build whose AMX path crashes."""
    flash_attn: bool | None = None
    """None lets llama.cpp decide by device."""
    kv_type: Literal["f16", "q8_0", "q4_0"] = "f16"
    use_mmap: bool = True

    @classmethod
    def read(cls, data: Any) -> "Plan":
        """From builtins; raises InvalidRequest for a value that no machine can have."""
        try:
            plan = msgspec.convert(data, cls)
        except msgspec.ValidationError as problem:
            raise InvalidRequest(f"the plan is not valid: {problem}", hint="localmind models plan") from problem
        if plan.n_ctx < 0 or min(plan.n_threads, plan.n_threads_batch) < 1 or not 32 <= plan.n_ubatch <= plan.n_batch:
            raise InvalidRequest(
                f"the plan is not valid: context {plan.n_ctx}, threads {plan.n_threads}/{plan.n_threads_batch}, "
                f"batch {plan.n_batch}/{plan.n_ubatch}",
                hint="localmind models plan",
            )
        return plan
