"""How a model is laid on a machine: layers per device, context, threads; and what to try when that crashes.

Everything here is a pure function of described facts, so it is tested on a table of machines. A plan
carries its reasons in words. Sizes are estimates from the file's header; what really happened is the
business of probe.py.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from localmind.machine.devices import Gpu, Machine

MIB = 1 << 20
GIB = 1 << 30

KvType = Literal["f16", "q8_0", "q4_0"]
KV_BYTES: dict[KvType, float] = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Bytes for one value, block scales included (ggml's block sizes)."""

TARGET_CELLS = 32768
"""Enough for eight streams of 4,000 tokens, which share one pool."""
LEAST_CELLS = 2048
CELL_STEPS = (32768, 24576, 16384, 12288, 8192, 6144, 4096, 3072, 2048)


class ModelFacts(Protocol):
    """What a plan needs to know of a model; models/gguf.py reads it from a file's header."""

    @property
    def n_layers(self) -> int: ...
    @property
    def n_vocab(self) -> int: ...
    @property
    def n_embd(self) -> int: ...
    @property
    def ctx_train(self) -> int: ...
    @property
    def kv_values(self) -> Sequence[int]:
        """Numbers that one cell holds in each layer (keys and values)."""

    @property
    def layer_bytes(self) -> Sequence[int]:
        """Weights of each layer."""

    @property
    def other_bytes(self) -> int:
        """Weights outside the layers: embeddings, output, norms."""


@dataclass(slots=True, frozen=True)
class Wishes:
    """What the user asked for; None leaves it to us."""

    n_ctx: int | None = None
    threads: int | None = None
    gpu_layers: int | None = None
    kv_type: KvType = "f16"
    n_ctx_seq: int | None = None
    """Tokens that one stream may have. More than the model was trained for stretches its positions, which costs
    quality everywhere: only when asked."""
    backends: frozenset[str] | None = None
    """GPU backends of the installed binding; None if not known, which means all."""


@dataclass(slots=True, frozen=True)
class Plan:
    """One way to load a model. `asdict` of it is what the engine worker gets."""

    n_ctx: int
    """Cells of the pool that all sequences share."""
    n_threads: int
    n_threads_batch: int
    n_gpu_layers: int = 0
    n_batch: int = 512
    n_ubatch: int = 512
    use_extra_bufts: bool = True
    """Repacked weights and AMX."""
    flash_attn: bool | None = None
    """None: llama.cpp decides by device."""
    kv_type: KvType = "f16"
    use_mmap: bool = True
    n_ctx_seq: int = 0
    """Above what the model was trained for: positions are stretched to it by YaRN. 0: not stretched."""
    reasons: tuple[str, ...] = field(default=(), compare=False)
    """Why it is so, for people."""

    def to_dict(self) -> dict[str, Any]:
        """Builtins for the engine worker and for JSON, without the reasons."""
        data = asdict(self)
        del data["reasons"]
        return data

    def differences(self, other: "Plan") -> str:
        """In words, how this plan is tamer than `other`; empty if it is not."""
        words: list[str] = []
        if other.use_extra_bufts and not self.use_extra_bufts:
            words.append("without repacked weights and AMX")
        if self.n_gpu_layers < other.n_gpu_layers:
            words.append(f"with {self.n_gpu_layers} layers on the GPU" if self.n_gpu_layers else "on the CPU alone")
        if self.n_ctx < other.n_ctx:
            words.append(f"with {self.n_ctx} cells of context")
        return ", ".join(words)


def kv_bytes(facts: ModelFacts, kv_type: KvType = "f16") -> float:
    """Bytes of one cell over all layers."""
    return sum(facts.kv_values) * KV_BYTES[kv_type]


def compute_bytes(facts: ModelFacts, n_ctx: int, n_ubatch: int = 512) -> float:
    """Scratch memory of one pass: logits, a few activations, the attention mask.

    A little too much on purpose: 111 MiB where llama.cpp logs 98 MiB for SmolLM2-135M at 8192 cells.
    """
    return float(n_ubatch) * (4 * facts.n_vocab + 24 * facts.n_embd + 2 * n_ctx)


def make_plan(machine: Machine, facts: ModelFacts, wishes: Wishes = Wishes()) -> Plan:
    """The plan to try first. Never fails: a model too big for the memory gets the smallest plan and a warning."""
    reasons: list[str] = []
    gpus = machine.usable_gpus(wishes.backends)
    stretched = wishes.n_ctx_seq if wishes.n_ctx_seq and wishes.n_ctx_seq > facts.ctx_train else 0
    if stretched:
        wishes = replace(wishes, n_ctx=max(stretched, wishes.n_ctx or 0))
    n_ctx, layers = _on_gpus(machine, gpus, facts, wishes, reasons) if gpus else (0, 0)
    if not n_ctx:
        n_ctx = _cells(_room(machine), _weights(facts), facts, wishes, reasons)
    if machine.gpus and not gpus:
        reasons.append(
            f"{machine.gpus[0].name} is not used: the installed engine is built without {machine.gpus[0].backend}"
        )
    stretched = stretched if n_ctx > facts.ctx_train else 0
    if stretched:
        stretched = min(stretched, n_ctx)
        reasons.append(
            f"streams of up to {stretched} tokens as you asked, {stretched / facts.ctx_train:.1f} times what the model "
            "was trained for: positions are stretched, and answers get a little worse"
        )
    threads = wishes.threads or machine.cores
    batch_threads = wishes.threads or max(machine.cores, machine.cores_usable)
    reasons.append(
        f"{threads} threads as you asked"
        if wishes.threads
        else f"{threads} threads: {machine.cores_physical} cores, {machine.cores_usable} usable"
    )
    return Plan(
        n_ctx=n_ctx,
        n_threads=threads,
        n_threads_batch=batch_threads,
        n_gpu_layers=layers,
        kv_type=wishes.kv_type,
        n_ctx_seq=stretched,
        # A quantised cache needs flash attention, so it is not left to be decided.
        flash_attn=None if wishes.kv_type == "f16" else True,
        reasons=tuple(reasons),
    )


