"""What the store gives back: a thread, its turns and their messages, as frozen values.

They know nothing of tables. `Transcript.messages` is the one place that decides what of a stored
thread a model gets to see again.
"""

from dataclasses import dataclass
from typing import Literal

from localmind.errors import LocalmindError
from localmind.events import Passage
from localmind.messages import Message, Role, Timings, Usage

State = Literal["streaming", "done", "stopped", "failed"]

TITLE_LENGTH = 60


@dataclass(slots=True, frozen=True)
class Thread:
    """One line of the list of threads. Times are Unix seconds."""

    id: str
    title: str
    """The user's, else the beginning of the first question."""
    folder: str | None
    """The watched folder that its questions are about; None for all of them."""
    created_at: float
    updated_at: float
    turns: int


@dataclass(slots=True, frozen=True)
class StoredMessage:
    """One message with what became of it. Only an answer can be anything but done."""

    id: int
    turn_id: int
    role: Role
    content: str
    state: State
    model: str | None
    finish_reason: str | None
    error: LocalmindError | None
    """Why an answer failed."""
    usage: Usage
    timings: Timings
    created_at: float
    finished_at: float | None
    sources: tuple[Passage, ...] = ()


@dataclass(slots=True, frozen=True)
class Turn:
    """One question and the answers to it: several when it was asked to try again."""

    id: int
    number: int
    """1-based within the thread."""
    messages: tuple[StoredMessage, ...]

    @property
    def question(self) -> StoredMessage:
        return self.messages[0]

    @property
    def answer(self) -> StoredMessage | None:
        """The newest answer, whole or not."""
        return self.messages[-1] if self.messages[-1].role == "assistant" else None


@dataclass(slots=True, frozen=True)
class Transcript:
    """A thread with all its turns, oldest first."""

    thread: Thread
    turns: tuple[Turn, ...]

    @property
    def messages(self) -> list[Message]:
        """The messages as a chat template wants them: each question, and its newest answer unless that is empty."""
        said: list[Message] = []
        for turn in self.turns:
            said.append(Message(turn.question.role, turn.question.content))
            if turn.answer is not None and turn.answer.content:
                said.append(Message("assistant", turn.answer.content))
        return said


def title_of(question: str) -> str:
    """The first line of a question, cut at a word."""
    line = " ".join(question.strip().partition("\n")[0].split())
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[: TITLE_LENGTH - 1]
    return (cut.rpartition(" ")[0] or cut) + "…"
