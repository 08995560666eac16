"""Which models fit this machine best, for what, and why: a pure function of the catalog, the machine and the planner.

It asks nobody and loads nothing. Of the models of one use it takes the best by the catalog's rank that a plan can lay
on the machine with a useful context, and that answers at a readable speed. Speeds are worked out from the bytes that
one token reads, with a cautious figure for the memory's speed: good enough to tell 3 from 30 tokens a second, no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from localmind.catalog import ModelSpec, Use, standing
from localmind.machine.amounts import RAM
from localmind.machine.devices import Machine
from localmind.machine.plan import Plan, Wishes, make_plan, room
from localmind.machine.sizes import size
from localmind.models.shape import ShapeFacts, bytes_a_token

USES: tuple[Use, ...] = ("chat", "code", "fim", "tools", "embed", "rerank", "speech")
WORDS = {
    "chat": "conversation and answers from your files",
    "code": "writing code",
    "fim": "completion in an editor",
    "tools": "calling tools",
    "embed": "searching your folders",
    "rerank": "better order of what was found",
    "speech": "dictation and recordings",
}
LEAST_CONTEXT = 8192
MOST_OF_MEMORY = 0.75
"""Of the main memory that can be spared: other models, other programs and longer contexts want some too."""
READABLE = {"chat": 7.0, "code": 10.0, "fim": 30.0, "tools": 10.0}
"""Tokens a second below which nobody waits for an answer; completion has to be there before the next key."""
TINY = 500_000_000
SMALL = 1_200_000_000
"""Parameters below which 8 bits are worth their bytes: small models lose most by 4."""
BESIDE = 0.25
"""The part of the memory that what runs beside the chat model may take."""
CPU_RATE, SMALL_CPU_RATE, GPU_RATE = 30e9, 9e9, 220e9
UNIFIED_RATES = ((20 << 30, 70e9), (40 << 30, 150e9), (1 << 60, 250e9))
"""Bytes a second that weights are read with: two channels of DDR4, a small board, a laptop's graphics card; memory that
processor and GPU share by its size, since more of it comes with wider chips. The real ones are usually higher."""
QUICK_PER_CORE, QUICK_PER_SMALL_CORE = 40_000_000, 10_000_000
"""Parameters for each core of a model that every text of every folder goes through."""


ANY = Wishes()


@dataclass(slots=True, frozen=True)
class Pick:
    """A model for one use."""

    use: str
    purpose: str
    spec: ModelSpec
    plan: Plan | None
    """None where no llama.cpp is needed."""
    speed: float | None
    """Tokens a second, roughly."""
    why: str
    next_why: str
    """Why not the next better one; empty if there is none."""


def recommend(
    models: Sequence[ModelSpec], machine: Machine, wishes: Wishes = ANY, uses: Sequence[str] = USES
) -> list[Pick]:
    """The best model for each use, best first come uses as given; a use for which nothing fits is left out."""
    picks: list[Pick] = []
    for use in uses:
        ranked = sorted(
            (spec for spec in models if spec.rank and use in spec.reach and (use != "chat" or spec.role == "chat")),
            key=standing,
            reverse=True,
        )
        refused = ""
        # Where nothing fits well, something small that fits at all is better than nothing.
        small = [spec for spec in ranked if spec.parameters < TINY]
        for spec, well in [*((spec, True) for spec in ranked), *((spec, False) for spec in small)]:
            pick, reason = _fits(use, spec, machine, wishes, well)
            if pick is not None:
                why = f"the best of {len(ranked)} for {WORDS.get(use, use)} that fits: {reason}"
                picks.append(Pick(use, WORDS.get(use, use), pick[0], pick[1], pick[2], why, refused))
                break
            refused = f"{spec.name} would be better, but {reason}"
    return picks


def _fits(
    use: str, spec: ModelSpec, machine: Machine, wishes: Wishes, well: bool
) -> tuple[tuple[ModelSpec, Plan | None, float | None] | None, str]:
    """The model as it would be run and why, or None and why not. Not `well`: with less context and room to spare."""
    free = room(machine, wishes.backends)
    facts = ShapeFacts.of(spec)
    if use in ("embed", "rerank", "speech") or facts is None:
        return _beside(spec, machine, wishes, free[RAM])
    reason = "nothing is known of its shape"
    for chosen in _by_quality(spec):
        facts = ShapeFacts.of(chosen)
        if facts is None:
            continue
        plan = make_plan(machine, facts, wishes)
        if plan.short:
            reason = f"it lacks {size(plan.short)} of memory"
            continue
        if well and plan.n_ctx < LEAST_CONTEXT:
            reason = f"it would leave room for only {plan.n_ctx} tokens of context"
            continue
        if well and plan.taken[RAM] > free[RAM] * MOST_OF_MEMORY and plan.n_gpu_layers <= facts.n_layers:
            reason = f"it would take nearly all of the {size(free[RAM])} of memory that can be spared"
            continue
        speed = _speed(chosen, plan, facts, machine)
        if speed < READABLE.get(use, 0.0):
            reason = f"it would write only about {speed:.0f} tokens a second here"
            continue
        where = "in main memory"
        if plan.n_gpu_layers:
            gpus = ", ".join(gpu.name for gpu in machine.usable_gpus(wishes.backends))
            every = plan.n_gpu_layers > facts.n_layers
            where = f"{'all' if every else plan.n_gpu_layers} layers on {gpus}"
            if plan.cpu_experts:
                where += f" but the experts of {plan.cpu_experts}"
        needed = size(sum(need.total for need in plan.need))
        return (chosen, plan, speed), (
            f"{needed}, {where}, {plan.n_ctx} tokens of context, about {speed:.0f} tokens a second"
        )
    return None, reason


def _by_quality(spec: ModelSpec) -> list[ModelSpec]:
    """A small model in 8 bits first, if its source has that."""
    if spec.parameters < SMALL and not spec.files and "Q8_0" in spec.quantisations:
        return [spec.variant("Q8_0"), spec]
    return [spec]


def _beside(
    spec: ModelSpec, machine: Machine, wishes: Wishes, free: int
) -> tuple[tuple[ModelSpec, Plan | None, float | None] | None, str]:
    """What runs beside the chat model: small enough, and quick enough for a processor without a GPU."""
    takes = int(spec.size * 1.3)
    gpus = machine.usable_gpus(wishes.backends)
    most = int(max([free, *(gpu.memory_free for gpu in gpus)]) * BESIDE)
    if takes > most:
        return None, f"it takes {size(takes)}, more than a quarter of the memory that can be spared"
    # Every text of every folder goes through an embedder, and speech has to keep up with the speaker.
    each = QUICK_PER_SMALL_CORE if _small(machine) else QUICK_PER_CORE
    if not gpus and spec.parameters > each * machine.cores:
        return None, f"it is slow on {machine.cores} cores without a GPU"
    return (spec, None, None), f"{size(takes)} beside the chat model"


def _speed(spec: ModelSpec, plan: Plan, facts: ShapeFacts, machine: Machine) -> float:
    """Tokens a second, from what one token reads of each kind of memory."""
    share = min(1.0, plan.n_gpu_layers / (facts.n_layers + 1))
    if plan.cpu_experts and share:
        share *= 1 - 0.9 * plan.cpu_experts / facts.n_layers
    unified = next((rate for most, rate in UNIFIED_RATES if machine.memory_total <= most), GPU_RATE)
    gpu = unified if any(gpu.unified for gpu in machine.gpus) else GPU_RATE
    host = SMALL_CPU_RATE if _small(machine) else CPU_RATE * min(1.0, machine.cores / 4)
    each = bytes_a_token(spec)
    return 1 / (each * share / gpu + each * (1 - share) / host + 1e-3)


def _small(machine: Machine) -> bool:
    """A board such as a Raspberry Pi."""
    arm = machine.arch in ("aarch64", "arm64", "armv7l")
    return arm and machine.system == "linux" and machine.cores_physical <= 4
