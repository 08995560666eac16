"""What streams: from an engine to the daemon, from the daemon to every client.

Each event is a frozen struct with its class name as tag, consumed with `match`. `encode` and
`decode` turn them into builtins for msgpack and JSON. A stream ends with exactly one Done or Failed.
"""

from typing import Any, Literal, cast, get_args

import msgspec

from localmind.errors import LocalmindError, from_wire, to_wire
from localmind.messages import CacheReport, Timings, Usage
from localmind.speech import Heard, Listening, Segment, Transcript, moment

FinishReason = Literal["stop", "length", "repetition", "tool_calls", "cancelled"]
"""Only conversations of our own end with "repetition" (assistant/circles.py): other programs decide for themselves."""


class Passage(msgspec.Struct, frozen=True):
    """A retrieved chunk with its score, and where it stands in its file."""

    number: int
    """1-based, as cited in the answer."""
    path: str
    """Absolute path of the file."""
    line_start: int
    """1-based, inclusive."""
    line_end: int
    page: int | None
    """1-based page of a paged document."""
    heading: str | None
    text: str
    score: float
    """Cosine similarity of the chunk to the query where known, else 0. Comparable within one search only."""
    chunk_id: int = 0

    @property
    def place(self) -> str:
        """`path:first-last`, `path p.N` for a paged document, or `path at 12:31` for a recording."""
        if self.page is not None:
            return f"{self.path} p.{self.page}"
        if (at := moment(self.path, self.line_start)) is not None:
            return f"{self.path} at {at}"
        return f"{self.path}:{self.line_start}-{self.line_end}"


class Logprob(msgspec.Struct, frozen=True):
    """A token and how likely the model found it, before sampling changed anything (natural logarithm)."""

    token: str
    bytes: bytes
    logprob: float
    id: int = -1


class TokenLogprob(msgspec.Struct, frozen=True):
    """One generated token with the likeliest alternatives, best first."""

    chosen: Logprob
    top: tuple[Logprob, ...] = ()


class TextDelta(msgspec.Struct, frozen=True, tag=True):
    """A piece of the answer; concatenated they are the answer."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens that completed this piece; only when asked for."""


class ReasoningDelta(msgspec.Struct, frozen=True, tag=True):
    """A piece of what the model thinks before it answers."""

    text: str


class ToolCallDelta(msgspec.Struct, frozen=True, tag=True):
    """A piece of a tool call. The first of an index carries id and name; `arguments` are to be concatenated."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Sources(msgspec.Struct, frozen=True, tag=True):
    """The passages behind the answer. Sent before the text; sent again after it with only the cited ones."""

    passages: tuple[Passage, ...]


class Progress(msgspec.Struct, frozen=True, tag=True):
    """How far a job is. `total` is None while unknown."""

    stage: str
    done: float
    total: float | None = None
    unit: str = ""
    """"B" for bytes, else a plural noun such as "files"."""
    text: str = ""
    rate: float | None = None
    """Units a second over the last seconds, where somebody measures it."""
    eta_s: float | None = None
    """Seconds until the end of the stage at that rate."""


class Done(msgspec.Struct, frozen=True, tag=True):
    """The last event of a stream that went well."""

    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    timings: Timings = Timings()
    model: str = ""
    cache: CacheReport = CacheReport()
    stop: str = ""
    """The asker's own stop string, where one of these ended it."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The last event of a stream that did not."""

    error: dict[str, Any]
    """As `errors.to_wire` makes it."""

    @classmethod
    def of(cls, error: LocalmindError) -> "Failed":
        return cls(to_wire(error))

    def exception(self) -> LocalmindError:
        return from_wire(self.error)


Event = (
    TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | Sources
    | Progress
    | Listening
    | Heard
    | Segment
    | Transcript
    | Done
    | Failed
)

_KINDS: dict[str, type[msgspec.Struct]] = {kind.__name__: kind for kind in get_args(Event)}


def encode(event: Event) -> dict[str, Any]:
    """Builtins with the class name under "type"."""
    data: dict[str, Any] = msgspec.to_builtins(event)
    return data


def decode(data: Any) -> Event:
    """The inverse of `encode`; raises msgspec.ValidationError for anything else."""
    # msgspec prepares a union anew with every call, which takes 10 µs a token; a class it remembers.
    kind = _KINDS.get(str(data.get("type"))) if isinstance(data, dict) else None
    return cast(Event, msgspec.convert(data, kind or Event))
