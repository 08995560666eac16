"""The header of a GGUF file: what a plan needs to know of a model, and whether the file is whole.

Written for files that a stranger made: every count is checked against the bytes that are there, so a
hostile header costs a bounded time and ends in ModelFileBroken, never in a crash or a huge allocation.
It reads no weights. The format is described in ggml's docs/gguf.md; block sizes are those of ggml-common.h.
"""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from localmind.errors import ModelFileBroken

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_KEYS = 1 << 14
MAX_TENSORS = 1 << 17
MAX_ELEMENTS = 1 << 23
"""Array elements that are walked through in one header: four times the largest vocabulary known, with its merges."""
MAX_HEADER = 1 << 28
MAX_KEY = 1 << 16
MAX_TEXT = 1 << 24
MAX_NAME = 64
MAX_DEPTH = 3
MAX_LAYERS = 4096
WINDOW = 1 << 18

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9

BLOCKS: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""ggml type: name, values in a block, bytes of a block."""


@dataclass(slots=True, frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    """From the start of the data section."""

    @property
    def values(self) -> int:
        count = 1
        for side in self.shape:
            count *= side
        return count

    @property
    def size(self) -> int | None:
        """Bytes; None for a type that this version does not know."""
        block = BLOCKS.get(self.type)
        return None if block is None else -(-self.values // block[1]) * block[2]


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
    data_offset: int
    file_size: int
    has_template: bool


@dataclass(slots=True, frozen=True)
class Header:
    """What stands before the weights. Of lists only the first numbers are kept, of lists of texts nothing."""

    keys: dict[str, Any]
    tensors: tuple[Tensor, ...]
    data_offset: int
    file_size: int


def read_header(path: Path) -> Header:
    """Read and check a header. Raises ModelFileBroken, also when the file ends before its last tensor."""
    try:
        size = path.stat().st_size
        with path.open("rb") as source:
            return _header(_Reader(source, size, path.name), size, path.name)
    except OSError as problem:
        raise ModelFileBroken(f"{path} cannot be read: {problem.strerror}", hint="localmind models list") from problem


def read_facts(path: Path) -> GgufFacts:
    """Read and check a model's header. Raises ModelFileBroken as `read_header` does."""
    return _summary(read_header(path), path.name)


