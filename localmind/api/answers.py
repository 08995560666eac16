"""The one reading of a generation's events, for every dialect: whole, or written down piece by piece.

A dialect gives a Writer, which knows its words and nothing of generators; `written` drives it and closes
the generation whatever happens. Whoever wants the answer at once gets it as `Answer`s from `collected`.
"""

import contextlib
import json
import secrets
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from localmind.api.choices import At
from localmind.errors import InternalError
from localmind.events import (
    Done,
    Event,
    Failed,
    Passage,
    ReasoningDelta,
    Sources,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from localmind.messages import ToolCall


class Writer(Protocol):
    """A dialect's way to write one stream down. Each method returns whole lines or events, or nothing."""

    def begin(self) -> bytes: ...
    def event(self, choice: int, event: Event) -> bytes: ...
    def end(self) -> bytes:
        """After the last event, also after a failure."""
        ...


async def written(events: AsyncGenerator[At, None], writer: Writer) -> AsyncGenerator[bytes, None]:
    """A stream's bytes. Its client gets the end of the dialect's form, however the generation ended."""
    async with contextlib.aclosing(events):
        if head := writer.begin():
            yield head
        async for at in events:
            if piece := writer.event(at.choice, at.event):
                yield piece
        if tail := writer.end():
            yield tail


async def collected(events: AsyncGenerator[At, None], n: int = 1) -> list["Answer"]:
    """The answers to all choices once they are complete. Raises the stream's error."""
    answers = [Answer() for _ in range(n)]
    async with contextlib.aclosing(events):
        async for at in events:
            if isinstance(at.event, Failed):
                raise at.event.exception()
            answers[at.choice].take(at.event)
    return answers


class Answer:
    """One choice, put together from its events."""

    def __init__(self) -> None:
        self._done: Done | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self.logprobs: list[TokenLogprob] = []
        self.sources: tuple[Passage, ...] | None = None
        """Of an answer from the files: the passages it rests on."""

    def take(self, event: Event) -> None:
        match event:
            case TextDelta(text, logprobs):
                self._text.append(text)
                self.logprobs += logprobs
            case ReasoningDelta(text):
                self._reasoning.append(text)
            case ToolCallDelta(index, call_id, name, arguments):
                if index not in self._calls:
                    self._calls[index] = {"id": call_id or new_call_id(), "name": name, "arguments": []}
                self._calls[index]["arguments"].append(arguments)
            case Sources(passages):
                self.sources = passages
            case Done():
                self._done = event

    @property
    def done(self) -> Done:
        if self._done is None:
            raise InternalError("the answer has no end", hint="localmind doctor")
        return self._done

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """In their order, arguments as the model wrote them."""
        return tuple(
            ToolCall(call["id"], call["name"], "".join(call["arguments"])) for _, call in sorted(self._calls.items())
        )


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def as_object(arguments: str) -> dict[str, Any]:
    """Arguments as the object that they are, for dialects that take nothing else."""
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        value = arguments
    return value if isinstance(value, dict) else {"arguments": value}
