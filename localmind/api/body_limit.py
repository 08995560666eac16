"""No body is read beyond what a request can sensibly hold, announced or not.

The limit stands before every route. Uploads of sound go to disk piece by piece and have a limit of their own.
"""

from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from localmind.api.security import App, Receive, Scope, Send
from localmind.api.streams import error_response
from localmind.errors import TooLarge

MOST_BYTES = 64 * 1024 * 1024
"""A prompt that fills a context of a million tokens is about 5 MB of JSON; images in base64 come on top."""
OWN_LIMIT = ("/v1/audio/", "/localmind/v1/voice", "/localmind/v1/transcribe", "/localmind/v1/listen")


class BodyLimit:
    """ASGI middleware."""

    def __init__(self, app: App, most: int = MOST_BYTES) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(OWN_LIMIT):
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > self._most:
            await error_response(scope["path"], self._error())(scope, receive, send)
            return
        read = 0

        async def limited() -> MutableMapping[str, Any]:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise HTTPException(413, self._error().message)
            return message

        await self._app(scope, limited, send)

    def _error(self) -> TooLarge:
        return TooLarge(f"a body may have {self._most // 2**20} MiB at most")
