"""A small model that drafts for a large one: a Speculator with weights and a KV memory of its own.

It runs on the loop's thread, between two steps of the large model, greedily, and stops where it is not sure. Its
memory follows a sequence by the common beginning; a long prompt is caught up with in small pieces, so that nobody waits
for it, and until then it drafts nothing. What drafting costs is measured and is part of the policy's sum.
"""

import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy

from localmind.engine import memory_kind
from localmind.engine.embed import only_embeds
from localmind.engine.llama import Batch, Context, Model
from localmind.engine.llama.vocab_compare import difference
from localmind.engine.speculate import MAX_DRAFT, MAX_RUNNING, Cost, Policy
from localmind.errors import InvalidRequest, LocalmindError
from localmind.machine.plan import Plan

PIECE = 64
"""Tokens that it catches up with between two steps."""

SURE = 0.5
"""The likelihood of a token below which a draft ends before it."""

MATCH = 12
"""Draft models have no length of match: all their tokens are of the class of this one."""

RETRY = 64
"""Tokens without a draft after which bad experience counts half."""

NO_DRAFT: "array[int]" = array("i")


@dataclass(slots=True, eq=False)
class _Slot:
    """A sequence of the draft model's memory, what is in it, and for whom."""

    number: int
    tokens: "array[int]" = field(default_factory=lambda: array("i"))
    owner: "DraftSpeculator | None" = None


class DraftModel:
    """One a worker. Raises InvalidRequest when it cannot draft for `target`; close it after the loop has ended."""

    def __init__(self, path: Path, plan: Plan, target: Model, *, sure: float = SURE) -> None:
        self._model = Model(path, plan, lambda _done: True)
        self._context: Context | None = None
        try:
            if only_embeds(self._model):
                raise InvalidRequest(f"{path.name} cannot draft: it only embeds")
            problem = difference(self._model, target)
            if problem is not None:
                raise InvalidRequest(
                    f"{path.name} cannot draft for {target.path.name}: {problem}",
                    hint="choose a smaller model of the same family",
                )
            self._context = context = Context(self._model, plan, n_slots=MAX_RUNNING, n_outputs=MAX_RUNNING)
            self._batch = Batch(context.n_batch)
            if not memory_kind.probe(self._model, context, self._batch).cuts_tails:
                raise InvalidRequest(f"{path.name} cannot draft: its memory cannot be cut back to what was accepted")
        except LocalmindError:
            self.close()
            raise
        self.n_vocab = min(self._model.n_vocab, target.n_vocab)
        self.longest = min(context.n_ctx, self._model.n_ctx_train or context.n_ctx) - MAX_DRAFT
        self._slots = [_Slot(number) for number in range(MAX_RUNNING)]
        self._token_seconds = 0.0
        self._sure = sure

    def speculator(self, cost: Cost) -> "DraftSpeculator":
        """For one sequence of the large model, whose steps cost `cost`."""
        return DraftSpeculator(self, cost)

    def close(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None
        self._model.close()

    def set_threads(self, single: int, batch: int) -> None:
        """Those of the large model: another number on the same thread would make OpenMP rebuild its team each time."""
        if self._context is not None:
            self._context.set_threads(single, batch)

    def drafting(self, count: int) -> float:
        """Seconds that so many tokens take it, as measured."""
        return count * self._token_seconds

    # --- for its speculators

    def slot(self, owner: "DraftSpeculator") -> _Slot:
        """The owner's slot; a new owner takes a free one, or that of whoever has been silent longest."""
        found = next((slot for slot in self._slots if slot.owner is owner), None)
        found = found or next((slot for slot in self._slots if slot.owner is None), self._slots[0])
        self._slots.remove(found)
        self._slots.append(found)
        found.owner = owner
        return found

    def release(self, owner: "DraftSpeculator") -> None:
        for slot in self._slots:
            if slot.owner is owner:
                slot.owner = None

    def catch_up(self, slot: _Slot, tokens: "array[int]", count: int) -> bool:
        """Bring the first `count` of `tokens` into a slot, a piece at a time. True once they are."""
        common = _common(slot.tokens, tokens[:count])
        self._cut(slot, common)
        piece = tokens[common : min(count, common + min(PIECE, self._batch.token.size))]
        if piece and not self._evaluate(slot, piece):
            return False
        return len(slot.tokens) == count

    def draft(self, slot: _Slot, last: int, count: int) -> "array[int]":
        """Up to `count` likely tokens behind the slot's and `last`."""
        drafted = array("i")
        token = last
        began = time.perf_counter()
        while len(drafted) < count and self._evaluate(slot, array("i", (token,))):
            token, likelihood = self._likeliest()
            if likelihood < self._sure or token >= self.n_vocab:
                break
            drafted.append(token)
        seconds = (time.perf_counter() - began) / max(1, len(drafted))
        self._token_seconds = seconds if not self._token_seconds else 0.9 * self._token_seconds + 0.1 * seconds
        return drafted

    def _evaluate(self, slot: _Slot, tokens: "array[int]") -> bool:
        """False when there is no room, or llama.cpp fails; the slot is empty then."""
        assert self._context is not None
        self._batch.reset()
        self._index = self._batch.add(tokens, position=len(slot.tokens), slot=slot.number, output=True)
        if self._context.decode(self._batch):
            self._cut(slot, 0)
            return False
        slot.tokens += tokens
        return True

    def _likeliest(self) -> tuple[int, float]:
        assert self._context is not None
        logits = self._context.logits(self._index)
        token = int(logits.argmax())
        return token, 1.0 / float(numpy.exp(logits - logits[token]).sum())

    def _cut(self, slot: _Slot, length: int) -> None:
        assert self._context is not None
        if length < len(slot.tokens):
            self._context.remove(slot.number, length)
            del slot.tokens[length:]


class DraftSpeculator:
    """A Speculator; see speculate.py for what the loop does with it."""

    def __init__(self, model: DraftModel, cost: Cost) -> None:
        self._model = model
        self._policy = Policy(cost)
        self._length = 0
        self._idle = 0  # tokens since the last draft

    def propose(self, tokens: "array[int]", room: int, others: int = 0) -> "array[int]":
        self._earn(len(tokens))
        if len(tokens) > self._model.longest:
            return NO_DRAFT
        count = self._policy.count(MATCH, min(room, MAX_DRAFT), 1 + others, self._model.drafting)
        if not count:
            return NO_DRAFT
        slot = self._model.slot(self)
        if not self._model.catch_up(slot, tokens, len(tokens) - 1):
            return NO_DRAFT
        draft = self._model.draft(slot, tokens[-1], count)
        if draft:
            self._idle = 0
        else:
            self._policy.spend(self._model.drafting(1))
        return draft

    def observe(self, proposed: int, accepted: int) -> None:
        for _ in range(accepted):
            self._policy.learn(MATCH, True)
        if accepted < proposed:
            self._policy.learn(MATCH, False)
        self._policy.observe(proposed, accepted, self._model.drafting(proposed))

    def close(self) -> None:
        self._model.release(self)

    def _earn(self, length: int) -> None:
        new = length - self._length if self._length else 0
        self._length = length
        self._policy.earn(new)
        self._idle += new
        if self._idle >= RETRY:
            self._idle = 0
            self._policy.forget()


def _common(left: "array[int]", right: "array[int]") -> int:
    """Length of the common beginning."""
    count = min(len(left), len(right))
    if left[:count] == right[:count]:
        return count
    different = numpy.frombuffer(left, numpy.int32)[:count] != numpy.frombuffer(right, numpy.int32)[:count]
    return int(different.argmax())
