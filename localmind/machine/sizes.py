"""What a model takes in bytes: weights, KV cells, states, scratch memory, and what surrounds them.

The arithmetic under every plan, from nothing but a file's header. It places nothing and decides nothing. The formulas
follow llama.cpp (llama-kv-cache.cpp, llama-memory-recurrent.cpp, the graph's largest tensors); docs/devices.md has the
measurements they were held against.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

MIB = 1 << 20
GIB = 1 << 30

KvType = Literal["f16", "q8_0", "q4_0"]
KV_BYTES: dict[KvType, float] = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Bytes for one value, block scales included (ggml's block sizes)."""

OUTPUTS = 40
"""Rows of logits that a context reserves (engine/loaded.py, MAX_OUTPUTS)."""
STATES = 9
"""States that a recurrent model reserves: one a slot and a spare (engine/loaded.py, SLOTS_WITH_STATE)."""
DRAFT_BATCH = 64
"""Tokens a step of a draft model (engine/draft.py)."""

PROCESS = 72 * MIB
"""An engine worker before it has a model: Python, numpy, llama.cpp."""
TOKEN = 200
"""Bytes that one entry of the vocabulary takes in llama.cpp's maps and ours."""


class ModelFacts(Protocol):
    """What a plan needs to know of a model; models/gguf.py reads it from a file's header."""

    @property
    def n_layers(self) -> int: ...
    @property
    def n_vocab(self) -> int: ...
    @property
    def n_embd(self) -> int: ...
    @property
    def n_heads(self) -> int: ...
    @property
    def n_ff(self) -> int:
        """Width of the feed-forward part that a token passes through, all chosen experts together."""

    @property
    def n_queries(self) -> int:
        """Heads times their length, which may be more than `n_embd`."""

    @property
    def ctx_train(self) -> int: ...
    @property
    def kv_values(self) -> Sequence[int]:
        """Numbers that one cell holds in each layer (keys and values); 0 for a layer without attention."""

    @property
    def state_values(self) -> Sequence[int]:
        """Numbers of the running state that each layer keeps for one sequence; 0 for a layer with attention."""

    @property
    def layer_bytes(self) -> Sequence[int]:
        """Weights of each layer."""

    @property
    def expert_bytes(self) -> Sequence[int]:
        """The part of them that belongs to experts, of which a token uses only a few."""

    @property
    def other_bytes(self) -> int:
        """Weights outside the layers: embeddings, output, norms."""

    @property
    def output_bytes(self) -> int:
        """What the last matrix takes where it is computed; it may be the embeddings once more."""

    @property
    def tied(self) -> bool:
        """The output is the embeddings."""

    @property
    def window(self) -> int:
        """Tokens that layers with a sliding window look back on; 0 without such layers."""


@dataclass(slots=True, frozen=True)
class Need:
    """Bytes that a plan takes on one device. `device` is RAM or the device's name in ggml's list."""

    device: str
    weights: int = 0
    kv: int = 0
    """Cells, and the states of recurrent layers."""
    compute: int = 0
    """Scratch memory of a step, and the rows of logits."""
    other: int = 0
    """The process itself, the vocabulary, what a driver takes for a context."""
    shared: bool = False
    """The device has no memory of its own: these bytes are main memory."""

    @property
    def context(self) -> int:
        """What goes when the context is freed and the weights stay."""
        return self.kv + self.compute

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.compute + self.other

    def __add__(self, more: "Need") -> "Need":
        return Need(
            self.device,
            self.weights + more.weights,
            self.kv + more.kv,
            self.compute + more.compute,
            self.other + more.other,
            self.shared,
        )


def padded(cells: int) -> int:
    """Cells as llama.cpp rounds them."""
    return -(-cells // 256) * 256


def kv_bytes(facts: ModelFacts, kv_type: KvType = "f16") -> float:
    """Bytes of one cell over all layers."""
    return sum(facts.kv_values) * KV_BYTES[kv_type]


def layer_memory(facts: ModelFacts, layer: int, cells: int, kv_type: KvType) -> int:
    """Cells and states of one layer, in bytes. States are float32."""
    return int(padded(cells) * facts.kv_values[layer] * KV_BYTES[kv_type]) + 4 * STATES * facts.state_values[layer]


def weights(facts: ModelFacts) -> int:
    return sum(facts.layer_bytes) + facts.other_bytes


def compute_bytes(
    facts: ModelFacts,
    n_ctx: int,
    n_ubatch: int = 512,
    *,
    attends: bool = True,
    answers: bool = True,
    handed_out: bool = True,
    copies: int = 1,
) -> int:
    """Scratch memory of one pass with flash attention, on a device that has layers (`attends`) or the output.

    The largest tensors alive at once: three of the feed-forward part and four of the row, in float32, or the logits;
    beside them the inputs (mask and row, `copies` of them), and in main memory the rows of logits that are handed out.
    Within 3 % of llama.cpp's own figures from 135M to 1B and from 64 to 1,024 tokens.
    """
    rows = n_ubatch * 4
    activations = rows * (3 * facts.n_ff + 4 * max(facts.n_embd, facts.n_queries)) if attends else rows * facts.n_embd
    logits = OUTPUTS * 4 * facts.n_vocab
    mask = n_ubatch * 2 * padded(n_ctx)
    more = (copies - 1) * (mask + rows * facts.n_embd)
    return max(activations, logits if answers else 0) + mask + more + (logits if handed_out else 0)


def vocabulary_bytes(facts: ModelFacts) -> int:
    return TOKEN * facts.n_vocab


def size(count: float) -> str:
    """For people."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
