"""A Sequence: one request's tokens and where they stand in the KV memory.

It moves QUEUED → PREFILL → DECODE → FREE, and back to QUEUED when its cells were needed by an older
one; then its tokens, the sampled ones included, are evaluated again later and nothing of the answer
is lost. It owns counting and nothing else: no native handle, no text, no clock.
"""

from array import array
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    QUEUED = "queued"
    PREFILL = "prefill"
    DECODE = "decode"
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
    state: State = State.QUEUED
    slot: int = -1
    """The llama.cpp sequence id while cells are owned, else -1."""
    stored: int = 0
    """Cells in use: the first `stored` of `tokens` have been evaluated."""
    claim: int = 0
    """Cells that admission set aside; growth beyond it is allowed while there are free cells."""

    @property
    def pending(self) -> int:
        """Tokens not evaluated yet: 1 while decoding."""
        return len(self.tokens) - self.stored

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def reserved(self) -> int:
        """Cells that admission of others must leave to this one."""
        return max(self.claim, len(self.tokens))


@dataclass(slots=True, frozen=True)
class Row:
    """A run of one sequence's tokens inside a step: `tokens[start : start + count]` at those positions."""

    sequence: Sequence
    start: int
    count: int
    samples: bool
    """Whether logits of the last token are wanted."""


@dataclass(slots=True, frozen=True)
class Step:
    """One call of llama_decode."""

    clear: tuple[int, ...]
    """Slots whose cells must be removed first."""
    rows: tuple[Row, ...]
    """Decode rows first, then prefill, each in arrival order."""

    @property
    def n_tokens(self) -> int:
        return sum(row.count for row in self.rows)