def ladder(plan: Plan) -> tuple[Plan, ...]:
    """What to try after `plan` crashed, the boldest first, each rung tamer than the one before.

    No extra buffers (AMX and repacking, where builds crash), then half the GPU layers, then the CPU
    alone, and last a quarter of the context, for the case that memory was what killed it.
    """
    rungs: list[Plan] = []
    if plan.use_extra_bufts:
        plan = replace(plan, use_extra_bufts=False)
        rungs.append(plan)
    if plan.n_gpu_layers > 1:
        plan = replace(plan, n_gpu_layers=plan.n_gpu_layers // 2)
        rungs.append(plan)
    if plan.n_gpu_layers:
        plan = replace(plan, n_gpu_layers=0)
        rungs.append(plan)
    if plan.n_ctx // 4 >= LEAST_CELLS:
        rungs.append(replace(plan, n_ctx=plan.n_ctx // 4))
    return tuple(rungs)


def _weights(facts: ModelFacts) -> int:
    return sum(facts.layer_bytes) + facts.other_bytes


def _room(machine: Machine) -> int:
    """Main memory that a model may take: the rest of the desktop keeps a tenth of all, at least half a GiB."""
    total = min(machine.memory_total, machine.memory_limit or machine.memory_total)
    return max(0, machine.memory_available - max(GIB // 2, total // 10))


def _cells(room: int, weights: int, facts: ModelFacts, wishes: Wishes, reasons: list[str]) -> int:
    """How many cells fit in main memory beside the weights."""
    cell = kv_bytes(facts, wishes.kv_type)

    def need(cells: int) -> float:
        return weights + cells * cell + compute_bytes(facts, cells)

    if wishes.n_ctx is not None:
        if need(wishes.n_ctx) <= room:
            reasons.append(f"{wishes.n_ctx} cells of context as you asked, {_size(wishes.n_ctx * cell)}")
            return wishes.n_ctx
        options = tuple(step for step in CELL_STEPS if step < wishes.n_ctx)
        fits = next((step for step in options if need(step) <= room), None)
        if fits is None:
            return _least(need(min(wishes.n_ctx, LEAST_CELLS)), room, reasons, min(wishes.n_ctx, LEAST_CELLS))
        reasons.append(
            f"{fits} cells of context instead of the {wishes.n_ctx} asked for: "
            f"those need {_size(need(wishes.n_ctx))} and {_size(room)} can be spared"
        )
        return fits
    # Half of what is left may become context: other programs start, and other models load.
    spare = (room - weights) / 2
    for step in CELL_STEPS:
        if step * cell + compute_bytes(facts, step) <= spare:
            each = min(step, facts.ctx_train)
            reasons.append(f"{step} cells of context, {_size(step * cell)}, shared by streams of up to {each} tokens")
            return step
    if need(LEAST_CELLS) <= room:
        reasons.append(f"only {LEAST_CELLS} cells of context: {_size(room)} of memory can be spared")
        return LEAST_CELLS
    return _least(need(LEAST_CELLS), room, reasons, LEAST_CELLS)


def _least(need: float, room: int, reasons: list[str], cells: int) -> int:
    reasons.append(
        f"{cells} cells of context: the model needs {_size(need)} and {_size(room)} can be spared, "
        "so it will be read from the disk again and again and be slow"
    )
    return cells


def _on_gpus(
    machine: Machine, gpus: Sequence[Gpu], facts: ModelFacts, wishes: Wishes, reasons: list[str]
) -> tuple[int, int]:
    """Cells and layers with GPUs; 0 cells leaves the context to main memory."""
    room = sum(max(0, gpu.memory_free - max(GIB // 2, gpu.memory_total // 10)) for gpu in gpus)
    every = facts.n_layers + 1  # llama.cpp counts the output as one more layer
    if wishes.gpu_layers is not None:
        reasons.append(f"{wishes.gpu_layers} layers on the GPU as you asked")
        return 0, min(every, max(0, wishes.gpu_layers))
    each = KV_BYTES[wishes.kv_type]
    steps = (wishes.n_ctx,) if wishes.n_ctx is not None else tuple(step for step in CELL_STEPS if step >= 4096)
    for cells in steps:
        if _weights(facts) + cells * kv_bytes(facts, wishes.kv_type) + compute_bytes(facts, cells) <= room:
            reasons.append(f"all {facts.n_layers} layers and {cells} cells of context on {gpus[0].name}")
            return cells, every
    # Not all of it: layers from the back, each with its own part of the context, which starts at the smallest.
    cells = wishes.n_ctx or 4096
    left = room - compute_bytes(facts, cells)
    layers = 0
    for weight, values in zip(reversed(facts.layer_bytes), reversed(facts.kv_values), strict=True):
        left -= weight + cells * values * each
        if left < 0:
            break
        layers += 1
    if not layers:
        reasons.append(f"{gpus[0].name} is too small for this model")
        return 0, 0
    if any(gpu.unified for gpu in gpus):
        # The layers left behind would live in the same memory that is already too small.
        reasons.append(f"{gpus[0].name} shares the main memory, which is too small for all layers")
        return 0, 0
    reasons.append(f"{layers} of {facts.n_layers} layers on {gpus[0].name}: {_size(room)} of its memory are free")
    return cells, layers


def _size(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
