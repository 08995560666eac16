"""What each layer of a model costs: weights, experts, keys and values, running states; read from its tensors.

Tensors are believed before keys, for keys mean different things in different architectures, and a hybrid model has
layers of several kinds. A layer keeps cells if it has keys of its own, and a state if it has convolutions or a
recurrence. The sizes of states are those of llama.cpp's llama-hparams.cpp.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

LAYER = re.compile(r"blk\.(\d{1,5})\.(.+)\Z")
EXPERTS = re.compile(r"ffn_(up|down|gate|gate_up)_(ch|)exps\b")
"""As llama.cpp's --n-cpu-moe finds them."""
STATE = re.compile(r"ssm_|shortconv\.|time_mix_")
OUTPUT = "output.weight"
EMBEDDING = "token_embd.weight"
SANE = 1 << 28
"""Numbers a layer and token beyond which a header lies."""

Shape = tuple[int, ...]


@dataclass(slots=True, frozen=True)
class LayerFacts:
    """Bytes of weights, numbers of cells and states, by layer."""

    layer_bytes: tuple[int, ...]
    expert_bytes: tuple[int, ...]
    other_bytes: int
    output_bytes: int
    tied: bool
    kv_values: tuple[int, ...]
    state_values: tuple[int, ...]
    n_ff: int


def layer_facts(
    tensors: Sequence[tuple[str, Shape, int]],
    n_layers: int,
    n_embd: int,
    kv_heads: Sequence[int],
    head_dims: tuple[int, int],
    number: Callable[..., int],
) -> LayerFacts:
    """From (name, shape, bytes) of all tensors. `number` reads a key of the architecture, 0 without it."""
    weights, experts, other = [0] * n_layers, [0] * n_layers, 0
    parts: list[dict[str, Shape]] = [{} for _ in range(n_layers)]
    outside: dict[str, int] = {}
    for name, shape, size in tensors:
        found = LAYER.match(name)
        if found is None or int(found[1]) >= n_layers:
            other += size
            outside[name] = size
            continue
        layer, part = int(found[1]), found[2]
        weights[layer] += size
        parts[layer][part] = shape
        if EXPERTS.match(part):
            experts[layer] += size
    state = _state_values(n_embd, number)
    shared = number("attention.shared_kv_layers")
    return LayerFacts(
        layer_bytes=tuple(weights),
        expert_bytes=tuple(experts),
        other_bytes=other,
        output_bytes=outside.get(OUTPUT, outside.get(EMBEDDING, 0)),
        tied=OUTPUT not in outside,
        kv_values=tuple(
            0 if layer >= n_layers - shared else _kv_values(parts[layer], kv_heads[layer], head_dims)
            for layer in range(n_layers)
        ),
        state_values=tuple(state if _has_state(part) else 0 for part in parts),
        n_ff=_feed_forward(number),
    )


def _has_state(parts: Mapping[str, Shape]) -> bool:
    return any(STATE.match(part) for part in parts)


def _kv_values(parts: Mapping[str, Shape], kv_heads: int, head_dims: tuple[int, int]) -> int:
    def rows(name: str) -> int:
        shape = parts.get(f"{name}.weight", ())
        return shape[1] if len(shape) > 1 else 0

    keys = rows("attn_k")
    if keys:
        found = keys + (rows("attn_v") or keys)
    elif "attn_k_b.weight" in parts:
        found = rows("attn_kv_a_mqa")  # latent attention: one row for all heads, and no values
    else:
        found = 0 if _has_state(parts) else kv_heads * sum(head_dims)
    return found if 0 <= found <= SANE else 0


def _state_values(n_embd: int, number: Callable[..., int]) -> int:
    """Numbers of one layer's state for one sequence."""
    conv, inner, size = (number(f"ssm.{key}") for key in ("conv_kernel", "inner_size", "state_size"))
    head = number("wkv.head_size")
    if head:
        found = n_embd * (number("token_shift_count", 2) + head)
    elif number("shortconv.l_cache"):
        found = n_embd * (number("shortconv.l_cache") - 1)
    elif number("kda.head_dim"):
        heads, dim = number("attention.head_count"), number("kda.head_dim")
        found = 3 * max(0, conv - 1) * heads * dim + heads * dim * dim
    else:
        found = max(0, conv - 1) * (inner + 2 * number("ssm.group_count") * size) + inner * size
    return found if 0 <= found <= SANE else 0


def _feed_forward(number: Callable[..., int]) -> int:
    """The width that a token passes through: the widest dense part, or all the experts that are chosen for it."""
    dense, used = number("feed_forward_length"), number("expert_used_count")
    if not used:
        return dense
    chosen = used * (number("expert_feed_forward_length") or dense) + number("expert_shared_feed_forward_length")
    return max(chosen, dense if number("leading_dense_block_count") else 0)
