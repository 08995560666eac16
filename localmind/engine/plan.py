"""The plan as the engine worker receives it: checked, then obeyed to the letter.

A plan is chosen by the daemon (machine/plan.py), which knows the devices and what crashed before; the
worker falls back to nothing by itself, so that what the memory says about a plan is true of that plan.
"""

from typing import Any

import msgspec

from localmind.errors import InvalidRequest
from localmind.machine.plan import Plan


def read_plan(data: Any) -> Plan:
    """From builtins; raises InvalidRequest for a value that no machine can have."""
    try:
        plan = msgspec.convert(data, Plan)
    except msgspec.ValidationError as problem:
        raise InvalidRequest(f"the plan is not valid: {problem}", hint="localmind doctor") from problem
    if plan.n_ctx < 0 or min(plan.n_threads, plan.n_threads_batch) < 1 or not 32 <= plan.n_ubatch <= plan.n_batch:
        raise InvalidRequest(
            f"the plan is not valid: context {plan.n_ctx}, threads {plan.n_threads}/{plan.n_threads_batch}, "
            f"batch {plan.n_batch}/{plan.n_ubatch}",
            hint="localmind doctor",
        )
    named = len(plan.devices) == len(plan.layers) and (not plan.devices or sum(plan.layers) == plan.n_gpu_layers)
    if not named or min(plan.n_gpu_layers, plan.cpu_experts, *plan.layers, 0) < 0:
        raise InvalidRequest(
            f"the plan is not valid: {plan.n_gpu_layers} layers as {plan.layers} on {plan.devices}, "
            f"{plan.cpu_experts} layers of experts in main memory",
            hint="localmind doctor",
        )
    return plan
