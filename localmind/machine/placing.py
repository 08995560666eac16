"""Where the parts of a model go: which layers on which device, and what that takes there.

A Layout says how much is asked for; `place` finds devices for it or says that there is no room. It follows llama.cpp:
layers go to devices from the back, in the order of the devices, the output counts as one more layer, cells live with
their layer, and embeddings stay in main memory. More room never makes a layout impossible, which is what the planner's
promises rest on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from localmind.machine.amounts import RAM, Bytes, fits, plus
from localmind.machine.devices import Gpu
from localmind.machine.sizes import (
    DRAFT_BATCH,
    MIB,
    PROCESS,
    KvType,
    ModelFacts,
    Need,
    compute_bytes,
    layer_memory,
    vocabulary_bytes,
)

DRIVER: Mapping[str, int] = {
    "CUDA": 320 * MIB,
    "ROCm": 320 * MIB,
    "Vulkan": 96 * MIB,
    "Metal": 48 * MIB,
    "RPC": 16 * MIB,
}
"""What a process takes on a device before its first tensor: contexts, kernels, pools."""
DRIVER_UNKNOWN = 320 * MIB

COPIES = 4
"""ggml's GGML_SCHED_MAX_COPIES."""


@dataclass(slots=True, frozen=True)
class Layout:
    """How much is asked for."""

    cells: int
    layers: int = 0
    """On GPUs, the output counted as one."""
    cpu_experts: int = 0
    """Of the first so many layers the experts stay in main memory."""
    draft_on_gpu: bool = False
    n_batch: int = 512
    n_ubatch: int = 512


@dataclass(slots=True, frozen=True)
class Placed:
    """A layout with devices."""

    layout: Layout
    devices: tuple[str, ...]
    """In llama.cpp's order, those with layers only."""
    layers: tuple[int, ...]
    """On each of them."""
    need: tuple[Need, ...]
    """Main memory first."""


