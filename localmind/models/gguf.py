"""The header of a GGUF file: what a plan needs to know of a model, and whether the file is whole.

This is the check that stands before native code sees a file, so it is at least as strict as llama.cpp, which answers
some headers with an abort: each tensor lies inside the file and none over another, no name comes twice, all types are
known. Models, adapters and parts of split models pass through `read_header`; it reads no weights. The format is
described in ggml's docs/gguf.md; block sizes are those of ggml-common.h.
"""

import math
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localmind.clean import clean_line
from localmind.errors import ModelFileBroken
from localmind.models.gguf_layers import layer_facts
from localmind.models.gguf_reader import ARRAY, F32, SCALARS, STRING, U16, U32, Array, HeaderReader

MAGIC = b"GGUF"
TOKENS = "tokenizer.ggml.tokens"
VERSIONS = (2, 3)
MAX_KEYS = 1 << 10
MAX_TENSORS = 1 << 16
MAX_KEY = 1 << 10
MAX_TENSOR_NAME = 63
"""Bytes; ggml's GGML_MAX_NAME without the zero at its end."""
MAX_DIMENSIONS = 4
MAX_ALIGNMENT = 1 << 16
MAX_LAYERS = 4096

ARCHITECTURE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
PART = re.compile(r"-(\d{5})-of-(\d{5})\Z")
"""How the parts of one model are named, before the suffix."""
TEMPLATE = re.compile(r"tokenizer\.chat_template(\..*)?\Z")
TYPED = {
    "general.alignment": U32, "split.no": U16, "split.count": U16, "general.architecture": STRING,
    "general.type": STRING, "adapter.type": STRING, "adapter.lora.alpha": F32,
}  # fmt: skip
"""Keys that llama.cpp reads with an abort, or a wrong model, if they are of another type."""

BLOCKS: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip
"""ggml type: name, values in a block, bytes of a block."""


