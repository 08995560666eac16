"""Messages as the daemon tells them, as values that the widgets show."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from localmind.events import FinishReason, Passage
from localmind.messages import Timings, Usage
from localmind_tui.remembered import Picture

State = Literal["streaming", "done", "stopped", "failed"]


@dataclass(slots=True, frozen=True)
class Said:
    """One message and what became of it."""

    id: int
    turn: int
    role: str
    content: str
    state: State = "done"
    branches: tuple[int, ...] = ()
    """Ids of its siblings, itself included, oldest first."""
    reasoning: str = ""
    attachments: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    """Images that went with a question."""
    model: str | None = None
    mode: str = "files"
    folder: str | None = None
    finish_reason: FinishReason | None = None
    error: str | None = None
    hint: str | None = None
    usage: Usage = Usage()  # noqa: RUF009 frozen
    timings: Timings = Timings()  # noqa: RUF009 frozen
    sources: tuple[Passage, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Said":
        known = {name: data[name] for name in _PLAIN if name in data}
        return cls(
            **known,
            branches=tuple(data.get("branches") or ()),
            attachments=tuple(data.get("attachments") or ()),
            pictures=msgspec.convert(data.get("images") or (), tuple[Picture, ...]),
            usage=msgspec.convert(data.get("usage") or {}, Usage),
            timings=msgspec.convert(data.get("timings") or {}, Timings),
            sources=msgspec.convert(data.get("sources") or (), tuple[Passage, ...]),
        )

    @property
    def branch(self) -> tuple[int, int]:
        """1-based place among the branches, and how many there are."""
        if self.id not in self.branches:
            return 1, 1
        return self.branches.index(self.id) + 1, len(self.branches)

    def beside(self, step: int) -> int | None:
        """The id of the branch `step` places further; None at the ends."""
        place = self.branch[0] - 1 + step
        return self.branches[place] if self.id in self.branches and 0 <= place < len(self.branches) else None


_PLAIN = (
    *("id", "turn", "role", "content", "state", "reasoning", "model", "mode", "folder"),
    *("finish_reason", "error", "hint"),
)


@dataclass(slots=True, frozen=True)
class Exchange:
    """A question and the answer that is shown to it."""

    question: Said
    answer: Said | None


def exchanges(messages: Iterable[Mapping[str, Any]]) -> list[Exchange]:
    """The turns of a transcript, oldest first."""
    found: list[Exchange] = []
    for data in messages:
        said = Said.of(data)
        if said.role == "assistant" and found and found[-1].question.turn == said.turn:
            found[-1] = Exchange(found[-1].question, said)
        elif said.role != "assistant":
            found.append(Exchange(said, None))
    return found
