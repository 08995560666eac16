"""How a model is laid on a machine: layers per device, context, threads; and what to try when that crashes.

Everything here is a pure function of described facts, so it is tested on a table of machines. All layouts that make
sense are in one line, each better than the one before, and the best that fits is taken: so more memory never brings
fewer layers or less context. A plan carries its bytes and its reasons. What really happened is probe.py's business.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from localmind.machine.amounts import RAM, Bytes, minus
from localmind.machine.devices import Gpu, Machine
from localmind.machine.placing import Layout, Placed, Site, taken
from localmind.machine.sizes import GIB, MIB, KvType, ModelFacts, Need

__all__ = ["GIB", "LEAST_CELLS", "MIB", "Plan", "Wishes", "ladder", "make_plan", "price", "room", "with_layers"]

BASE_CELLS = 8192
"""Where a GPU is, layers go there as long as this much context is left; then the context grows."""
LEAST_CELLS = 2048
CELL_STEPS = (2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768)
"""The last is enough for eight streams of 4,000 tokens, which share one pool."""
NO_LIMIT = {RAM: 1 << 60}
SMALL_MACHINE = 3 * GIB
ALL_LAYERS = 9999
"""More than any model has."""
DRIVING_THREADS = 4
"""More do not help a processor that only feeds a GPU."""


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
    mlock: bool = False
    """Keep the weights in memory whatever happens."""


@dataclass(slots=True, frozen=True)
class Plan:
    """One way to load a model. `to_dict` of it is what the engine worker gets."""

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
    devices: tuple[str, ...] = ()
    """GPUs that are used, by their names in ggml's list and in its order."""
    layers: tuple[int, ...] = ()
    """How many layers each of them gets; `n_gpu_layers` in all."""
    cpu_experts: int = 0
    """Of the first so many layers the experts stay in main memory (llama.cpp's --n-cpu-moe)."""
    draft_on_gpu: bool = False
    use_mlock: bool = False
    reasons: tuple[str, ...] = field(default=(), compare=False)
    """Why it is so, for people."""
    need: tuple[Need, ...] = field(default=(), compare=False)
    """Bytes by device, main memory first; empty on a rung of the ladder until `price` works them out."""
    short: int = field(default=0, compare=False)
    """Bytes of main memory that it lacks: above 0 only where nothing fits, and then this is the smallest plan."""
    grade: float = field(default=0.0, compare=False)
    """0 to 1: how far it is up the line of layouts. More room brings a higher grade, or the same."""

    @property
    def taken(self) -> Bytes:
        """Bytes by device. What is on a device that shares the main memory counts there and in main memory."""
        return taken(self.need)

    @property
    def weight_bytes(self) -> Bytes:
        """The part of `taken` that stays when only the context is freed."""
        return taken([replace(each, kv=0, compute=0) for each in self.need])

    @property
    def context_bytes(self) -> Bytes:
        return minus(self.taken, self.weight_bytes)

    def for_draft(self) -> "Plan":
        """How the draft model is laid: all of it on the last GPU, or none of it; with as many cells, not stretched."""
        device = self.devices[-1:] if self.draft_on_gpu else ()
        return replace(
            self,
            n_gpu_layers=ALL_LAYERS if device else 0,
            devices=device,
            layers=(ALL_LAYERS,) if device else (),
            cpu_experts=0,
            n_ctx_seq=0,
        )

    def to_dict(self) -> dict[str, Any]:
        """Builtins for the engine worker and for JSON: what is to be done, without why and what it takes."""
        data = asdict(self)
        for name in ("reasons", "need", "short", "grade"):
            del data[name]
        return data

    def differences(self, other: "Plan") -> str:
        """In words, how this plan is tamer than `other`; empty if it is not."""
        words: list[str] = []
        if other.use_extra_bufts and not self.use_extra_bufts:
            words.append("without repacked weights and AMX")
        if self.n_gpu_layers < other.n_gpu_layers:
            words.append(f"with {self.n_gpu_layers} layers on the GPU" if self.n_gpu_layers else "on the CPU alone")
        elif self.cpu_experts > other.cpu_experts:
            words.append("with more experts in main memory")
        if self.n_ctx < other.n_ctx:
            words.append(f"with {self.n_ctx} cells of context")
        return ", ".join(words)


