"""What each layer costs, found by its tensors: experts, latent attention, hybrids, shared and missing cells."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import random_gguf

from localmind.models.gguf import read_facts
from localmind.models.gguf_layers import LayerFacts, layer_facts

EMBD = 64


def keys(values: Mapping[str, int]) -> Callable[..., int]:
    return lambda key, default=0: values.get(key, default)


def facts(layers: list[dict[str, tuple[int, ...]]], values: Mapping[str, int] | None = None) -> LayerFacts:
    """Of layers given by their tensors' shapes; a value takes a byte."""
    tensors = [("token_embd.weight", (EMBD, 100), EMBD * 100)]
    for number, parts in enumerate(layers):
        for part, shape in parts.items():
            size = 1
            for side in shape:
                size *= side
            tensors.append((f"blk.{number}.{part}", shape, size))
    return layer_facts(tensors, len(layers), EMBD, [2] * len(layers), (16, 16), keys(values or {}))


ATTENTION = {"attn_q.weight": (EMBD, EMBD), "attn_k.weight": (EMBD, 32), "attn_v.weight": (EMBD, 24)}
DENSE = {"ffn_up.weight": (EMBD, 128), "ffn_down.weight": (128, EMBD)}
EXPERTS = {"ffn_gate_inp.weight": (EMBD, 8), "ffn_up_exps.weight": (EMBD, 16, 8), "ffn_down_exps.weight": (16, EMBD, 8)}
CONVOLUTION = {"shortconv.conv.weight": (3, EMBD), "shortconv.in_proj.weight": (EMBD, 3 * EMBD)}
RECURRENT = {"ssm_in.weight": (EMBD, 256), "ssm_conv1d.weight": (4, 128), "ssm_a": (16, 128)}


def test_keys_and_values_are_counted_as_wide_as_their_matrices_are() -> None:
    assert facts([ATTENTION | DENSE]).kv_values == (32 + 24,)


def test_experts_are_the_part_that_a_token_uses_little_of() -> None:
    found = facts([ATTENTION | DENSE, ATTENTION | EXPERTS], {"expert_used_count": 2, "expert_feed_forward_length": 16})
    assert found.expert_bytes == (0, 2 * EMBD * 16 * 8)
    assert found.layer_bytes[1] - found.expert_bytes[1] == EMBD * (EMBD + 32 + 24 + 8)
    assert found.n_ff == 32


def test_a_mixture_with_dense_layers_in_front_is_as_wide_as_its_widest_layer() -> None:
    values = {"expert_used_count": 2, "expert_feed_forward_length": 16, "feed_forward_length": 128}
    assert facts([ATTENTION | EXPERTS], values).n_ff == 32
    assert facts([ATTENTION | EXPERTS], values | {"leading_dense_block_count": 1}).n_ff == 128


def test_latent_attention_keeps_one_row_for_all_heads_and_no_values() -> None:
    latent = {"attn_kv_a_mqa.weight": (EMBD, 40), "attn_k_b.weight": (16, 32, 2), "attn_v_b.weight": (32, 16, 2)}
    assert facts([latent | DENSE]).kv_values == (40,)
    old = {"attn_kv_a_mqa.weight": (EMBD, 40), "attn_kv_b.weight": (32, 64)}
    assert facts([old | DENSE]).kv_values == (2 * (16 + 16),)


def test_a_hybrid_keeps_cells_in_some_layers_and_a_state_in_the_others() -> None:
    found = facts([CONVOLUTION | DENSE, ATTENTION | DENSE], {"shortconv.l_cache": 3})
    assert (found.kv_values, found.state_values) == ((0, 56), (2 * EMBD, 0))
    values = {"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16, "ssm.group_count": 1}
    mixed = facts([RECURRENT | ATTENTION], values)
    assert (mixed.kv_values, mixed.state_values) == ((56,), (3 * (128 + 32) + 16 * 128,))


def test_one_fused_matrix_is_attention_unless_a_state_says_otherwise() -> None:
    fused = {"attn_qkv.weight": (EMBD, 128)}
    assert facts([fused | DENSE]).kv_values == (64,)
    assert facts([fused | RECURRENT]).kv_values == (0,)


def test_layers_that_share_the_cells_of_others_have_none() -> None:
    found = facts([ATTENTION] * 4, {"attention.shared_kv_layers": 3})
    assert [bool(count) for count in found.kv_values] == [True, False, False, False]


def test_the_output_is_the_embeddings_once_more_where_it_is_not_there() -> None:
    found = facts([ATTENTION])
    assert (found.tied, found.output_bytes, found.other_bytes) == (True, EMBD * 100, EMBD * 100)


def test_numbers_that_no_model_has_are_taken_for_none() -> None:
    found = facts([RECURRENT], {"ssm.conv_kernel": 1 << 30, "ssm.inner_size": 1 << 30})
    assert found.state_values == (0,)


def test_an_encoder_keeps_no_cells(tmp_path: Path) -> None:
    assert not any(read_facts(random_gguf.write(tmp_path / "encoder.gguf", "embedder")).kv_values)


@pytest.mark.parametrize("kind", ["llama", "experts", "swa", "hybrid", "recurrent"])
def test_real_files_of_every_kind_of_memory_are_understood(tmp_path: Path, kind: str) -> None:
    found = read_facts(random_gguf.write(tmp_path / f"{kind}.gguf", kind))
    attends = [bool(count) for count in found.kv_values]
    keeps = [bool(count) for count in found.state_values]
    assert attends == {"hybrid": [False, True] * 2, "recurrent": [False] * 4}.get(kind, [True] * 4)
    assert keeps == [not cells for cells in attends]
    assert (found.window > 0) == (kind == "swa")
    assert (min(found.expert_bytes) > 0, found.n_experts_used) == ((True, 2) if kind == "experts" else (False, 0))
    assert sum(found.layer_bytes) + found.other_bytes <= found.file_size - found.data_offset
