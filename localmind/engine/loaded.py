"""A loaded model, ready for the loop: weights, context, batch and samplers as one Backend.

Loading ends with the canary: a real batch and some single tokens, through the same code as any
request, with their logits looked at. A build whose kernels crash on this processor crashes here, in
the worker and before anybody's request, and the daemon then tries a plan without them.
"""

import time
from array import array
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy

from localmind.engine import llama, memory_kind, sampling
from localmind.engine.adapters import Adapters, AdapterSet
from localmind.engine.backend import Sampler
from localmind.engine.constraint import Constraint
from localmind.engine.draft import DraftModel
from localmind.engine.llama import Batch, Context, Model
from localmind.engine.llama.spelling import spell
from localmind.engine.memory_kind import MemoryKind
from localmind.engine.pace import FASTEST
from localmind.engine.pool import Kind
from localmind.engine.sequence import Row
from localmind.errors import LocalmindError, ModelFileBroken
from localmind.machine.plan import Plan
from localmind.messages import SamplingParams

MAX_RUNNING = 16
"""Sequences that are evaluated at once; beyond 16, a step of a small machine takes so long that waiting is the
better service."""

SLOTS = 39
"""Sequences in memory at once, idle ones included. Slots of an attention model cost nothing but the row of logits
that llama.cpp reserves for each."""

RUNNING_WITH_STATE, SLOTS_WITH_STATE = 4, 8
"""For recurrent and hybrid models, where every slot reserves a state."""

MAX_OUTPUTS = SLOTS + 1
"""Rows of logits a step: one a sequence, and those of drafts. Each takes 4 bytes × vocabulary; llama.cpp aborts when
there are fewer than slots."""

IDLE_CELLS, IDLE_CELLS_ON_GPU = 512, 8192
"""Idle cells that may stay beside running sequences. On a CPU attention over 1,000 more cells costs each step about
as much as a tenth of copying them away; a GPU hardly notices them, and copying crosses the bus."""

CANARY_BATCH = 64
"""Tokens: enough for the matrix kernels of every backend, which single tokens do not use."""

CANARY_SINGLES = 8

COST_ROWS = (1, 2, 4, 8, 1, 2, 4, 8, 16)
"""In this order; the best time of each counts."""
COST_S = 1.0
"""Measuring what steps of several rows cost ends after so many seconds; large models are not asked for all."""


@dataclass(slots=True, frozen=True)
class Canary:
    """What the first tokens showed. Cold: pages come from the disk meanwhile, so these rates are a lower bound."""

    prefill_tok_s: float
    decode_tok_s: float
    tokens: int
    cuts_tails: bool
    """Whether this memory can drop the end of a sequence; hybrid and recurrent ones cannot."""


def open_model(path: Path, plan: Plan, progress: Callable[[float], bool]) -> Model:
    """The weights alone, on the thread that will compute with them."""
    llama.start()
    return Model(path, plan, progress)


