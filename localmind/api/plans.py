"""A plan for a model as people are shown it: its bytes, its reasons, and what it was planned on.

Models that are here are planned by their file; others of the catalog by their shape, which is marked, since files of
one shape differ by some percent. The machine is this one, or one that somebody described.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from localmind.api.backend import Backend
from localmind.catalog import ModelSpec
from localmind.errors import InvalidRequest, LocalmindError, ModelNotInstalled
from localmind.machine.binding import installed_binding
from localmind.machine.described import described
from localmind.machine.devices import Machine
from localmind.machine.plan import Wishes, make_plan, room
from localmind.machine.sizes import ModelFacts, weights
from localmind.models.gguf import read_facts
from localmind.models.shape import ShapeFacts


@dataclass(slots=True, frozen=True)
class PlanQuestion:
    """What is to be planned. None leaves it to the settings, and those to us."""

    model: str
    context: int | None = None
    gpu_layers: int | None = None
    kv_type: str | None = None
    machine: Mapping[str, Any] | None = None
    """A description (machine/described.py); None for this machine as it is now."""


async def answer(backend: Backend, question: PlanQuestion) -> dict[str, Any]:
    """Raises what a catalog, a file or a description can be wrong in. Loads nothing."""
    spec = backend.catalog.find(question.model)
    facts, estimated = await asyncio.to_thread(_facts, backend, spec)
    draft = await asyncio.to_thread(_draft, backend, spec)
    wishes = _wishes(backend.wishes, question)
    if question.machine is None:
        name = "this machine"
        machine = await asyncio.to_thread(backend.machine.fresh)
        binding = await asyncio.to_thread(installed_binding)
        wishes = replace(wishes, backends=binding.backends if binding is not None else frozenset())
    else:
        found = described(question.machine)
        name, machine = found.name, found.machine
        wishes = replace(wishes, backends=found.backends)
    plan = make_plan(machine, facts, wishes, draft=draft)
    given = room(machine, wishes.backends)
    names = {gpu.id: gpu.name for gpu in machine.gpus}
    running = next((entry["plan"] for entry in backend.engines.status() if entry["model"] == spec.name), None)
    return {
        "model": spec.name,
        "estimated": estimated,
        "weights": weights(facts),
        "machine": _machine(name, machine),
        "plan": plan.to_dict(),
        "devices": [
            {
                **asdict(need),
                "name": names.get(need.device, "main memory"),
                "layers": _layers(plan.devices, plan.layers, need.device, facts.n_layers + 1),
                "total": need.total,
                "given": given.get(need.device, 0),
            }
            for need in plan.need
        ],
        "short": plan.short,
        "reasons": list(plan.reasons),
        "in_use": running if question.machine is None else None,
    }


def _facts(backend: Backend, spec: ModelSpec) -> tuple[ModelFacts, bool]:
    if spec.format != "gguf":
        raise InvalidRequest(f"{spec.name} is not run by llama.cpp: nothing is planned for it")
    if backend.store.get(spec.name) is not None:
        return read_facts(backend.store.locate(spec.name)), False
    shape = ShapeFacts.of(spec)
    if shape is None:
        raise ModelNotInstalled(
            f"{spec.name} is not here, and its shape is not known before", hint=f"localmind models pull {spec.name}"
        )
    return shape, True


def _draft(backend: Backend, spec: ModelSpec) -> ModelFacts | None:
    name = backend.draft_model
    try:
        if name is None or spec != backend.engines.resolve(None):
            return None
    except LocalmindError:  # no default model is here yet
        return None
    draft = backend.catalog.find(name)
    return read_facts(backend.store.locate(draft.name)) if backend.store.get(draft.name) is not None else None


def _wishes(wishes: Wishes, question: PlanQuestion) -> Wishes:
    if question.context is not None:
        wishes = replace(wishes, n_ctx=question.context, n_ctx_seq=None)
    if question.gpu_layers is not None:
        wishes = replace(wishes, gpu_layers=question.gpu_layers)
    match question.kv_type:
        case "f16" | "q8_0" | "q4_0" as kv_type:
            wishes = replace(wishes, kv_type=kv_type)
    return wishes


def _layers(devices: tuple[str, ...], layers: tuple[int, ...], device: str, every: int) -> int:
    return dict(zip(devices, layers, strict=True)).get(device, every - sum(layers) if device not in devices else 0)


def _machine(name: str, machine: Machine) -> dict[str, Any]:
    return {
        "name": name,
        "system": machine.system,
        "arch": machine.arch,
        "cpu": machine.cpu_model,
        "cores": machine.cores_physical,
        "cores_fast": machine.cores_fast,
        "threads": machine.cores_usable,
        "memory": machine.memory_total,
        "free": machine.memory_available,
        "limit": machine.memory_limit,
        "gpus": [asdict(gpu) for gpu in machine.gpus],
    }
