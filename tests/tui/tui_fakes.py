"""A daemon that says what a test tells it to, when the test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from textual.pilot import Pilot

from localmind.errors import LocalmindError
from localmind.events import Event
from localmind.messages import Message

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "models": [{"model": "smollm2:135m", "state": "loaded"}],
    "folders": [{"path": "/home/ines/samples", "files": 29, "state": "ready"}],
    "uptime_s": 42.0,
}


class FakeClient:
    """Implements the app's `Assistant`. Each stream takes from a queue that the test fills with `say`."""

    def __init__(self, *, status: dict[str, Any] | None = None) -> None:
        self.status_answer: dict[str, Any] | LocalmindError = STATUS if status is None else status
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.chats: list[list[Message]] = []
        self.open_streams = 0
        self.streams_closed = 0
        self.closed = False
        self._events: asyncio.Queue[Event | LocalmindError | None] = asyncio.Queue()

    def say(self, *events: Event | LocalmindError | None) -> None:
        """What the stream gives next. An error is raised; None ends the stream without a last event."""
        for event in events:
            self._events.put_nowait(event)

    def ask(
        self, question: str, *, folder: str | None = None, model: str | None = None, thread: str | None = None
    ) -> AsyncIterator[Event]:
        self.asked.append((question, folder, model))
        return self._stream()

    def chat(self, messages: Sequence[Message], *, model: str | None = None) -> AsyncIterator[Event]:
        self.chats.append(list(messages))
        return self._stream()

    async def status(self) -> dict[str, Any]:
        if isinstance(self.status_answer, LocalmindError):
            raise self.status_answer
        return self.status_answer

    async def close(self) -> None:
        self.closed = True

    async def _stream(self) -> AsyncIterator[Event]:
        self.open_streams += 1
        try:
            while (event := await self._events.get()) is not None:
                if isinstance(event, LocalmindError):
                    raise event
                yield event
        finally:
            self.open_streams -= 1
            self.streams_closed += 1


async def wait_until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Let the app work until `condition` holds. The timeout of the test is the limit."""
    while not condition():
        await pilot.pause(0.01)
