"""A tiny model with its context, and the few calls that tests make on it."""

from array import array
from pathlib import Path
from typing import Any

import numpy

from localmind.engine import llama
from localmind.engine.llama import Batch, Context, Model
from localmind.machine.plan import Plan

N_BATCH = 256
PLAN = Plan(n_ctx=1024, n_threads=1, n_threads_batch=1, n_batch=N_BATCH, n_ubatch=N_BATCH)

Logits = Any


class Tiny:
    """Model, context and batch of a tiny GGUF. Close it."""

    def __init__(self, path: Path, plan: Plan = PLAN, *, slots: int = 4) -> None:
        llama.start()
        self.plan = plan
        self.model = Model(path, plan, lambda _done: True)
        self.context = Context(self.model, plan, n_slots=slots, n_outputs=16)
        self.batch = Batch(N_BATCH)

    def tokens(self, count: int, seed: int = 3) -> "array[int]":
        return array("i", numpy.random.default_rng(seed).integers(0, 600, count, dtype=numpy.int32).tobytes())

    def evaluate(self, slot: int, tokens: "array[int]", position: int = 0) -> Logits:
        """Logits behind the last of some tokens."""
        self.batch.reset()
        index = self.batch.add(tokens, position=position, slot=slot, output=True)
        assert self.context.decode(self.batch) == 0
        return self.context.logits(index).copy()

    def follow(
        self, slot: int, logits: Logits, position: int, *, along: list[Logits] | None = None, count: int = 12
    ) -> list[Logits]:
        """Greedy continuation: the logits of each step, of which the first are given.

        `along` makes it the continuation of others, for rounding may turn a close decision.
        """
        steps = [logits]
        for offset in range(count):
            chosen = array("i", [int((along or steps)[offset].argmax())])
            steps.append(self.evaluate(slot, chosen, position + offset))
        return steps

    def close(self) -> None:
        self.context.close()
        self.model.close()


def same(left: list[Logits], right: list[Logits]) -> bool:
    """Bit by bit."""
    return all(numpy.array_equal(one, other) for one, other in zip(left, right, strict=True))


def close(left: list[Logits], right: list[Logits], tolerance: float = 0.01) -> bool:
    """Up to what different batch shapes do to rounding; a lost or a wrong cell moves these logits by more."""
    return max(float(abs(one - other).max()) for one, other in zip(left, right, strict=True)) < tolerance