@dataclass(slots=True, frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    """The length of a row first. No side is 0."""
    type: int
    """One of BLOCKS."""
    offset: int
    """From the start of the data section."""

    @property
    def values(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes."""
        _, values, size = BLOCKS[self.type]
        return self.values // values * size


@dataclass(slots=True, frozen=True)
class GgufFacts:
    """What a header says. Sizes in bytes."""

    architecture: str
    name: str
    n_layers: int
    n_embd: int
    n_heads: int
    head_dim: int
    ctx_train: int
    n_vocab: int
    n_params: int
    n_tensors: int
    quantisation: str
    """The type that most of the weights have."""
    kv_values: tuple[int, ...]
    """Numbers that one cell of the cache holds in each layer: kv heads × (key + value length)."""
    layer_bytes: tuple[int, ...]
    other_bytes: int
    expert_bytes: tuple[int, ...]
    """The part of each layer's weights that belongs to experts."""
    output_bytes: int
    tied: bool
    """The output is the embeddings."""
    state_values: tuple[int, ...]
    """Numbers of the running state that each layer keeps for a sequence."""
    n_ff: int
    n_queries: int
    window: int
    """Tokens that layers with a sliding window look back on."""
    n_experts: int
    n_experts_used: int
    data_offset: int
    file_size: int
    has_template: bool


@dataclass(slots=True, frozen=True)
class Header:
    """What stands before the weights. Texts are cleaned, and the first 256 bytes of them kept; lists are Arrays."""

    keys: dict[str, Any]
    tensors: tuple[Tensor, ...]
    data_offset: int
    file_size: int


def read_header(path: Path, label: str | None = None) -> Header:
    """Read and check a header. Raises ModelFileBroken, also when the file ends before its last tensor.

    Takes at most 2 s and 200 MB, whatever the file holds. `label` names it in errors, if not its path.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ModelFileBroken(f"{clean_line(str(path))} is not a file", hint="localmind models list")
        with path.open("rb") as source:
            return _header(HeaderReader(source, found.st_size, label or path.name))
    except OSError as problem:
        raise ModelFileBroken(
            f"{clean_line(str(path))} cannot be read: {problem.strerror}", hint="localmind models list"
        ) from problem


def read_facts(path: Path) -> GgufFacts:
    """Read and check a model's header. Raises ModelFileBroken as `read_header` does.

    Of a model in parts, `path` is the first one: the tensors of the others beside it, under the names that llama.cpp
    would look for, count too.
    """
    first = read_header(path)
    others = [read_header(part) for part in split_parts(path, first)[1:]]
    if others:
        tensors = tuple(tensor for header in (first, *others) for tensor in header.tensors)
        size = sum(header.file_size for header in (first, *others))
        first = Header(first.keys, tensors, first.data_offset, size)
    return _summary(first, clean_line(path.name))


def split_parts(path: Path, header: Header) -> list[Path]:
    """The files of a model in the order of their parts, from the header of its first; `path` alone if it is whole."""
    count = header.keys.get("split.count", 0)
    found = PART.search(path.stem)
    if not isinstance(count, int) or count < 2 or found is None or int(found[1]) != 1:
        return [path]
    stem = PART.sub("", path.stem)
    return [path.with_name(f"{stem}-{number:05}-of-{int(found[2]):05}{path.suffix}") for number in range(1, count + 1)]


def _header(reader: HeaderReader) -> Header:
    if reader.take(4) != MAGIC:
        raise reader.broken("is not a GGUF file")
    version = int(reader.number("I"))
    if version not in VERSIONS:
        raise reader.broken(f"is GGUF version {version}, which this localmind does not read")
    n_tensors = reader.count(MAX_TENSORS, 24, "tensors")
    n_keys = reader.count(MAX_KEYS, 12, "keys")
    keys: dict[str, Any] = {}
    for _ in range(n_keys):
        key = reader.name(MAX_KEY)
        if key in keys:
            raise reader.broken(f"has the key {key[:64]} twice")
        keys[key] = _value(reader, key)
    tensors = {}
    for _ in range(n_tensors):
        tensor = _tensor(reader)
        if tensor.name in tensors:
            raise reader.broken(f"has the tensor {tensor.name} twice")
        tensors[tensor.name] = tensor
    alignment = keys.get("general.alignment", 32)
    if not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise reader.broken(f"has the senseless alignment {alignment}")
    data_offset = _padded(reader.at, alignment)
    _check_extents(reader, tuple(tensors.values()), data_offset, alignment)
    return Header(keys, tuple(tensors.values()), data_offset, reader.size)


def _value(reader: HeaderReader, key: str) -> Any:
    kind = int(reader.number("I"))
    if TYPED.get(key, kind) != kind:
        raise reader.broken(f"has a {key} of the wrong type {kind}")
    if kind in SCALARS:
        return reader.number(SCALARS[kind])
    if kind == STRING:
        return reader.template() if TEMPLATE.match(key) else reader.text()
    if kind == ARRAY:
        return reader.array(distinct=key == TOKENS)  # llama.cpp aborts on a token that is there twice
    raise reader.broken(f"holds a value of the unknown type {kind}")


def _tensor(reader: HeaderReader) -> Tensor:
    name = reader.name(MAX_TENSOR_NAME)
    dimensions = reader.number("I")
    if dimensions > MAX_DIMENSIONS:
        raise reader.broken(f"has a tensor of {dimensions} dimensions, {name}")
    *shape, kind, offset = reader.numbers(f"{dimensions}QIQ")
    tensor = Tensor(name, tuple(shape), kind, offset)
    if kind not in BLOCKS:
        raise reader.broken(f"has a tensor of the unknown type {kind}, {name}; it may need a newer localmind")
    if 0 in shape:
        raise reader.broken(f"has the tensor {name}, which is empty")
    if (shape[0] if shape else 1) % BLOCKS[kind][1]:
        raise reader.broken(
            f"has the tensor {name}, whose rows of {shape[:1]} are no whole blocks of {BLOCKS[kind][0]}"
        )
    if tensor.values > 1 << 62:
        raise reader.broken(f"has a tensor of impossible size, {name}")
    return tensor


def _check_extents(reader: HeaderReader, tensors: tuple[Tensor, ...], data_offset: int, alignment: int) -> None:
    """Tensors follow one another with nothing but padding between them; llama.cpp takes no other file."""
    end = padded = 0
    for tensor in tensors:
        if tensor.offset != padded:
            raise reader.broken(f"has the tensor {tensor.name} at byte {tensor.offset} of its data, not at {padded}")
        end = padded + tensor.size
        padded = _padded(end, alignment)
    if tensors and data_offset + end > reader.size:
        raise ModelFileBroken(
            f"{reader.label} is cut short: needs {data_offset + end} bytes, has {reader.size}",
            hint="localmind models list, then `localmind models pull NAME` fetches it again",
        )


def _padded(length: int, alignment: int) -> int:
    return -(-length // alignment) * alignment


def _summary(header: Header, label: str) -> GgufFacts:
    meta, tensors = header.keys, header.tensors
    arch = meta.get("general.architecture")
    if not isinstance(arch, str) or not ARCHITECTURE.match(arch):
        raise _broken(label, "does not name its architecture")

    def number(key: str, default: int = 0) -> int:
        found = meta.get(f"{arch}.{key}", default)
        if isinstance(found, Array):
            found = max(found.integers, default=default)
        return found if isinstance(found, int) and 0 <= found < 1 << 31 else default

    layers = number("block_count")
    if not 1 <= layers <= MAX_LAYERS:
        raise _broken(label, f"says it has {layers} layers")
    embd, heads = number("embedding_length"), number("attention.head_count")
    head_dim = number("attention.key_length", embd // heads if heads else 0)
    value_dim = number("attention.value_length", head_dim)
    kv = meta.get(f"{arch}.attention.head_count_kv", heads)
    kv_heads = list(kv.integers) if isinstance(kv, Array) else [kv] * layers
    kv_heads += [heads] * (layers - len(kv_heads))
    by_type: dict[int, int] = {}
    for tensor in tensors:
        by_type[tensor.type] = by_type.get(tensor.type, 0) + tensor.size
    each = layer_facts(
        [(tensor.name, tensor.shape, tensor.size) for tensor in tensors],
        layers,
        embd,
        [count if isinstance(count, int) and 0 <= count <= 1 << 16 else heads for count in kv_heads[:layers]],
        (head_dim, value_dim),
        number,
    )
    window, context = number("attention.sliding_window"), number("context_length") or 2048
    tokens = meta.get(TOKENS)
    most = max(by_type, key=lambda kind: by_type[kind], default=0)
    name = meta.get("general.name")
    return GgufFacts(
        architecture=arch,
        name=name[:200] if isinstance(name, str) else "",
        n_layers=layers,
        n_embd=embd,
        n_heads=heads,
        head_dim=head_dim,
        ctx_train=context,
        n_vocab=tokens.length if isinstance(tokens, Array) else number("vocab_size"),
        n_params=sum(tensor.values for tensor in tensors),
        n_tensors=len(tensors),
        quantisation=BLOCKS[most][0],
        # What looks both ways keeps nothing between two texts: llama.cpp gives it no cells.
        kv_values=(0,) * layers if meta.get(f"{arch}.attention.causal") is False else each.kv_values,
        layer_bytes=each.layer_bytes,
        other_bytes=each.other_bytes,
        expert_bytes=each.expert_bytes,
        output_bytes=each.output_bytes,
        tied=each.tied,
        state_values=each.state_values,
        n_ff=each.n_ff,
        n_queries=heads * head_dim,
        window=window if window < context else 0,
        n_experts=number("expert_count"),
        n_experts_used=number("expert_used_count"),
        data_offset=header.data_offset,
        file_size=header.file_size,
        has_template=isinstance(meta.get("tokenizer.chat_template"), str),
    )


def _broken(label: str, text: str) -> ModelFileBroken:
    return ModelFileBroken(f"{label} {text}", hint="localmind models list, then `localmind models pull NAME`")
