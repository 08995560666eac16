"""What a plan needs to know of a model whose file is not here yet: sizes worked out from the catalog's words.

A header says these exactly once there is one; until then a plan made of them is good enough to choose a model by. It
implements what machine/sizes.py asks of facts.
"""

from dataclasses import dataclass

from localmind.catalog.spec import BITS, ModelSpec

EMBEDDING_BITS = 6.6
"""What people leave embeddings in when they quantise the rest to 4 bits (Q6_K)."""
EXPERT_SHARE = 0.95
"""Of the layers of a mixture of experts, about so much belongs to experts."""


@dataclass(slots=True, frozen=True)
class ShapeFacts:
    """Facts of a model as a plan reads them. Sizes in bytes."""

    n_layers: int
    n_vocab: int
    n_embd: int
    n_heads: int
    n_ff: int
    n_queries: int
    ctx_train: int
    kv_values: tuple[int, ...]
    state_values: tuple[int, ...]
    layer_bytes: tuple[int, ...]
    expert_bytes: tuple[int, ...]
    other_bytes: int
    output_bytes: int
    tied: bool
    window: int

    @classmethod
    def of(cls, spec: ModelSpec) -> "ShapeFacts | None":
        """None for a model whose shape the catalog does not say."""
        shape = spec.shape
        if shape is None:
            return None
        bits = BITS.get(spec.quantisation.upper(), 16.1)
        one = int(shape.vocabulary * shape.width * max(bits, min(EMBEDDING_BITS, 16.1)) / 8)
        other = one if shape.tied else 2 * one
        layer = max(1, (spec.size - other) // shape.layers)
        return cls(
            n_layers=shape.layers,
            n_vocab=shape.vocabulary,
            n_embd=shape.width,
            n_heads=shape.heads,
            n_ff=shape.feed_forward,
            n_queries=shape.heads * shape.head,
            ctx_train=spec.context,
            kv_values=(2 * shape.kv_heads * shape.head,) * shape.layers,
            state_values=(0,) * shape.layers,
            layer_bytes=(layer,) * shape.layers,
            expert_bytes=(int(layer * EXPERT_SHARE) if shape.active else 0,) * shape.layers,
            other_bytes=other,
            output_bytes=one,
            tied=shape.tied,
            window=shape.window,
        )


def bytes_a_token(spec: ModelSpec) -> float:
    """Weights that are read for one token: all, or the active part of a mixture."""
    shape = spec.shape
    share = shape.active / spec.parameters if shape is not None and shape.active else 1.0
    return spec.size * min(1.0, share)
