"""What the app needs of the daemon, as a protocol, and nothing about how it is reached."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from localmind.events import Event
from localmind.messages import Message


class Assistant(Protocol):
    """`localmind.client.AsyncClient`, or a fake. Calls raise LocalmindError; closing an iterator cancels."""

    def ask(
        self, question: str, *, folder: str | None = None, model: str | None = None, thread: str | None = None
    ) -> AsyncIterator[Event]:
        """Answer from the watched folders: Sources, text, the Sources that were cited, Done or Failed."""

    def chat(self, messages: Sequence[Message], *, model: str | None = None) -> AsyncIterator[Event]:
        """Let the model continue a conversation, without files."""

    async def status(self) -> dict[str, Any]:
        """`version`, `uptime_s`, `models` (each `model`, `state`) and `folders` (each `path`, `files`, `state`)."""

    async def close(self) -> None:
        """Give the connection back."""
