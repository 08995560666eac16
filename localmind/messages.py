"""The values that a conversation is made of: what goes into a model and what it counted.

Pure and frozen, no I/O. They are msgspec structs rather than dataclasses because the same values
cross process borders as msgpack and HTTP as JSON, and msgspec checks types while decoding.
"""

from typing import Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True):
    """One message as a chat template sees it."""

    role: Role
    content: str


class SamplingParams(msgspec.Struct, frozen=True):
    """How the next token is chosen, and when to stop. The defaults are llama.cpp's."""

    temperature: float = 0.8
    """0 means greedy: the most likely token, always."""
    top_k: int = 40
    """0 means all tokens."""
    top_p: float = 0.95
    min_p: float = 0.05
    max_tokens: int | None = None
    """None: until the model ends its turn or the context is full."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    ignore_eos: bool = False
    """Never sample an end-of-generation token; for benchmarks."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens that a request cost."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Part of prompt_tokens that was not evaluated because its KV cells were still there."""


class Timings(msgspec.Struct, frozen=True):
    """Where a request's time went, in milliseconds of wall clock."""

    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
