"""One request on its way through the loop: what was asked, who gets the answer, and its times."""

from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from localmind.engine.backend import Sampler
from localmind.engine.constraint import Constraint
from localmind.engine.sequence import Sequence as TokenSequence
from localmind.engine.sequence import State
from localmind.engine.speculate import Speculator
from localmind.engine.text import TextStream
from localmind.errors import LocalmindError
from localmind.events import TokenLogprob
from localmind.messages import SamplingParams, Timings, Usage


@dataclass(slots=True, frozen=True)
class Ask:
    """A request as it enters the loop, already tokens."""

    prompt: "array[int]"
    params: SamplingParams = field(default_factory=SamplingParams)
    constraint: Constraint | None = None
    shown: frozenset[str] = frozenset()
    """Control tokens whose text belongs to the answer."""
    client: str = ""
    background: bool = False
    adapters: Hashable = ()
    given: "array[int]" = field(default_factory=lambda: array("i"))
    """Tokens that follow the prompt and are not chosen: only how likely they were is wanted."""
    known: tuple[TokenLogprob, ...] = ()
    """What is said of tokens before those."""


@dataclass(slots=True, frozen=True)
class Outcome:
    finish_reason: Literal["stop", "length"]
    usage: Usage
    timings: Timings
    sequence: TokenSequence
    """For what it knows about reuse; it may be idle, or another's, by the time it is looked at."""
    stop: str = ""
    """The stop string that ended it."""
    hurried: bool = False
    """What it had to look like was completed in the last tokens it might have; `finish_reason` is "length" then."""


class Sink(Protocol):
    """Where a request's answer goes: any number of texts, then exactly one of done and failed. One thread calls it."""

    def text(self, text: str, logprobs: Sequence[TokenLogprob]) -> None: ...
    def done(self, outcome: Outcome) -> None: ...
    def failed(self, error: LocalmindError) -> None: ...


@dataclass(slots=True, eq=False)
class Generation:
    sequence: TokenSequence
    ask: Ask
    sink: Sink
    submitted: float
    speculator: Speculator | None = None
    text: TextStream = field(init=False)
    sampler: Sampler | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list)
    """Of tokens whose text is still held back."""
    started: float = 0.0
    first_token: float = 0.0
    spoke: bool = False
    """The first text is on its way."""
    parked_since: float = 0.0
    parked: float = 0.0
    guesses: bool = True
    """What is drafted for it may be wrong."""
    drafted: int = 0
    accepted: int = 0

    def __post_init__(self) -> None:
        self.text = TextStream(self.ask.params.stop)
        self.logprobs = list(self.ask.known)

    @property
    def to_score(self) -> int:
        """Given tokens that are not evaluated yet."""
        return max(0, len(self.ask.given) - self.sequence.generated)

    @property
    def ahead(self) -> "array[int]":
        """Tokens that come next, whatever the model says."""
        return self.sampler.ahead if self.sampler is not None else array("i")

    @property
    def hurried(self) -> bool:
        """It was brought to its end because no more tokens were left."""
        return self.sampler is not None and self.sampler.hurried

    def watch_parking(self, now: float) -> None:
        """Keep the time that it spends parked."""
        if self.sequence.state is State.PARKED:
            self.parked_since = self.parked_since or now
        elif self.parked_since:
            self.parked += now - self.parked_since
            self.parked_since = 0.0

    def close(self) -> None:
        """Free what native code holds for it."""
        if self.sampler is not None:
            self.sampler.close()
        if self.speculator is not None:
            self.speculator.close()
