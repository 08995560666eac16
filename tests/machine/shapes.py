"""Twelve models as a plan sees them, from their published configurations, at the weights of the usual Q4_K_M file."""

from dataclasses import dataclass
from functools import cached_property

BITS = 4.85
"""Bits of a weight in a Q4_K_M file, over all matrices."""
BITS_OF_EMBEDDINGS = 6.56
"""Embeddings and output are Q6_K there."""


@dataclass(frozen=True)
class Shape:
    """Implements sizes.ModelFacts from the numbers in a model's config.json."""

    name: str
    n_layers: int
    n_embd: int
    n_heads: int
    kv_heads: int
    head_dim: int
    dense_ff: int
    n_vocab: int
    ctx_train: int
    tied: bool = False
    experts: int = 0
    experts_used: int = 0
    expert_ff: int = 0
    window: int = 0
    attention_layers: tuple[int, ...] | None = None
    """Those with attention, of a hybrid; None: all."""
    state: int = 0
    """Numbers of the state of the other layers."""
    bits: float = BITS

    @property
    def n_ff(self) -> int:
        return self.experts_used * self.expert_ff or self.dense_ff

    @property
    def n_queries(self) -> int:
        return self.n_heads * self.head_dim

    def _attends(self, layer: int) -> bool:
        return self.attention_layers is None or layer in self.attention_layers

    @cached_property
    def kv_values(self) -> tuple[int, ...]:
        return tuple(2 * self.kv_heads * self.head_dim * self._attends(layer) for layer in range(self.n_layers))

    @cached_property
    def state_values(self) -> tuple[int, ...]:
        return tuple(self.state * (not self._attends(layer)) for layer in range(self.n_layers))

    @cached_property
    def expert_bytes(self) -> tuple[int, ...]:
        return (int(self.experts * 3 * self.n_embd * self.expert_ff * self.bits / 8),) * self.n_layers

    @cached_property
    def layer_bytes(self) -> tuple[int, ...]:
        attention = self.n_embd * (2 * self.n_queries + 2 * self.kv_heads * self.head_dim)
        dense = 0 if self.experts else 3 * self.n_embd * self.dense_ff
        rest = int((attention + dense) * self.bits / 8)
        return tuple(rest + experts for experts in self.expert_bytes)

    @property
    def output_bytes(self) -> int:
        return int(self.n_vocab * self.n_embd * BITS_OF_EMBEDDINGS / 8)

    @property
    def other_bytes(self) -> int:
        return self.output_bytes * (1 if self.tied else 2)

    @property
    def size(self) -> int:
        return sum(self.layer_bytes) + self.other_bytes


SHAPES = (
    Shape("smollm2-135m", 30, 576, 9, 3, 64, 1536, 49152, 8192, tied=True),
    Shape("qwen3-0.6b", 28, 1024, 16, 8, 128, 3072, 151936, 40960, tied=True),
    Shape("llama-3.2-1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, tied=True),
    Shape(
        "lfm2-1.2b (hybrid)", 16, 2048, 32, 8, 64, 8192, 65536, 128000, tied=True,
        attention_layers=(2, 5, 8, 10, 12, 14), state=2 * 2048,
    ),
    Shape("gemma-3-4b (window)", 34, 2560, 8, 4, 256, 10240, 262208, 131072, tied=True, window=1024),
    Shape("qwen3-4b", 36, 2560, 32, 8, 128, 9728, 151936, 40960, tied=True),
    Shape("llama-3.1-8b", 32, 4096, 32, 8, 128, 14336, 128256, 131072),
    Shape("qwen2.5-14b", 48, 5120, 40, 8, 128, 13824, 152064, 32768),
    Shape(
        "gpt-oss-20b (experts)", 24, 2880, 64, 8, 64, 0, 201088, 131072,
        experts=32, experts_used=4, expert_ff=2880, window=128, bits=4.25,
    ),
    Shape(
        "qwen3-30b-a3b (experts)", 48, 2048, 32, 4, 128, 6144, 151936, 40960,
        experts=128, experts_used=8, expert_ff=768,
    ),
    Shape("qwen2.5-32b", 64, 5120, 40, 8, 128, 27648, 152064, 32768),
    Shape("llama-3.3-70b", 80, 8192, 64, 8, 128, 28672, 128256, 131072),
)  # fmt: skip
