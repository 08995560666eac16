"""A Sequence: tokens and where they stand in the KV memory; and what one step does to them.

A sequence begins as a request, QUEUED → PREFILL → DECODE, PARKED while its cells are needed by an
older one, and outlives it as CACHED: its cells then wait for a prompt that begins the same. It owns
counting and nothing else: no native handle, no text, no clock.
"""

from array import array
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Source = Literal["none", "pool", "running", "ram", "disk"]


class State(StrEnum):
    QUEUED = "queued"
    PREFILL = "prefill"
    DECODE = "decode"
    PARKED = "parked"
    CACHED = "cached"
    FREE = "free"


@dataclass(slots=True, eq=False)
class Sequence:
    number: int
    """Arrival order; the lower goes first and is never made to wait for a higher one."""
    client: str
    tokens: "array[int]"
    """The prompt, then every sampled token."""
    prompt_length: int
    limit: int
    """Length of `tokens` at which the answer ends; never more than the context."""
    background: bool = False
    group: Hashable = ()
    """The adapter set; sequences of different groups never share a step or cells."""
    state: State = State.QUEUED
    slot: int = -1
    """The llama.cpp sequence id while cells are owned, else -1."""
    stored: int = 0
    """The first `stored` of `tokens` have been evaluated: in cells, or in `saved`."""
    first: int = 0
    """Its cells are complete from this position on: a state that was copied back holds no more of layers with a
    sliding window than the window."""
    claim: int = 0
    """Length that admission expects it to reach; growth beyond it is allowed while there are free cells."""
    turn_began: int = 0
    """Length that it had when it last got a place among the running ones."""
    admitted: int = 0
    """Order of admission; a sequence waits only for one that was admitted before."""
    draft: "array[int]" = field(default_factory=lambda: array("i"))
    """Tokens that speculation puts after the last one in the next step."""
    waits_for: "Sequence | None" = None
    """Who is evaluating a beginning that this one shares."""
    waits_until: int = 0
    """Tokens of it that must be stored before they are shared."""
    saved: Any = None
    """The state of its cells, while it is out of the pool."""
    disk_key: str | None = None
    """Where the same state lies on disk."""
    used_at: int = 0
    """Number of the step that used it last; the lowest is dropped first."""
    cached: int | None = None
    """Prompt tokens that did not have to be evaluated; None before admission."""
    source: Source = "none"
    """Where those came from."""
    matched: int = 0
    """Longest beginning that anything known shares with the prompt."""
    differs: "array[int]" = field(default_factory=lambda: array("i"))
    """How that other one goes on where it differs."""

    @property
    def pending(self) -> int:
        """Tokens not evaluated yet: 1 while decoding."""
        return len(self.tokens) - self.stored

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def said_in_turn(self) -> int:
        return len(self.tokens) - self.turn_began

    @property
    def growth(self) -> int:
        """Cells that admission of others must still leave to this one."""
        return max(self.claim, len(self.tokens)) - max(self.stored, self.waits_until)


@dataclass(slots=True, frozen=True)
class Row:
    """A run of one sequence's tokens inside a step: `count` from position `start` on, then its draft."""

    sequence: Sequence
    start: int
    count: int
    samples: bool
    """Whether logits are wanted: of the last token and of every drafted one."""
    draft: "array[int]" = field(default_factory=lambda: array("i"))

    @property
    def n_tokens(self) -> int:
        return self.count + len(self.draft)


@dataclass(slots=True, frozen=True)
class Clear:
    """Remove a slot's cells from position `start` on."""

    slot: int
    start: int = 0


@dataclass(slots=True, frozen=True)
class Share:
    """Let `target` share the first `end` cells of `source`."""

    source: int
    target: int
    end: int


@dataclass(slots=True, frozen=True)
class Save:
    """Copy a slot's cells into `sequence.saved`."""

    sequence: Sequence
    slot: int


@dataclass(slots=True, frozen=True)
class Restore:
    """Copy what is saved of `source` into an empty slot."""

    source: Sequence
    slot: int
    drop: bool
    """Nobody needs the copy any longer."""


Action = Clear | Share | Save | Restore


@dataclass(slots=True, frozen=True)
class Step:
    """What is done to the memory, in this order, and then one call of llama_decode."""

    actions: tuple[Action, ...]
    rows: tuple[Row, ...]
    """Decode rows first, then prefill."""
    group: Hashable = ()

    @property
    def n_tokens(self) -> int:
        return sum(row.n_tokens for row in self.rows)


def new_sequence(
    number: int,
    client: str,
    prompt: "array[int]",
    *,
    max_tokens: int | None,
    n_ctx: int,
    background: bool = False,
    group: Hashable = (),
) -> Sequence:
    """A queued sequence whose limit is what was asked for, or the end of the context."""
    length = len(prompt)
    limit = n_ctx if max_tokens is None else min(n_ctx, length + max_tokens)
    return Sequence(number, client, prompt, length, limit, background=background, group=group)