class Loaded:
    """Implements backend.Backend. All of it, but for `adapters.choose`, belongs to the loop's thread."""

    def __init__(self, model: Model, plan: Plan, before: "Loaded | None" = None) -> None:
        """The model is closed with it, and when this raises. It must be one that writes (embed.only_embeds).

        `before` is what it was loaded as until its context was freed; what that found out still holds.
        """
        self.model = model
        self.keeps_model = False
        """Closing it frees the context alone."""
        self.draft: DraftModel | None = None
        """Made behind it if wanted; closed with it."""
        try:
            stateful = self.model.has_state_per_sequence
            self.n_slots = SLOTS_WITH_STATE if stateful else SLOTS
            self.max_running = RUNNING_WITH_STATE if stateful else MAX_RUNNING
            self.n_outputs = MAX_OUTPUTS
            self.n_threads = plan.n_threads
            self._batch_threads = plan.n_threads_batch
            self._spare = self.n_slots  # for rows that belong to nobody
            self._context = Context(self.model, plan, n_slots=self.n_slots + 1, n_outputs=self.n_outputs)
            self.n_ctx = self._context.n_ctx
            self.n_ctx_seq = min(self.n_ctx, self.model.n_ctx_train or self.n_ctx)
            self.n_batch = self._context.n_batch
            self.idle_cells = IDLE_CELLS_ON_GPU if plan.n_gpu_layers else IDLE_CELLS
            self._batch = Batch(self.n_batch)
            self._end_tokens = self.model.end_tokens  # found now, not while somebody waits for a first token
            self.adapters: Adapters = before.adapters if before is not None else Adapters(model, self._context)
            self.adapters.move(self._context)
            self.cell_bytes: int = before.cell_bytes if before is not None else 0
            self.memory: MemoryKind = (
                before.memory if before is not None else memory_kind.probe(model, self._context, self._batch)
            )
            self.kind: Kind = "any_prefix" if self.memory.cuts_tails else "whole"
            self.window = self.memory.window
            self.can_fill = self.memory.cuts_tails and not self.window and not plan.n_gpu_layers
            self.canary: Canary = before.canary if before is not None else self._sing()
            self.decode_costs: Mapping[int, float] = before.decode_costs if before is not None else self._costs()
            self._context.clear()
        except LocalmindError:
            self.close()
            raise

    def evaluate(self, rows: Sequence[Row], fill: int) -> tuple[int, list[int]]:
        batch = self._batch
        batch.reset()
        indices = []
        for row in rows:
            tokens = row.sequence.tokens[row.start : row.start + row.count]
            slot = row.sequence.slot
            indices.append(batch.add(tokens, position=row.start, slot=slot, output=row.samples))
            for place, token in enumerate(row.draft, row.start + row.count):
                batch.add(array("i", (token,)), position=place, slot=slot, output=True)
        if not fill:
            return self._context.decode(batch), indices
        batch.add(array("i", bytes(4 * fill)), position=0, slot=self._spare, output=False)
        code = self._context.decode(batch)
        self._context.remove(self._spare)
        return code, indices

    def interrupt(self, now: bool) -> None:
        self._context.interrupt(now)

    def clear(self, slot: int, start: int) -> None:
        self._context.remove(slot, start)

    def share(self, source: int, target: int, end: int) -> None:
        self._context.copy(source, target, end)

    def save(self, slot: int) -> Any:
        return self._context.save(slot)

    def restore(self, slot: int, state: Any) -> bool:
        return self._context.restore(slot, state)

    def length(self, slot: int) -> int:
        return self._context.last_position(slot) + 1

    def set_threads(self, count: int) -> None:
        batch = self._batch_threads if count == self.n_threads else count
        self._context.set_threads(count, batch)
        if self.draft is not None:
            self.draft.set_threads(count, batch)

    def use_adapters(self, adapters: Hashable) -> None:
        self.adapters.use(cast(AdapterSet, adapters))

    def sampler(
        self, params: SamplingParams, constraint: Constraint | None, prompt: "array[int]", room: int
    ) -> Sampler:
        return sampling.make_sampler(self._context, self.model, params, constraint, prompt, room)

    def spell(self, text: bytes) -> list[int] | None:
        """Tokens for the middle of an answer. For any thread."""
        return spell(self.model, text)

    def piece(self, token: int, shown: frozenset[str]) -> bytes:
        return self.model.piece(token) or (self.model.control_piece(token, shown) if shown else b"")

    def ends(self, token: int) -> bool:
        return token in self._end_tokens

    def close(self) -> None:
        if self.draft is not None:
            self.draft.close()
            self.draft = None
        context = getattr(self, "_context", None)
        if context is not None:
            context.close()
        if not self.keeps_model:
            self.model.close()

    def _sing(self) -> Canary:
        count = min(CANARY_BATCH, self.n_batch, self.n_ctx // 2)
        words = self.model.tokenize("The canary sings before the miners go down. " * CANARY_BATCH, add_special=True)
        tokens = words[:count]
        began = time.perf_counter()
        best = self._note(tokens, 0)
        prefilled = time.perf_counter()
        for position in range(count, count + CANARY_SINGLES):
            best = self._note(array("i", [best]), position)
        ended = time.perf_counter()
        self.cell_bytes = -(-self._context.state_size(0) // (count + CANARY_SINGLES))
        return Canary(
            prefill_tok_s=round(count / max(prefilled - began, FASTEST), 1),
            decode_tok_s=round(CANARY_SINGLES / max(ended - prefilled, FASTEST), 1),
            tokens=count + CANARY_SINGLES,
            cuts_tails=self.memory.cuts_tails,
        )

    def _costs(self) -> dict[int, float]:
        """Seconds of a step with so many rows that all want logits, as a draft's check has."""
        if not self.memory.cuts_tails:
            return {}
        position = self._context.last_position(0) + 1
        costs: dict[int, float] = {}
        ends = time.perf_counter() + COST_S
        for rows in COST_ROWS:
            if position + rows > self.n_ctx or time.perf_counter() > ends:
                break
            self._batch.reset()
            for place in range(rows):
                self._batch.add(array("i", (place + 1,)), position=position + place, slot=0, output=True)
            began = time.perf_counter()
            if self._context.decode(self._batch):
                break
            self._context.logits(0)  # waits for a device that computes in the background
            costs[rows] = min(costs.get(rows, COST_S), max(time.perf_counter() - began, FASTEST))
            self._context.remove(0, position)
        return costs

    def _note(self, tokens: "array[int]", position: int) -> int:
        """Evaluate one run and return its likeliest next token; broken weights show as logits that are no numbers."""
        self._batch.reset()
        index = self._batch.add(tokens, position=position, slot=0, output=True)
        code = self._context.decode(self._batch)
        if code:
            raise ModelFileBroken(
                f"{self.model.path.name} loads but cannot be evaluated (llama.cpp code {code})",
                hint="localmind models verify",
            )
        logits = self._context.logits(index)
        if not numpy.isfinite(logits).all():
            raise ModelFileBroken(
                f"{self.model.path.name} loads but computes no numbers: its weights are damaged",
                hint="localmind models verify",
            )
        return int(logits.argmax())
