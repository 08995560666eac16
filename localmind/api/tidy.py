"""Requests made plain before routes see them: paths without double slashes, JSON whatever it is called.

Clients join a base that ends in a slash with a path that begins with one, and curl's `-d`, in every example of
Ollama's, says that it sends a form. A page of the web could use that to pass a browser's own check; it cannot pass
the gate, which is outside of this and refuses foreign origins whatever the content type.
"""

import re

from localmind.api.security import App, Receive, Scope, Send

SLASHES = re.compile(r"/{2,}")
NOT_JSON = (b"multipart/", b"application/octet-stream", b"audio/")
"""Types that mean what they say."""


class Tidy:
    """ASGI middleware."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if "//" in scope["path"]:
                path = SLASHES.sub("/", scope["path"])
                scope = {**scope, "path": path, "raw_path": path.encode("latin-1", "replace")}
            headers = scope["headers"]
            given = next((value.lower() for name, value in headers if name == b"content-type"), b"")
            if scope["method"] not in ("GET", "HEAD") and not given.startswith((b"application/json", *NOT_JSON)):
                rest = [pair for pair in headers if pair[0] != b"content-type"]
                scope = {**scope, "headers": [*rest, (b"content-type", b"application/json")]}
        await self._app(scope, receive, send)
