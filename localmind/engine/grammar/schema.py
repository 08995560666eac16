"""JSON Schema to GBNF rules."""

from typing import Any

from localmind.engine.grammar.gbnf import render
from localmind.errors import InvalidRequest


def schema_to_gbnf(schema: Any, *, root: str = "root") -> str:
    """A whole grammar whose rule `root` is one JSON value valid under `schema`. Raises InvalidRequest."""
    name, found = rules(schema, f"{root}-value")
    return render({root: name, **found})


def rules(schema: Any, prefix: str) -> tuple[str, dict[str, str]]:
    """The name of the schema's first rule, and right sides by rule name; every name begins with `prefix`
    (lower case letters, digits and dashes). Raises InvalidRequest."""
    if schema not in ({}, True):
        raise InvalidRequest("json schema: only {} is expressed")
    text = '"\\"" [^"\\\\\\x00-\\x1F\\x7F]* "\\""'
    return prefix, {prefix: f'{text} | [0-9]+ | "true" | "false" | "null"'}
