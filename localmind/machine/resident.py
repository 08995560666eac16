"""How much of a worker is in main memory after a load: what `ps` will show, for holding plans against the truth.

That is more than a plan takes where weights are repacked for the processor: the file stays mapped behind the copies,
and its pages count as resident although the system drops them at once when somebody needs the memory. And it is less
where scratch memory is reserved for long prompts, and nobody has asked anything yet.
"""

from typing import Protocol

from localmind.machine.amounts import RAM
from localmind.machine.devices import Machine
from localmind.machine.plan import Plan
from localmind.machine.sizes import ModelFacts, compute_bytes

CANARY_BATCH = 64
"""Tokens of the first batch, which every load decodes (engine/loaded.py)."""


class FileFacts(ModelFacts, Protocol):
    @property
    def quantisation(self) -> str:
        """The type of most weights."""


REPACKED = {
    "amx_tile": frozenset({"Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"}),
    "avx512f": frozenset({"Q4_0", "Q4_K", "Q2_K", "IQ4_NL"}),
    "avx2": frozenset({"Q4_0", "Q4_K", "IQ4_NL"}),
    "asimddp": frozenset({"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL"}),
}
"""Types that ggml stores in another order, by the processor's feature (ggml-cpu/repack.cpp, amx/common.h)."""


def repacks(machine: Machine, quantisation: str) -> bool:
    return any(quantisation in types for flag, types in REPACKED.items() if flag in machine.cpu_flags)


def resident(plan: Plan, machine: Machine, facts: FileFacts) -> int:
    """Bytes of main memory that the worker's process has after the load. `plan` must be priced."""
    touched = min(CANARY_BATCH, plan.n_ubatch)
    unused = compute_bytes(facts, plan.n_ctx, plan.n_ubatch) - compute_bytes(facts, plan.n_ctx, touched)
    taken = plan.taken.get(RAM, 0) - min(unused, plan.need[0].compute)
    copied = plan.use_mmap and plan.use_extra_bufts and repacks(machine, facts.quantisation)
    return taken + (plan.need[0].weights if copied else 0)