def _header(reader: "_Reader", file_size: int, label: str) -> Header:
    if reader.take(4) != MAGIC:
        raise _broken(label, "is not a GGUF file")
    version = reader.number("I")
    if version not in VERSIONS:
        raise _broken(label, f"is GGUF version {version & 0xFFFFFFFF}, which this localmind does not read")
    n_tensors = reader.count(MAX_TENSORS, 24, "tensors")
    n_keys = reader.count(MAX_KEYS, 12, "keys")
    meta: dict[str, Any] = {}
    for _ in range(n_keys):
        key = reader.text(MAX_KEY)
        meta[key] = reader.value(reader.number("I"), 0)
    tensors = [_tensor(reader) for _ in range(n_tensors)]
    alignment = meta.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 16:
        raise _broken(label, "has a senseless alignment")
    data_offset = -(-reader.at // alignment) * alignment
    _check_extents(tensors, data_offset, file_size, label)
    return Header(meta, tuple(tensors), data_offset, file_size)


def _tensor(reader: "_Reader") -> Tensor:
    name = reader.text(MAX_KEY)
    dimensions = reader.number("I")
    if dimensions > 4:
        raise _broken(reader.label, f"has a tensor of {dimensions} dimensions")
    shape = tuple(reader.number("Q") for _ in range(dimensions))
    if any(side > 1 << 40 for side in shape):
        raise _broken(reader.label, "has a tensor of impossible size")
    return Tensor(name, shape, reader.number("I"), reader.number("Q"))


def _check_extents(tensors: list[Tensor], data_offset: int, file_size: int, label: str) -> None:
    needed = data_offset
    for tensor in tensors:
        needed = max(needed, data_offset + tensor.offset + (tensor.size or 0))
    if needed > file_size:
        raise ModelFileBroken(
            f"{label} is cut short: needs {needed} bytes, has {file_size}",
            hint="localmind models list, then `localmind models pull NAME` fetches it again",
        )


def _summary(header: Header, label: str) -> GgufFacts:
    meta, tensors = header.keys, header.tensors
    arch = meta.get("general.architecture")
    if not isinstance(arch, str) or not arch:
        raise _broken(label, "does not name its architecture")

    def number(key: str, default: int = 0) -> int:
        found = meta.get(f"{arch}.{key}", default)
        if isinstance(found, _Array):
            found = max(found.head, default=default)
        return found if isinstance(found, int) and 0 <= found < 1 << 31 else default

    layers = number("block_count")
    if not 1 <= layers <= MAX_LAYERS:
        raise _broken(label, f"says it has {layers} layers")
    embd, heads = number("embedding_length"), number("attention.head_count")
    head_dim = number("attention.key_length", embd // heads if heads else 0)
    value_dim = number("attention.value_length", head_dim)
    kv = meta.get(f"{arch}.attention.head_count_kv", heads)
    kv_heads = list(kv.head) if isinstance(kv, _Array) else [kv] * layers
    kv_heads += [heads] * (layers - len(kv_heads))
    by_layer = [0] * layers
    other = 0
    by_type: dict[int, int] = {}
    for tensor in tensors:
        size = tensor.size or 0
        by_type[tensor.type] = by_type.get(tensor.type, 0) + size
        found = re.match(r"blk\.(\d{1,5})\.", tensor.name)
        if found is not None and int(found[1]) < layers:
            by_layer[int(found[1])] += size
        else:
            other += size
    tokens = meta.get("tokenizer.ggml.tokens")
    most = max(by_type, key=lambda kind: by_type[kind], default=0)
    name = meta.get("general.name")
    return GgufFacts(
        architecture=arch[:MAX_NAME],
        name=name[:200] if isinstance(name, str) else "",
        n_layers=layers,
        n_embd=embd,
        n_heads=heads,
        head_dim=head_dim,
        ctx_train=number("context_length") or 2048,
        n_vocab=tokens.length if isinstance(tokens, _Array) else number("vocab_size"),
        n_params=sum(tensor.values for tensor in tensors),
        n_tensors=len(tensors),
        quantisation=BLOCKS[most][0] if most in BLOCKS else f"type {most}",
        kv_values=tuple(
            (count if isinstance(count, int) and 0 <= count <= 1 << 16 else heads) * (head_dim + value_dim)
            for count in kv_heads[:layers]
        ),
        layer_bytes=tuple(by_layer),
        other_bytes=other,
        data_offset=header.data_offset,
        file_size=header.file_size,
        has_template=isinstance(meta.get("tokenizer.chat_template"), str),
    )


@dataclass(slots=True, frozen=True)
class _Array:
    """An array of the header: its length and, for numbers, its first elements. Texts are not kept."""

    length: int
    head: tuple[int, ...] = ()


class _Reader:
    """Reads forward through a window, and knows how many bytes the file still has."""

    def __init__(self, source: IO[bytes], size: int, label: str) -> None:
        self.label = label
        self._source = source
        self._size = size
        self._window = b""
        self._pos = 0
        self._before = 0
        self._elements = MAX_ELEMENTS

    @property
    def at(self) -> int:
        return self._before + self._pos

    def take(self, length: int) -> bytes:
        start = self._need(length)
        return self._window[start : start + length]

    def number(self, kind: str) -> Any:
        start = self._need(struct.calcsize(kind))
        return struct.unpack_from("<" + kind, self._window, start)[0]

    def count(self, most: int, least_size: int, what: str) -> int:
        """A count of things of which each takes at least `least_size` bytes of what is left of the file."""
        count = int(self.number("Q"))
        if count > most:
            raise _broken(self.label, f"says it has {count} {what}, which cannot be")
        if count * least_size > self._size - self.at:
            raise self._cut()
        return count

    def text(self, most: int) -> str:
        return self.take(self.count(most, 1, "bytes in a name")).decode("utf-8", "replace")

    def value(self, kind: int, depth: int) -> Any:
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == STRING:
            return self.text(MAX_TEXT)
        if kind != ARRAY or depth >= MAX_DEPTH:
            raise _broken(self.label, f"holds a value of the unknown type {kind}")
        of = int(self.number("I"))
        if of in SCALARS:
            width = struct.calcsize(SCALARS[of])
            length = self.count(MAX_HEADER // width, width, "elements in a list")
            kept = min(length, MAX_LAYERS)
            head = struct.unpack(f"<{kept}{SCALARS[of]}", self.take(kept * width))
            self._skip((length - kept) * width)
            return _Array(length, head if isinstance(next(iter(head), None), int) else ())
        length = self.count(MAX_ELEMENTS, 8, "elements in a list")
        self._elements -= length
        if self._elements < 0:
            raise _broken(self.label, "has a header too long to be a model's")
        if of == STRING:
            self._skip_texts(length)
        else:
            for _ in range(length):
                self.value(of, depth + 1)
        return _Array(length)

    def _skip_texts(self, length: int) -> None:
        """Step over a vocabulary; the short way, within the window, takes a fifth of the time of the long one."""
        unpack = struct.Struct("<Q").unpack_from
        window, pos, end = self._window, self._pos, len(self._window)
        for _ in range(length):
            if pos + 8 <= end:
                after = pos + 8 + unpack(window, pos)[0]
                if after <= end:
                    pos = after
                    continue
            self._pos = pos
            self._skip(self.count(MAX_TEXT, 1, "bytes in a text"))
            window, pos, end = self._window, self._pos, len(self._window)
        self._pos = pos

    def _cut(self) -> ModelFileBroken:
        return _broken(self.label, f"is cut short or damaged inside its header: it has {self._size} bytes")

    def _need(self, length: int) -> int:
        """Make `length` bytes available and step over them; returns where they start in the window."""
        if self._pos + length > len(self._window):
            if self.at + length > min(self._size, MAX_HEADER):
                raise self._cut()
            rest = self._window[self._pos :]
            self._before += self._pos
            self._window = rest + self._source.read(max(WINDOW, length) - len(rest))
            self._pos = 0
            if len(self._window) < length:
                raise _broken(self.label, "became shorter while it was read")
        start = self._pos
        self._pos += length
        return start

    def _skip(self, length: int) -> None:
        if self._pos + length <= len(self._window):
            self._pos += length
            return
        if self.at + length > min(self._size, MAX_HEADER):
            raise self._cut()
        self._before = self.at + length
        self._source.seek(self._before, os.SEEK_SET)
        self._window, self._pos = b"", 0


def _broken(label: str, text: str) -> ModelFileBroken:
    return ModelFileBroken(f"{label} {text}", hint="localmind models list, then `localmind models pull NAME`")
