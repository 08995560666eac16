"""What a model can do and how it calls itself, read from its file without loading it.

Editors ask for every model's abilities before they show a list, so this takes milliseconds once a file. The header
was checked (models/gguf.py) before this looks for the two things which that check passes over: the whole chat template,
and whether the vocabulary has tokens for filling in the middle.
"""

import re
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localmind.catalog import ModelSpec
from localmind.models.gguf import read_facts, read_header
from localmind.models.store import Store

FIM_TOKENS = ("<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<PRE>", "▁<PRE>", "<|code_prefix|>", "<｜fim▁begin｜>")
"""As llama.cpp spells what begins a prefix."""
FIM_KEYS = ("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id")
THINKS = re.compile(r"</think>|\[/THINK\]|</seed:think>|END_THINKING|enable_thinking|reasoning_content|<\|channel\|>")
STRING = 8


_known: dict[str, "Traits"] = {}
_lock = threading.Lock()


@dataclass(slots=True, frozen=True)
class Traits:
    """Of one file."""

    architecture: str
    parameters: int
    context: int
    """Tokens it was trained for."""
    quantisation: str
    template: str | None
    """Jinja, as in the file."""
    fills: bool
    """It can fill in the middle."""
    thinks: bool
    header: dict[str, Any]
    """Keys of the header with a single value, the model's own first."""


def traits_of(spec: ModelSpec, store: Store) -> Traits:
    """Of a model. Raises ModelNotInstalled or ModelFileBroken.

    Takes up to 0.1 s for a large vocabulary and is remembered by content: call it in a thread.
    """
    if spec.format != "gguf":
        header = {
            "general.architecture": spec.family.lower(),
            "general.parameter_count": spec.parameters,
            f"{spec.family.lower()}.context_length": spec.context,
        }
        return Traits(spec.family.lower(), spec.parameters, spec.context, spec.quantisation, None, False, False, header)
    sha256 = store.show(spec.name).files[0].sha256
    with _lock:
        if sha256 not in _known:
            _known[sha256] = _of_gguf(store.locate(spec.name))
        return _known[sha256]


def _of_gguf(path: Path) -> Traits:
    header, facts = read_header(path), read_facts(path)
    with path.open("rb") as source:
        data = source.read(header.data_offset)
    template = _text(data, "tokenizer.chat_template")
    architecture = facts.architecture
    first = {
        "general.architecture": architecture,
        "general.basename": str(header.keys.get("general.basename") or facts.name or path.stem),
        "general.parameter_count": facts.n_params,
        f"{architecture}.context_length": facts.ctx_train,
    }
    single = {key: value for key, value in header.keys.items() if isinstance(value, str | int | float)}
    single.pop("tokenizer.chat_template", None)
    return Traits(
        architecture=architecture,
        parameters=facts.n_params,
        context=facts.ctx_train,
        quantisation=facts.quantisation,
        template=template,
        fills=any(key in header.keys for key in FIM_KEYS) or any(_counted(each) in data for each in FIM_TOKENS),
        thinks=bool(template and THINKS.search(template)),
        header={**first, **{key: value for key, value in single.items() if key not in first}},
    )


def _counted(text: str) -> bytes:
    """As a header holds a text: its length first, so that it is not found inside a longer one."""
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _text(data: bytes, key: str) -> str | None:
    marked = _counted(key) + struct.pack("<I", STRING)
    at = data.find(marked)
    if at < 0:
        return None
    start = at + len(marked) + 8
    (length,) = struct.unpack_from("<Q", data, start - 8)
    return data[start : start + length].decode("utf-8", "replace")
