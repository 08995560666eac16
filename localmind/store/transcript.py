"""What the store gives back: a thread, its turns and their messages, as frozen values.

A thread is a tree: a question can be asked differently and an answer be written again, and each leaf of
the tree is a conversation of its own. A `Transcript` is one path through it, or a window of that path.
They know nothing of tables. `messages_of` is the one place that decides what of a stored thread a model
gets to see again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import msgspec

from localmind.circles import first_rounds
from localmind.errors import LocalmindError
from localmind.events import Passage
from localmind.images import Image, Looks
from localmind.messages import Message, Role, Timings, Usage

State = Literal["streaming", "done", "stopped", "failed"]
Mode = Literal["files", "chat", "attached"]
"""What a question is answered from: the watched folders, the model alone, or what went with it or an earlier one."""

TITLE_LENGTH = 60
NO_PICTURES: Mapping[str, bytes] = MappingProxyType({})


class Attachment(msgspec.Struct, frozen=True):
    """A file that went with a question, as its text was then."""

    path: str
    text: str


class StoredImage(msgspec.Struct, frozen=True):
    """An image that went with a question; its bytes are in the store, under their hash."""

    name: str
    media_type: str
    width: int
    height: int
    size: int
    sha256: str

    @property
    def words(self) -> str:
        """`boiler.png, PNG 640×480, 12.3 kB`."""
        return f"{self.name}, {Looks(self.media_type, self.width, self.height, self.size).words}"


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a thread is answered; what is None is left to the model and its style."""

    model: str | None = None
    system: str | None = None
    """Instructions before everything else, in a chat without files."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    thinking: bool | None = None


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
    """All turns, those on other branches included."""
    options: Options = field(default_factory=Options)


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
    reasoning: str = ""
    """What a model thought before the answer."""
    attachments: tuple[Attachment, ...] = ()
    """Files that went with a question."""
    images: tuple[StoredImage, ...] = ()
    sources: tuple[Passage, ...] = ()


@dataclass(slots=True, frozen=True)
class Turn:
    """One question and the answer that the path goes through."""

    id: int
    number: int
    """1-based, in the order in which the thread's turns were asked."""
    mode: Mode
    folder: str | None
    """What this question was about; None for all watched folders."""
    filters: str | None
    """What its files had to be besides, as whoever asked wrote it down; None for any."""
    question: StoredMessage
    answer: StoredMessage | None
    questions: tuple[int, ...]
    """Message ids of the question in all its wordings, this one included, oldest first."""
    answers: tuple[int, ...]
    """Message ids of all answers to this wording, oldest first."""

    @property
    def about_attached(self) -> bool:
        """Whether it is about files or images that went with it, or with one before it, and not about the folders."""
        return self.mode == "attached" or bool(self.question.attachments or self.question.images)

    @property
    def messages(self) -> tuple[StoredMessage, ...]:
        return (self.question,) if self.answer is None else (self.question, self.answer)


@dataclass(slots=True, frozen=True)
class Transcript:
    """A path through a thread, oldest first, or the part of it that was asked for."""

    thread: Thread
    turns: tuple[Turn, ...]
    start: int = 0
    """Turns of the path before the first one here."""
    total: int = 0
    """Turns of the whole path."""


@dataclass(slots=True, frozen=True)
class Hit:
    """A message that a search found, or a thread found by its title."""

    thread: Thread
    message_id: int | None
    """None when the title was found."""
    role: Role | None
    created_at: float
    snippet: tuple[tuple[str, bool], ...]
    """Pieces of the text around, each with whether it is what was looked for."""


def messages_of(turns: Iterable[Turn], pictures: Mapping[str, bytes] = NO_PICTURES) -> list[Message]:
    """The messages as a chat template wants them: each question, and its answer unless that is empty.

    `pictures` are the bytes of images by their hash; in place of one that is not among them stands its name.
    """
    said: list[Message] = []
    for turn in turns:
        asked = turn.question
        shown = [each for each in asked.images if each.sha256 in pictures]
        images = tuple(Image(each.media_type, pictures[each.sha256]) for each in shown)
        unseen = "".join(f"[{each.words}: not shown to you]\n" for each in asked.images if each not in shown)
        text = named(with_attachments(asked.content, asked.attachments), [each.name for each in asked.images])
        said.append(Message(asked.role, unseen + text, images=images))
        if turn.answer is not None and turn.answer.content:
            circles = turn.answer.finish_reason == "repetition"  # all of it is kept and shown, and not told again
            said.append(Message("assistant", first_rounds(turn.answer.content) if circles else turn.answer.content))
    return said


def with_attachments(question: str, attachments: Iterable[Attachment]) -> str:
    """A question as a model reads it: the files first, since small models look at the end."""
    files = "".join(f"File {attached.path}:\n\n{attached.text.strip()}\n\n" for attached in attachments)
    return files + question


def named(question: str, images: Sequence[str]) -> str:
    """A question with the names of its images, where there are several to tell apart."""
    if len(images) < 2:
        return question
    return f"Images, in this order: {', '.join(images)}\n\n{question}"


def title_of(question: str) -> str:
    """The first line of a question, cut at a word."""
    line = " ".join(question.strip().partition("\n")[0].split())
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[: TITLE_LENGTH - 1]
    return (cut.rpartition(" ")[0] or cut) + "…"
