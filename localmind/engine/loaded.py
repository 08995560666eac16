"""A loaded model, ready for the loop: weights, context, batch and samplers as one Backend.

Loading ends with the canary: a real batch and some single tokens, through the same code as any
request, with their logits looked at. A build whose kernels crash on this processor crashes here, in
the worker and before anybody's request, and the daemon then tries a plan without them.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from localmind.engine import llama, sampling
from localmind.engine.llama import Batch, Context, Model, SamplerChain
from localmind.engine.sequence import Row
from localmind.errors import LocalmindError, ModelFileBroken
from localmind.machine.plan import Plan
from localmind.messages import SamplingParams

SLOTS = 16
"""Sequences that may be in memory at once. Slots of an attention model cost nothing; beyond 16, a step of a small
machine takes so long that waiting is the better service."""

SLOTS_WITH_STATE = 4
"""For recurrent and hybrid models, where every slot reserves a state."""

CANARY_BATCH = 64
"""Tokens: enough for the matrix kernels of every backend, which single tokens do not use."""

CANARY_SINGLES = 8


@dataclass(slots=True, frozen=True)
class Canary:
    """What the first tokens showed. Cold: pages come from the disk meanwhile, so these rates are a lower bound."""

    prefill_tok_s: float
    decode_tok_s: float
    tokens: int
    cuts_tails: bool
    """Whether this memory can drop the end of a sequence; hybrid and recurrent ones cannot."""


class Loaded:
    """Implements loop.Backend. Everything but the constructor belongs to the loop's thread."""

    def __init__(self, path: Path, plan: Plan, progress: Callable[[float], bool]) -> None:
        llama.start()
        self.model = Model(path, plan, progress)
        try:
            self.n_slots = SLOTS_WITH_STATE if self.model.has_state_per_sequence else SLOTS
            self._context = Context(self.model, plan, n_slots=self.n_slots, n_outputs=self.n_slots)
            self.n_ctx = self._context.n_ctx
            self.n_ctx_seq = min(self.n_ctx, self.model.n_ctx_train or self.n_ctx)
            self.n_batch = self._context.n_batch
            self._batch = Batch(self.n_batch)
            self._end_tokens = self.model.end_tokens  # found now, not while somebody waits for a first token
            self.canary = self._sing()
        except LocalmindError:
            self.close()
            raise

    def evaluate(self, rows: Sequence[Row]) -> tuple[int, list[int]]:
        batch = self._batch
        batch.reset()
        indices = [
            batch.add(
                row.sequence.tokens[row.start : row.start + row.count],
                position=row.start,
                slot=row.sequence.slot,
                output=row.samples,
            )
            for row in rows
        ]
        return self._context.decode(batch), indices

    def clear(self, slot: int) -> None:
        self._context.remove(slot)

    def sampler(self, params: SamplingParams) -> SamplerChain:
        chain = SamplerChain(self._context, self.model.n_vocab)
        sampling.build(chain, params, end_tokens=sorted(self._end_tokens) if params.ignore_eos else ())
        return chain

    def piece(self, token: int) -> bytes:
        return self.model.piece(token)

    def ends(self, token: int) -> bool:
        return token in self._end_tokens

    def close(self) -> None:
        context = getattr(self, "_context", None)
        if context is not None:
            context.close()
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
        cuts = self._context.remove(0, count)
        self._context.clear()
        return Canary(
            prefill_tok_s=round(count / (prefilled - began), 1),
            decode_tok_s=round(CANARY_SINGLES / (ended - prefilled), 1),
            tokens=count + CANARY_SINGLES,
            cuts_tails=cuts,
        )

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