@dataclass(slots=True, frozen=True)
class Site:
    """A model to be placed, and what there is to place it on."""

    facts: ModelFacts
    kv_type: KvType
    gpus: tuple[Gpu, ...] = ()
    draft: ModelFacts | None = None
    _memory: dict[tuple[int, int], int] = field(default_factory=dict, repr=False, compare=False)

    def place(self, layout: Layout, room: Bytes) -> Placed | None:
        """On one GPU if one has the room, else on as many as it takes; None if there is none."""
        for choice in self._choices(layout, room):
            counts = self._spread(choice, layout, room)
            if counts is None:
                continue
            placed = self.lay(layout, choice, counts)
            if fits(taken(placed.need), room):
                return placed
        return None

    def lay(self, layout: Layout, gpus: Sequence[Gpu], counts: Sequence[int]) -> Placed:
        """The layout with so many layers on each GPU, whether there is room or not."""
        used = [(gpu, count) for gpu, count in zip(gpus, counts, strict=True) if count]
        first = self._first(layout)
        copies = self._copies(layout, len(used))
        needs = [self.host(layout, copies)]
        for place, (gpu, count) in enumerate(used):
            last = place == len(used) - 1
            needs.append(self._on(gpu, layout, range(first, first + count), copies, draft=last and layout.draft_on_gpu))
            first += count
        return Placed(layout, tuple(gpu.id for gpu, _ in used), tuple(count for _, count in used), tuple(needs))

    def _choices(self, layout: Layout, room: Bytes) -> list[tuple[Gpu, ...]]:
        if not layout.layers:
            return [()]
        roomiest = max(self.gpus, key=lambda gpu: room.get(gpu.id, 0))
        return [(roomiest,), self.gpus] if len(self.gpus) > 1 else [self.gpus]

    def _spread(self, gpus: Sequence[Gpu], layout: Layout, room: Bytes) -> list[int] | None:
        """As many layers as fit on the first device, then on the next; None if some are left over."""
        layer, every = self._first(layout), self.facts.n_layers + 1
        copies = self._copies(layout, len(gpus))
        counts = []
        for gpu in gpus:
            begin = layer
            left = room.get(gpu.id, 0) - self._fixed(gpu, layout, copies, answers=False)
            while layer < every:
                size = self._item(layer, layout)
                if layer == every - 1:  # the output brings its logits, and perhaps the draft model
                    size += self._fixed(gpu, layout, copies, answers=True)
                    size -= self._fixed(gpu, layout, copies, answers=False)
                    size += self._draft(layout).total if layout.draft_on_gpu else 0
                if size > left:
                    break
                left -= size
                layer += 1
            counts.append(layer - begin)
        return counts if layer == every else None

    def _first(self, layout: Layout) -> int:
        return self.facts.n_layers + 1 - layout.layers

    def _item(self, layer: int, layout: Layout) -> int:
        return self._weights(layer, layout) + self._cells(layer, layout)

    def _weights(self, layer: int, layout: Layout) -> int:
        if layer == self.facts.n_layers:
            return self.facts.output_bytes
        return self.facts.layer_bytes[layer] - (self.facts.expert_bytes[layer] if layer < layout.cpu_experts else 0)

    def _cells(self, layer: int, layout: Layout) -> int:
        if layer == self.facts.n_layers:
            return 0
        known = self._memory.get((layer, layout.cells))
        if known is None:
            known = layer_memory(self.facts, layer, layout.cells, self.kv_type)
            self._memory[layer, layout.cells] = known
        return known

    def _copies(self, layout: Layout, n_devices: int) -> int:
        """Of the inputs of a step: with all layers on several GPUs llama.cpp lets these work on several pieces."""
        return COPIES if n_devices > 1 and layout.layers > self.facts.n_layers and not layout.cpu_experts else 1

    def _fixed(self, gpu: Gpu, layout: Layout, copies: int, *, answers: bool) -> int:
        scratch = compute_bytes(
            self.facts, layout.cells, layout.n_ubatch, answers=answers, handed_out=False, copies=copies
        )
        return DRIVER.get(gpu.backend, DRIVER_UNKNOWN) + scratch

    def _on(self, gpu: Gpu, layout: Layout, layers: range, copies: int, *, draft: bool) -> Need:
        answers = layers.stop > self.facts.n_layers
        need = Need(
            gpu.id,
            weights=sum(self._weights(layer, layout) for layer in layers),
            kv=sum(self._cells(layer, layout) for layer in layers),
            compute=self._fixed(gpu, layout, copies, answers=answers) - DRIVER.get(gpu.backend, DRIVER_UNKNOWN),
            other=DRIVER.get(gpu.backend, DRIVER_UNKNOWN),
            shared=gpu.unified,
        )
        return need + self._draft(layout) if draft else need

    def host(self, layout: Layout, copies: int = 1) -> Need:
        """Main memory: the layers that stay, embeddings, the experts left behind, and the process."""
        facts = self.facts
        stay = range(min(self._first(layout), facts.n_layers))
        gone = range(len(stay), facts.n_layers)
        weights = facts.other_bytes + sum(facts.layer_bytes[layer] for layer in stay)
        weights += sum(facts.expert_bytes[layer] for layer in gone if layer < layout.cpu_experts)
        if layout.layers and not facts.tied:
            weights -= facts.output_bytes
        need = Need(
            RAM,
            weights=weights,
            kv=sum(self._cells(layer, layout) for layer in stay),
            compute=compute_bytes(
                facts,
                layout.cells,
                layout.n_ubatch,
                attends=bool(stay) or layout.cpu_experts > 0,
                answers=not layout.layers,
                handed_out=True,
                copies=copies,
            ),
            other=PROCESS + vocabulary_bytes(facts),
        )
        return need if self.draft is None or layout.draft_on_gpu else need + self._draft(layout)

    def _draft(self, layout: Layout) -> Need:
        """All of the draft model, wherever it is."""
        draft = self.draft
        if draft is None:
            return Need(RAM)
        return Need(
            RAM,
            weights=sum(draft.layer_bytes) + draft.other_bytes,
            kv=sum(layer_memory(draft, layer, layout.cells, self.kv_type) for layer in range(draft.n_layers)),
            compute=compute_bytes(draft, layout.cells, DRAFT_BATCH),
            other=vocabulary_bytes(draft),
        )


def taken(need: Sequence[Need]) -> Bytes:
    """Bytes by device. What is on a device without memory of its own counts there and in main memory."""
    amounts: Bytes = {}
    for each in need:
        amounts = plus(amounts, {each.device: each.total})
        if each.shared:
            amounts = plus(amounts, {RAM: each.total})
    return amounts
