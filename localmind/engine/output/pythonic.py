"""Calls written as Python: f(city="Paris", days=3). Parsed as a syntax tree, never evaluated."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any


def python_calls(source: str, offered: Sequence[str]) -> list[tuple[str, str]]:
    """Name and JSON arguments of each call; empty if this is anything but calls of offered tools by literals."""
    try:
        body = ast.parse(source.strip(), mode="eval").body
        nodes = body.elts if isinstance(body, ast.List | ast.Tuple) else [body]
        return [_call(node, offered) for node in nodes]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return []


def write_python(calls: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The same in the other direction, in LFM2's tokens."""
    written = (f"{name}({', '.join(f'{key}={value!r}' for key, value in values.items())})" for name, values in calls)
    return f"<|tool_call_start|>[{', '.join(written)}]<|tool_call_end|>"


def _call(node: ast.expr, offered: Sequence[str]) -> tuple[str, str]:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError
    name = ast.unparse(node.func)
    if name not in offered:
        raise ValueError
    values = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError
        values[keyword.arg] = ast.literal_eval(keyword.value)
    return name, json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode()