def room(machine: Machine, backends: frozenset[str] | None = None) -> Bytes:
    """What models may take, by device: what is free, less a reserve for everything else that runs there."""
    total = min(machine.memory_total, machine.memory_limit or machine.memory_total)
    found = {RAM: max(0, machine.memory_available - max(GIB // 2, total // 10))}
    for gpu in machine.usable_gpus(backends):
        found[gpu.id] = reserved(gpu, gpu.memory_free)
    return found


def reserved(gpu: Gpu, free: int) -> int:
    """What models may take of so much: screens and other programs take some more from time to time."""
    return max(0, free - max(384 * MIB, gpu.memory_total // 16))


def make_plan(
    machine: Machine,
    facts: ModelFacts,
    wishes: Wishes = Wishes(),
    *,
    draft: ModelFacts | None = None,
    given: Bytes | None = None,
) -> Plan:
    """The plan to try first. Never fails: a model too big for the memory gets the smallest plan, and says so.

    `given` is what it may take by device; without it, what `room` says. `draft` is a model that drafts for this one.
    """
    from localmind.machine.reasons import explain

    stretched = wishes.n_ctx_seq if wishes.n_ctx_seq and wishes.n_ctx_seq > facts.ctx_train else 0
    if stretched:
        wishes = replace(wishes, n_ctx=max(stretched, wishes.n_ctx or 0))
    free = room(machine, wishes.backends) if given is None else given
    gpus = machine.usable_gpus(wishes.backends)
    site = Site(facts, wishes.kv_type, gpus, draft)
    line = layouts(site, wishes, small=_memory(machine) < SMALL_MACHINE)
    found = _best(site, line, wishes, free)
    number, placed = found or (0, _least(site, line, free))
    layout = placed.layout
    threads = wishes.threads or _threads(machine, facts, layout)
    plan = Plan(
        n_ctx=layout.cells,
        n_threads=threads,
        n_threads_batch=wishes.threads or _batch_threads(machine, facts, layout),
        n_gpu_layers=sum(placed.layers),
        n_batch=layout.n_batch,
        n_ubatch=layout.n_ubatch,
        kv_type=wishes.kv_type,
        n_ctx_seq=min(stretched, layout.cells) if layout.cells > facts.ctx_train else 0,
        flash_attn=_flash(wishes, facts, placed),
        devices=placed.devices,
        layers=placed.layers,
        cpu_experts=layout.cpu_experts if placed.layers else 0,
        draft_on_gpu=layout.draft_on_gpu,
        use_mlock=wishes.mlock,
        need=placed.need,
        short=0 if found else max(0, taken(placed.need)[RAM] - free.get(RAM, 0)),
        grade=(number + 1) / len(line) if found else 0.0,
    )
    return replace(plan, reasons=explain(plan, machine, facts, wishes, free, draft))


def price(plan: Plan, machine: Machine, facts: ModelFacts, draft: ModelFacts | None = None) -> Plan:
    """The same plan with its bytes: for a rung of the ladder, or one from the memory of plans."""
    layout = Layout(plan.n_ctx, plan.n_gpu_layers, plan.cpu_experts, plan.draft_on_gpu, plan.n_batch, plan.n_ubatch)
    gpus = tuple(gpu for name in plan.devices for gpu in machine.gpus if gpu.id == name)
    counts = plan.layers if len(gpus) == len(plan.devices) else ()
    placed = Site(facts, plan.kv_type, gpus, draft).lay(layout, gpus if counts else (), counts)
    return replace(plan, need=placed.need)


def layouts(site: Site, wishes: Wishes, *, small: bool = False) -> list[Layout]:
    """All that make sense, each better than the one before: context to a useful size, layers, experts, more context."""
    facts, gpus = site.facts, site.gpus
    batch = 256 if small else 512
    last = wishes.n_ctx if wishes.n_ctx is not None else CELL_STEPS[-1]
    steps = [step for step in CELL_STEPS if step < last] + [last]
    every = facts.n_layers + 1
    most = min(every, max(0, wishes.gpu_layers)) if wishes.gpu_layers is not None else every
    if not gpus or not most:
        return [Layout(cells, n_batch=batch, n_ubatch=batch) for cells in steps]
    base = last if wishes.n_ctx is not None else BASE_CELLS
    shared = any(gpu.unified for gpu in gpus)
    if shared and site.place(Layout(base, most), NO_LIMIT | {gpu.id: reserved(gpu, gpu.memory_total) for gpu in gpus}):
        # Layers left behind would take the same memory, so context gives way before layers do.
        base = steps[0]
    line = [Layout(cells, n_batch=batch, n_ubatch=batch) for cells in steps if cells <= base]
    experts = facts.n_layers if any(facts.expert_bytes) and not shared else 0
    if experts:
        line += [Layout(base, count, experts, False, 1024, 1024) for count in range(1, most + 1)]
        line += [Layout(base, most, left, False, 1024, 1024) for left in range(experts - 1, every - most - 1, -1)]
        line.append(Layout(base, most))
    else:
        line += [Layout(base, count) for count in range(1, most + 1)]
    if site.draft is not None and most == every:
        line.append(replace(line[-1], draft_on_gpu=True))
    if most == every and not shared:
        line[-1] = replace(line[-1], n_batch=2048)
    return line + [replace(line[-1], cells=cells) for cells in steps if cells > base]


def ladder(plan: Plan) -> tuple[Plan, ...]:
    """What to try after `plan` crashed, the boldest first, each rung tamer than the one before.

    No extra buffers (AMX and repacking, where builds crash), then half the GPU layers, then the CPU
    alone, and last a quarter of the context, for the case that memory was what killed it.
    """
    plan = replace(plan, need=(), reasons=(), short=0, grade=0.0)
    rungs: list[Plan] = []
    if plan.use_extra_bufts:
        plan = replace(plan, use_extra_bufts=False)
        rungs.append(plan)
    if plan.n_gpu_layers > 1:
        plan = with_layers(plan, plan.n_gpu_layers // 2)
        rungs.append(plan)
    if plan.n_gpu_layers:
        plan = with_layers(plan, 0)
        rungs.append(plan)
    if plan.n_ctx // 4 >= LEAST_CELLS:
        rungs.append(replace(plan, n_ctx=plan.n_ctx // 4))
    return tuple(rungs)


def with_layers(plan: Plan, count: int) -> Plan:
    """The plan with fewer layers on GPUs: those of the first devices go back to main memory."""
    give_back = plan.n_gpu_layers - count
    kept: dict[str, int] = {}
    for name, layers in zip(plan.devices, plan.layers, strict=True):
        back = min(layers, give_back)
        give_back -= back
        if layers > back:
            kept[name] = layers - back
    return replace(
        plan,
        n_gpu_layers=count,
        devices=tuple(kept),
        layers=tuple(kept.values()),
        cpu_experts=plan.cpu_experts if count else 0,
        draft_on_gpu=plan.draft_on_gpu and count == plan.n_gpu_layers,
        need=(),
    )


def _best(site: Site, line: list[Layout], wishes: Wishes, free: Bytes) -> tuple[int, Placed] | None:
    """The best that fits, and its place in the line; None if nothing does."""
    for number in range(len(line) - 1, -1, -1):
        placed = site.place(line[number], free)
        if placed is not None and (wishes.n_ctx is not None or _modest(line[number], placed, free)):
            return number, placed
    return None


def _least(site: Site, line: list[Layout], free: Bytes) -> Placed:
    """Where nothing fits: weights are mapped, so what main memory lacks is read from the disk again and again.

    As many layers as GPUs hold even so, but only such layouts that are lighter on main memory than all before them:
    those are still the best as soon as there is enough of it.
    """
    lightest, chosen = None, site.lay(line[0], (), ())
    for layout in line:
        host = site.host(layout)
        if lightest is not None and host.total >= lightest:
            continue
        lightest = host.total
        placed = site.place(layout, {**free, RAM: free.get(RAM, 0) + host.weights})
        if placed is not None and not any(need.shared for need in placed.need):
            chosen = placed
    return chosen


def _modest(layout: Layout, placed: Placed, free: Bytes) -> bool:
    """In main memory a context that nobody asked for takes at most half of what the weights leave over.

    Other programs start, and other models load.
    """
    if layout.layers or layout.cells <= LEAST_CELLS:
        return True
    host = placed.need[0]
    return host.context <= (free.get(RAM, 0) - host.weights - host.other) / 2


def _flash(wishes: Wishes, facts: ModelFacts, placed: Placed) -> bool | None:
    """Decided here where llama.cpp would decide wrongly.

    A quantised cache needs it, and with layers on two kinds of device it would be switched off (seen with Vulkan),
    which takes gigabytes for the scores of long contexts.
    """
    mixed = 0 < sum(placed.layers) <= facts.n_layers
    return True if mixed or wishes.kv_type != "f16" else None


def _memory(machine: Machine) -> int:
    return min(machine.memory_total, machine.memory_limit or machine.memory_total)


def _computes(facts: ModelFacts, layout: Layout) -> bool:
    """Whether the processor has layers or experts of its own."""
    return layout.layers <= facts.n_layers or layout.cpu_experts > 0


def _threads(machine: Machine, facts: ModelFacts, layout: Layout) -> int:
    return machine.cores if _computes(facts, layout) else min(machine.cores, DRIVING_THREADS)


def _batch_threads(machine: Machine, facts: ModelFacts, layout: Layout) -> int:
    every = max(machine.cores, machine.cores_usable)
    return every if _computes(facts, layout) else min(machine.cores, DRIVING_THREADS)
