"""The loaded model as the loop sees it, and a request's sampler: the seam that tests put fakes into."""

from array import array
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from localmind.engine.constraint import Constraint
from localmind.engine.pool import Kind
from localmind.engine.sequence import Row
from localmind.events import TokenLogprob
from localmind.messages import SamplingParams


class Sampler(Protocol):
    """Chooses the tokens of one answer."""

    def sample(self, index: int) -> int:
        """The token chosen from one row of logits; it is remembered for penalties and grammar."""

    def logprobs(self, index: int, token: int) -> TokenLogprob | None:
        """How likely the model found that token; call it right after `sample`. None unless asked for."""

    @property
    def ahead(self) -> "array[int]":
        """Tokens that come next, whatever the logits say; mostly none."""

    @property
    def finished(self) -> bool:
        """The grammar has come to its end."""

    @property
    def hurried(self) -> bool:
        """The answer was brought to its end, as the grammar wants one, because no more tokens were left."""

    def close(self) -> None: ...


class Backend(Protocol):
    """All but the constants and `interrupt` are used on the loop's thread only."""

    n_ctx: int
    """Cells of the pool that all sequences share."""
    n_ctx_seq: int
    """Tokens that one sequence may have: a pool can be larger than what the model was trained for."""
    n_batch: int
    n_slots: int
    """Sequences in memory at once, idle ones included."""
    max_running: int
    """Sequences that are evaluated at once."""
    n_outputs: int
    """Rows of logits a step."""
    n_threads: int
    kind: Kind
    window: int
    """Tokens that layers with a sliding window look back on; 0 without such layers."""
    cell_bytes: int
    """Bytes of one cell over all layers."""
    idle_cells: int
    """Idle cells that may stay in the pool beside running sequences."""
    decode_costs: Mapping[int, float]
    """Seconds that a step of so many rows took at load; empty if not measured."""

    can_fill: bool
    """Rows may be added that belong to nobody."""

    def evaluate(self, rows: Sequence[Row], fill: int) -> tuple[int, list[int]]:
        """Run one step, with `fill` rows that belong to nobody and leave nothing behind.

        Returns llama_decode's code and, for each row, the index of its last own token; those of its draft follow.
        """

    def interrupt(self, now: bool) -> None:
        """From any thread: let the evaluation under way return with code 2, as soon as it can; False takes it back."""

    def clear(self, slot: int, start: int) -> None: ...
    def share(self, source: int, target: int, end: int) -> None: ...
    def save(self, slot: int) -> Any:
        """All cells of a slot, for `restore`. Raises MemoryError."""

    def restore(self, slot: int, state: Any) -> bool: ...
    def length(self, slot: int) -> int:
        """Tokens in a slot according to the native memory."""

    def set_threads(self, count: int) -> None: ...
    def use_adapters(self, adapters: Hashable) -> None:
        """The adapter set of the next step; nothing happens when it is the last one's."""

    def sampler(
        self, params: SamplingParams, constraint: Constraint | None, prompt: "array[int]", room: int
    ) -> Sampler:
        """`room`: tokens that the answer may have."""

    def piece(self, token: int, shown: frozenset[str]) -> bytes:
        """The bytes of a token; control tokens are empty unless their text is in `shown`."""

    def ends(self, token: int) -> bool: ...
    def close(self) -> None: ...
