"""How a model would be laid in the room that the ledger offers: the planner's bytes in the ledger's terms."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from localmind.machine.amounts import NOTHING, RAM, Bytes, plus
from localmind.machine.booking import Laid, Lay
from localmind.machine.devices import Machine
from localmind.machine.giving_up import private_bytes
from localmind.machine.plan import Plan, Wishes, make_plan, price, room
from localmind.machine.sizes import MIB, ModelFacts

COMFORT = 8192
"""Cells beyond which no other model is sent out of memory for more."""


@dataclass(slots=True, frozen=True)
class Laying:
    """A plan, and main memory beside it for copies of cells that others need."""

    plan: Plan
    prefix_bytes: int = 0


def lay(machine: Machine, facts: ModelFacts, wishes: Wishes, prefix_mb: int, draft: ModelFacts | None = None) -> Lay:
    def laid(offered: Bytes) -> Laid:
        given = {device: max(0, size) for device, size in offered.items()}
        plan = make_plan(machine, facts, wishes, draft=draft, given=given)
        spare = given.get(RAM, 0) - plan.taken.get(RAM, 0)
        cells = sum(need.kv for need in plan.need)
        return of_plan(Laying(plan, max(0, min(prefix_mb * MIB, cells, spare // 2))))

    return laid


def of_plan(laying: Laying) -> Laid:
    plan = laying.plan
    context = plus(plan.context_bytes, {RAM: laying.prefix_bytes})
    return Laid(plan.weight_bytes, context, plan.n_gpu_layers * 1e6 + min(plan.n_ctx, COMFORT), laying)


def repriced(laying: Laying, plan: Plan, machine: Machine, facts: ModelFacts, draft: ModelFacts | None) -> Laid:
    """What was booked for one plan, for the tamer one that it became."""
    return of_plan(replace(laying, plan=price(plan, machine, facts, draft)))


def measuring(
    machine: Machine,
    backends: frozenset[str] | None,
    limit_mb: int | None,
    pids: Callable[[], Iterable[int]],
    gpus: Mapping[str, int] = NOTHING,
) -> Callable[[], Bytes]:
    """What all models together may have now: what is free, and what they hold already.

    A limit of the user's counts instead of what is free. `gpus` is what each GPU would have without our models, as
    last seen; of one that is not there, what it had when the daemon started counts.
    """

    def measure() -> Bytes:
        seen = tuple(replace(gpu, memory_free=gpus.get(gpu.id, gpu.memory_free)) for gpu in machine.gpus)
        here = replace(machine, gpus=seen)
        if limit_mb is not None:
            return {**room(here, backends), RAM: limit_mb * MIB}
        available = machine.now().memory_available + sum(private_bytes(pid) for pid in pids())
        return room(replace(here, memory_available=available), backends)

    return measure
