"""How large and deep a schema may be, checked without recursion before anything recursive looks at it."""

import json
from typing import Any

from localmind.errors import InvalidRequest

MAX_SIZE = 200_000
"""Characters of the schema as JSON."""

MAX_DEPTH = 64


def check_extent(schema: Any) -> None:
    """Refuse what is too deep or too large before anything recursive looks at it."""
    waiting = [(schema, 0)]
    size = 0
    while waiting:
        value, depth = waiting.pop()
        size += 1 + (len(value) if isinstance(value, str | dict | list) else 0)
        if depth > 2 * MAX_DEPTH:
            raise InvalidRequest(f"json schema: nested more than {MAX_DEPTH} deep")
        if size > MAX_SIZE:
            raise InvalidRequest("json schema: too large")
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise InvalidRequest("json schema: a key is no string")
            size += sum(map(len, value))
            waiting.extend((child, depth + 1) for child in value.values())
        elif isinstance(value, list | tuple):
            waiting.extend((child, depth + 1) for child in value)
    try:
        text = json.dumps(schema, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (ValueError, TypeError) as problem:
        raise InvalidRequest(f"json schema: {problem}") from problem
    if len(text) > MAX_SIZE:
        raise InvalidRequest("json schema: too large")
