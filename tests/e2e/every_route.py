"""All that can be asked of a daemon, from its own document and beyond, for tests of who may ask."""

import json
import urllib.request
from typing import Any

from conftest_e2e import PATIENCE_S, Home

Route = tuple[str, str]
"""Method and path."""

EXTRA: list[Route] = [
    *(("GET", path) for path in ("/nothing", "/docs", "/redoc", "/openapi.json", "/", "/models", "/api/hello", "/mcp")),
    *(("POST", path) for path in ("/", "/chat/completions", "/completions", "/embeddings", "/rerank", "/mcp")),
    *(("POST", path) for path in ("/reranking", "/v1/reranking", "/api/event_logging/batch", "//v1//chat/completions")),
    ("DELETE", "/v1/models"),
    ("HEAD", "/api/tags"),
    ("TRACE", "/v1/models"),
]
"""What the document does not list: aliases, the greeting, MCP, and what is not there at all."""


def told(home: Home, path: str) -> Any:
    """What a program of this user is told there, over TCP."""
    with urllib.request.urlopen(f"http://127.0.0.1:{home.port}{path}", timeout=PATIENCE_S) as reply:
        return json.load(reply)


def every_route(home: Home) -> list[Route]:
    paths: dict[str, Any] = told(home, "/openapi.json")["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert len(found) > 60
    return [(method, path.replace("{", "").replace("}", "")) for method, path in found] + EXTRA
