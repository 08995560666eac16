"""Writes GGUF files of random weights in the shape of real models.

    python benchmarks/random_gguf.py KIND OUT [--type q4_0|q8_0|f16] [--seed 0] [--vocab 512]
    python benchmarks/random_gguf.py lora OUT

Two uses: speed, which does not depend on the weights, for `llama-1b` (the shape of Llama 3.2 1B; 0.7 GB at Q4_0);
and tests, for which the tiny kinds are 1 to 2 MB, are written in a fraction of a second, and have every kind
of memory that llama.cpp knows. They are deterministic in the seed and answer with nonsense that varies, not with one
token for ever. The vocabulary is our own (bytes and some words), so nothing has to be downloaded first.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
from gguf import GGMLQuantizationType, GGUFWriter, quants
from random_vocabulary import bpe, wordpiece

TYPES = {
    "f32": GGMLQuantizationType.F32,
    "f16": GGMLQuantizationType.F16,
    "q8_0": GGMLQuantizationType.Q8_0,
    "q4_0": GGMLQuantizationType.Q4_0,
}
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7}
"""enum llama_ftype."""

CHUNK = 1 << 20
"""Values that are really drawn for a large tensor; the rest repeats them, or a 1B file would take minutes."""


@dataclass(slots=True, frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    """Rows first, as numpy has it; llama.cpp's source lists it the other way round."""
    fill: str = "normal"
    """normal (variance 1 / row length) · ones · zeros · decay (negative, what a state-space model needs)"""
    full: bool = False
    """Never quantised."""


@dataclass(slots=True, frozen=True)
class Shape:
    embd: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    ff: int = 256
    ctx: int = 2048
    vocab: int | None = None
    """Pads the vocabulary to so many tokens."""
    fim: bool = False
    pooling: int | None = None
    """enum llama_pooling_type: 1 mean, 2 CLS, 4 rank (which adds the head of a reranker)."""
    tied: bool = False
    """The output is the embedding matrix, as in small Llamas. With random weights such a model repeats itself."""

    @property
    def head(self) -> int:
        return self.embd // self.heads


LLAMA_1B = Shape(embd=2048, layers=16, heads=32, kv_heads=8, ff=8192, ctx=131072, vocab=128256, tied=True)

Parts = tuple[dict[str, Any], list[Tensor]]


def _attention(at: str, shape: Shape) -> list[Tensor]:
    rows = shape.kv_heads * shape.head
    return [
        Tensor(f"{at}attn_q.weight", (shape.heads * shape.head, shape.embd)),
        Tensor(f"{at}attn_k.weight", (rows, shape.embd)),
        Tensor(f"{at}attn_v.weight", (rows, shape.embd)),
        Tensor(f"{at}attn_output.weight", (shape.embd, shape.heads * shape.head)),
    ]


def _feed_forward(at: str, shape: Shape) -> list[Tensor]:
    return [
        Tensor(f"{at}ffn_gate.weight", (shape.ff, shape.embd)),
        Tensor(f"{at}ffn_up.weight", (shape.ff, shape.embd)),
        Tensor(f"{at}ffn_down.weight", (shape.embd, shape.ff)),
    ]


def _norms(at: str, size: int, *names: str) -> list[Tensor]:
    return [Tensor(f"{at}{name}.weight", (size,), "ones") for name in names]


def _ends(shape: Shape, n_vocab: int, output_norm: str = "output_norm") -> list[Tensor]:
    tensors = [Tensor("token_embd.weight", (n_vocab, shape.embd)), *_norms("", shape.embd, output_norm)]
    return tensors if shape.tied else [*tensors, Tensor("output.weight", (n_vocab, shape.embd))]


def _keys(shape: Shape) -> dict[str, Any]:
    return {
        "context_length": shape.ctx,
        "embedding_length": shape.embd,
        "block_count": shape.layers,
        "feed_forward_length": shape.ff,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
    }


