"""A small writer of GGUF files, good and bad."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Q8_0, F32 = 8, 0


@dataclass(frozen=True)
class ListOf:
    """An array of one GGUF type."""

    kind: int
    items: Sequence[Any]


@dataclass(frozen=True)
class Short:
    """A number of 16 bits."""

    number: int


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value(item: Any) -> bytes:
    match item:
        case bool():
            return struct.pack("<I?", 7, item)
        case Short(number):
            return struct.pack("<IH", 2, number)
        case int():
            return struct.pack("<II", 4, item)
        case float():
            return struct.pack("<If", 6, item)
        case str():
            return struct.pack("<I", 8) + text(item)
        case ListOf(kind, items):
            head = struct.pack("<IIQ", 9, kind, len(items))
            if kind == 8:
                return head + b"".join(text(part) for part in items)
            return head + b"".join(struct.pack("<i" if kind == 5 else "<f", part) for part in items)
    raise AssertionError(item)


def header(
    meta: Mapping[str, Any], tensors: Sequence[tuple[str, tuple[int, ...], int, int]], version: int = 3
) -> bytes:
    """Name, shape, type and offset of each tensor."""
    data = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(meta))
    for key, item in meta.items():
        data += text(key) + value(item)
    for name, shape, kind, offset in tensors:
        data += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        data += struct.pack("<IQ", kind, offset)
    return data


META = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "llama.block_count": 2,
    "llama.context_length": 4096,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": ListOf(8, [f"token {n}" for n in range(100)]),
    "tokenizer.ggml.scores": ListOf(6, [0.5] * 100),
    "tokenizer.ggml.token_type": ListOf(5, [1] * 100),
    "tokenizer.chat_template": "{{ messages }}",
}
TENSORS = [
    ("token_embd.weight", (64, 100), F32, 0),
    ("blk.0.attn_q.weight", (64, 64), Q8_0, 25600),
    ("blk.1.attn_q.weight", (64, 64), Q8_0, 25600 + 4352),
]
DATA_SIZE = 25600 + 2 * 4352


def whole_file(
    meta: Mapping[str, Any] = META, tensors: Sequence[tuple[str, tuple[int, ...], int, int]] = TENSORS
) -> bytes:
    head = header(meta, tensors)
    return head + bytes(-len(head) % 32) + bytes(DATA_SIZE)
