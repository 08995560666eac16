"""What the app needs of the daemon, as a protocol, and nothing about how it is reached."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from localmind.events import Event


class Daemon(Protocol):
    """`localmind.client.AsyncClient`, or a fake. Calls raise LocalmindError; closing an iterator hangs up."""

    async def ensure(self) -> None:
        """Make sure that a daemon answers, starting one if need be."""

    async def status(self) -> dict[str, Any]:
        """`version`, `uptime_s`, `models` (each `model`, `state`) and `folders` (each `path`, `files`, `state`)."""

    async def get(self, path: str, /, **query: Any) -> Any:
        """GET of the native API."""

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST of the native API, answered at once."""

    async def send(self, path: str, content: bytes) -> None:
        """POST of bytes as they are."""

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """PATCH of the native API."""

    async def delete(self, path: str, /, **query: Any) -> Any:
        """DELETE of the native API."""

    async def text(self, path: str, /, **query: Any) -> str:
        """GET of a document."""

    async def content(self, path: str) -> bytes:
        """GET of bytes as they are."""

    async def begin(
        self,
        question: str,
        *,
        thread: str | None = None,
        mode: str | None = None,
        folder: str | None = None,
        model: str | None = None,
        attachments: Sequence[Mapping[str, str]] = (),
        images: Sequence[Mapping[str, str]] = (),
        beside: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Have a question stored and answered; the answer is `messages[-1]`."""

    def follow(self, message_id: int, after: int = 0) -> "AsyncIterator[tuple[int, Event]]":
        """The events of an answer from a position on, each with its position."""

    def events(self, path: str, body: Mapping[str, Any]) -> "AsyncIterator[Event]":
        """POST of something that takes a while; its events."""

    async def close(self) -> None:
        """Give the connection back."""