def llama(shape: Shape, n_vocab: int) -> Parts:
    """Full attention."""
    tensors = _ends(shape, n_vocab)
    for i in range(shape.layers):
        at = f"blk.{i}."
        tensors += _norms(at, shape.embd, "attn_norm", "ffn_norm")
        tensors += _attention(at, shape) + _feed_forward(at, shape)
    return _keys(shape) | {"rope.dimension_count": shape.head, "vocab_size": n_vocab}, tensors


EXPERTS, EXPERTS_USED = 8, 2


def qwen3moe(shape: Shape, n_vocab: int) -> Parts:
    """A mixture of experts in every layer."""
    tensors = _ends(shape, n_vocab)
    for i in range(shape.layers):
        at = f"blk.{i}."
        tensors += _norms(at, shape.embd, "attn_norm", "ffn_norm")
        tensors += _attention(at, shape) + _norms(at, shape.head, "attn_q_norm", "attn_k_norm")
        tensors += [
            Tensor(f"{at}ffn_gate_inp.weight", (EXPERTS, shape.embd), full=True),
            Tensor(f"{at}ffn_gate_exps.weight", (EXPERTS, shape.ff, shape.embd)),
            Tensor(f"{at}ffn_up_exps.weight", (EXPERTS, shape.ff, shape.embd)),
            Tensor(f"{at}ffn_down_exps.weight", (EXPERTS, shape.embd, shape.ff)),
        ]
    experts = {"expert_count": EXPERTS, "expert_used_count": EXPERTS_USED, "expert_feed_forward_length": shape.ff}
    lengths = {"attention.key_length": shape.head, "attention.value_length": shape.head}
    return _keys(shape) | experts | lengths, tensors


SWA_WINDOW = 32


