"""The values that a conversation is made of: what goes into a model and what it counted.

Pure and frozen, no I/O. They are msgspec structs rather than dataclasses because the same values
cross process borders as msgpack and HTTP as JSON, and msgspec checks types while decoding.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from localmind.images import Image

Role = Literal["system", "user", "assistant", "tool"]
Priority = Literal["interactive", "background"]


class ToolCall(msgspec.Struct, frozen=True):
    """A function that the model wants called."""

    id: str
    name: str
    arguments: str
    """JSON text of an object, as the model wrote it."""


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    """JSON Schema of the arguments, an object."""
    strict: bool = False
    """Arguments must match the schema; otherwise they are only asked to."""


class ToolUse(msgspec.Struct, frozen=True):
    """The tools of a request and how freely the model chooses among them."""

    tools: tuple[Tool, ...] = ()
    choice: Literal["auto", "none", "required"] = "auto"
    name: str | None = None
    """With "required": the one function that must be called."""
    parallel: bool = True
    """More than one call in an answer is allowed."""


class ResponseFormat(msgspec.Struct, frozen=True):
    """What the text of an answer must look like. At most one of the two."""

    json_schema: Any = None
    """A JSON Schema (dict or bool); `{}` means any JSON object."""
    grammar: str | None = None
    """GBNF with a rule `root`, as llama.cpp reads it."""


ANY_TEXT = ResponseFormat()


class Message(msgspec.Struct, frozen=True):
    """One message as a chat template sees it."""

    role: Role
    content: str
    reasoning: str = ""
    """What an assistant thought before `content`."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """Of a tool's message: which call it answers."""
    name: str | None = None
    images: tuple[Image, ...] = ()
    """In the order in which they stand in `content`. Only models elsewhere take any."""


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
    min_tokens: int = 0
    """No end-of-generation token before so many."""
    typical_p: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    repeat_penalty: float = 1.0
    """1 is none."""
    repeat_last_n: int = 64
    """Tokens that the three penalties look back on; -1: the whole context."""
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    """0 switches DRY off."""
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: Literal[0, 1, 2] = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Pairs of token id and what is added to its logit."""
    logprobs: int | None = None
    """None: not wanted. Else the number of alternatives beside the chosen token's own, 0 to 20."""
    stated: tuple[str, ...] = ()
    """Fields that were asked for at the very value of their default: elsewhere, other defaults hold."""


def stated(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """`SamplingParams.stated` of what somebody asked for; None is not asked for."""
    fields = zip(SamplingParams.__struct_fields__, SamplingParams.__struct_defaults__, strict=True)
    return tuple(name for name, default in fields if default is not None and asked.get(name) == default)


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
    parked_ms: float = 0.0
    """Waiting with its cells given to others, inside prefill_ms or decode_ms."""
    drafted_tokens: int = 0
    """Tokens that speculation proposed."""
    accepted_tokens: int = 0
    """Those of them that the model agreed with."""


class CacheReport(msgspec.Struct, frozen=True):
    """Why so much of a prompt had to be evaluated, and no more."""

    cached_tokens: int = 0
    source: Literal["none", "pool", "running", "ram", "disk"] = "none"
    """Where the reused cells came from."""
    matched_tokens: int = 0
    """Length of the longest common beginning with anything kept; can exceed cached_tokens."""
    explanation: str = ""
    """One sentence: "first differs at token 143: …"."""