def gemma3(shape: Shape, n_vocab: int) -> Parts:
    """A sliding window in all layers but every second."""
    tensors = _ends(shape, n_vocab)
    for i in range(shape.layers):
        at = f"blk.{i}."
        tensors += _norms(at, shape.embd, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        tensors += _norms(at, shape.head, "attn_q_norm", "attn_k_norm")
        tensors += _attention(at, shape) + _feed_forward(at, shape)
    window = {"attention.sliding_window": SWA_WINDOW, "attention.sliding_window_pattern": 2}
    lengths = {"attention.key_length": shape.head, "attention.value_length": shape.head}
    return _keys(shape) | window | lengths, tensors


def mamba(shape: Shape, n_vocab: int) -> Parts:
    """Recurrent: a state, and no attention."""
    inner, state, rank, conv = 2 * shape.embd, 16, 4, 4
    tensors = _ends(shape, n_vocab)
    for i in range(shape.layers):
        at = f"blk.{i}."
        tensors += _norms(at, shape.embd, "attn_norm")
        tensors += [
            Tensor(f"{at}ssm_in.weight", (2 * inner, shape.embd)),
            Tensor(f"{at}ssm_conv1d.weight", (inner, conv), full=True),
            Tensor(f"{at}ssm_conv1d.bias", (inner,), "zeros"),
            Tensor(f"{at}ssm_x.weight", (rank + 2 * state, inner)),
            Tensor(f"{at}ssm_dt.weight", (inner, rank), full=True),
            Tensor(f"{at}ssm_dt.bias", (inner,), "zeros"),
            Tensor(f"{at}ssm_a", (inner, state), "decay", full=True),
            Tensor(f"{at}ssm_d", (inner,), "ones"),
            Tensor(f"{at}ssm_out.weight", (shape.embd, inner)),
        ]
    sizes = {"ssm.conv_kernel": conv, "ssm.inner_size": inner, "ssm.state_size": state, "ssm.time_step_rank": rank}
    none = {"feed_forward_length": 0, "attention.head_count": 0, "attention.head_count_kv": 0}
    return _keys(shape) | none | sizes, tensors


def lfm2(shape: Shape, n_vocab: int) -> Parts:
    """Hybrid: short convolutions with a state, and attention in every second layer."""
    conv = 3
    tensors = _ends(shape, n_vocab, "token_embd_norm")
    for i in range(shape.layers):
        at = f"blk.{i}."
        tensors += _norms(at, shape.embd, "attn_norm", "ffn_norm")
        if i % 2:
            tensors += _attention(at, shape) + _norms(at, shape.head, "attn_q_norm", "attn_k_norm")
        else:
            tensors += [
                Tensor(f"{at}shortconv.conv.weight", (shape.embd, conv), full=True),
                Tensor(f"{at}shortconv.in_proj.weight", (3 * shape.embd, shape.embd)),
                Tensor(f"{at}shortconv.out_proj.weight", (shape.embd, shape.embd)),
            ]
        tensors += _feed_forward(at, shape)
    heads = [shape.kv_heads if i % 2 else 0 for i in range(shape.layers)]
    return _keys(shape) | {"attention.head_count_kv": heads, "shortconv.l_cache": conv, "vocab_size": n_vocab}, tensors


def bert(shape: Shape, n_vocab: int) -> Parts:
    """An embedder, or with pooling 4 a reranker: attention both ways and no KV memory."""
    shape = replace(shape, kv_heads=shape.heads)
    tensors = [
        Tensor("token_embd.weight", (n_vocab, shape.embd)),
        Tensor("token_types.weight", (2, shape.embd), full=True),
        Tensor("position_embd.weight", (shape.ctx, shape.embd), full=True),
        Tensor("token_embd_norm.weight", (shape.embd,), "ones"),
        Tensor("token_embd_norm.bias", (shape.embd,), "zeros"),
    ]
    for i in range(shape.layers):
        at = f"blk.{i}."
        tensors += _attention(at, shape) + _feed_forward(at, shape)[1:]
        for norm in ("attn_output_norm", "layer_output_norm"):
            tensors += [*_norms(at, shape.embd, norm), Tensor(f"{at}{norm}.bias", (shape.embd,), "zeros")]
    if shape.pooling == 4:
        tensors += [
            Tensor("cls.weight", (shape.embd, shape.embd)),
            Tensor("cls.bias", (shape.embd,), "zeros"),
            Tensor("cls.output.weight", (1, shape.embd)),
            Tensor("cls.output.bias", (1,), "zeros"),
        ]
    pooling = {"pooling_type": 1 if shape.pooling is None else shape.pooling}
    return _keys(shape) | {"attention.causal": False, "attention.layer_norm_epsilon": 1e-12} | pooling, tensors


@dataclass(slots=True, frozen=True)
class Kind:
    build: Callable[[Shape, int], Parts]
    shape: Shape
    type: str = "f16"
    """F16 for tests: with quantised weights a step of other shape rounds so differently that it hides mistakes."""

    @property
    def architecture(self) -> str:
        return self.build.__name__


KINDS: dict[str, Kind] = {
    "llama-1b": Kind(llama, LLAMA_1B, "q4_0"),
    "llama": Kind(llama, Shape()),
    "fim": Kind(llama, Shape(fim=True)),
    "experts": Kind(qwen3moe, Shape()),
    "swa": Kind(gemma3, Shape()),
    "recurrent": Kind(mamba, Shape()),
    "hybrid": Kind(lfm2, Shape()),
    "embedder": Kind(bert, Shape(ctx=512, pooling=1)),
    "reranker": Kind(bert, Shape(ctx=512, pooling=4)),
}


def write(
    path: Path,
    kind: str,
    *,
    type: str | None = None,
    seed: int = 0,
    vocab: int | None = None,
    context: int | None = None,
) -> Path:
    """Write one of KINDS. `vocab` pads the vocabulary to so many tokens; `context` is what it says it was made for."""
    chosen = KINDS[kind]
    shape = replace(chosen.shape, vocab=vocab or chosen.shape.vocab, ctx=context or chosen.shape.ctx)
    words = wordpiece() if chosen.build is bert else bpe(fim=shape.fim, size=shape.vocab)
    keys, tensors = chosen.build(shape, len(words.texts))
    name = type or chosen.type
    writer = GGUFWriter(str(path), chosen.architecture)
    _set(writer, {"general.name": f"random {kind}", "general.file_type": FILE_TYPES[name]})
    _set(writer, {f"{chosen.architecture}.{key}": value for key, value in keys.items()})
    _set(writer, {f"tokenizer.{key}": value for key, value in words.keys.items()})
    _set(writer, {"tokenizer.ggml.tokens": list(words.texts), "tokenizer.ggml.token_type": list(words.types)})
    _write_tensors(writer, tensors, name, seed)
    return path


def write_lora(path: Path, *, seed: int = 1, rank: int = 4, alpha: float | str = 8.0, embd: int | None = None) -> Path:
    """A LoRA adapter for the tiny `llama`, on the attention of all its layers; with another `embd` it does not fit."""
    shape = KINDS["llama"].shape
    shape = replace(shape, embd=embd or shape.embd)
    tensors: list[Tensor] = []
    for i in range(shape.layers):
        for tensor in _attention(f"blk.{i}.", shape):
            rows, columns = tensor.shape
            tensors += [Tensor(f"{tensor.name}.lora_a", (rank, columns)), Tensor(f"{tensor.name}.lora_b", (rows, rank))]
    writer = GGUFWriter(str(path), "llama")
    _set(writer, {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": alpha})
    _write_tensors(writer, tensors, "f32", seed)
    return path


def _set(writer: GGUFWriter, values: dict[str, Any]) -> None:
    for key, value in values.items():
        match value:
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case float():
                writer.add_float32(key, value)
            case str():
                writer.add_string(key, value)
            case list():
                writer.add_array(key, value)
            case _:
                raise TypeError(f"{key}: {value!r}")


def _write_tensors(writer: GGUFWriter, tensors: Sequence[Tensor], type: str, seed: int) -> None:
    """One tensor in memory at a time, so that a file of 2 GB needs no 2 GB."""
    types = [_type_of(tensor, type) for tensor in tensors]
    for tensor, kind in zip(tensors, types, strict=True):
        values = numpy.prod(tensor.shape)
        size = quants.quant_shape_to_byte_shape(tensor.shape, kind) if kind not in _PLAIN else ()
        count = int(numpy.prod(size)) if size else int(values) * _PLAIN[kind]().itemsize
        writer.add_tensor_info(tensor.name, tensor.shape, numpy.dtype(numpy.float32), count, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = numpy.random.default_rng(seed)
    for tensor, kind in zip(tensors, types, strict=True):
        writer.write_tensor_data(_data(tensor, kind, random))
    writer.close()


_PLAIN = {GGMLQuantizationType.F32: numpy.float32, GGMLQuantizationType.F16: numpy.float16}


def _type_of(tensor: Tensor, type: str) -> GGMLQuantizationType:
    if tensor.full or len(tensor.shape) == 1 or tensor.shape[-1] % 32:
        return GGMLQuantizationType.F32
    return TYPES[type]


def _data(tensor: Tensor, kind: GGMLQuantizationType, random: numpy.random.Generator) -> "numpy.ndarray[Any, Any]":
    columns = tensor.shape[-1]
    rows = int(numpy.prod(tensor.shape)) // columns
    drawn = min(rows, max(1, CHUNK // columns))
    if tensor.fill == "normal":
        # Embeddings are looked up, not summed over.
        spread = 1.0 if tensor.name == "token_embd.weight" else columns**-0.5
        values = random.standard_normal((drawn, columns), dtype=numpy.float32) * numpy.float32(spread)
    elif tensor.fill == "decay":
        values = -random.uniform(0.5, 8.0, (drawn, columns)).astype(numpy.float32)
    else:
        values = numpy.full((drawn, columns), 1 if tensor.fill == "ones" else 0, dtype=numpy.float32)
    packed = values.astype(_PLAIN[kind]) if kind in _PLAIN else quants.quantize(values, kind)
    repeats = -(-rows // drawn)
    return numpy.tile(packed, (repeats, 1))[:rows] if repeats > 1 else packed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*KINDS, "lora"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=list(TYPES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocab", type=int, help="pad the vocabulary to so many tokens")
    return parser.parse_args()


def main() -> None:
    asked = _arguments()
    if asked.kind == "lora":
        write_lora(asked.out, seed=asked.seed)
    else:
        write(asked.out, asked.kind, type=asked.type, seed=asked.seed, vocab=asked.vocab)
    print(f"{asked.out}: {asked.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
