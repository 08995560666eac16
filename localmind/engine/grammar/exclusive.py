"""Whether the alternatives of a `oneOf` exclude each other, so that a grammar may take them as an `anyOf`.

Under `oneOf` a value that two alternatives allow is not valid, and a grammar cannot count. What is usual excludes
itself: other types, other constants, a property with another constant in each, ranges that do not meet. Anything
else is refused rather than guessed. It compiles nothing.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any

from localmind.engine.grammar.flat import Document, Schema, merge, parts, wrong
from localmind.errors import InvalidRequest

MAX_DEPTH = 6
"""Objects inside of objects that are looked into."""

RANGES = {"number": ("minimum", "maximum"), "string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}

KINDS: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: KINDS["number"](value) and float(value).is_integer(),
}


def check_exclusive(document: Document, schema: Schema, pointer: str) -> None:
    """Raises InvalidRequest, with its JSON pointer, for a `oneOf` of which two alternatives may hold at once."""
    options = [
        document.flatten(option, f"{pointer}/oneOf/{index}")
        for index, option in enumerate(parts(schema, "oneOf", pointer))
    ]
    for (first, some), (second, others) in combinations(enumerate(options), 2):
        for one in some:
            for other in others:
                if _meet(document, one, other, pointer, 0):
                    raise wrong(
                        "oneOf",
                        pointer,
                        f"may hold for its alternatives {first} and {second} at once, which a grammar cannot rule out; "
                        "write anyOf, or give them a property with another constant in each",
                    )


def _meet(document: Document, one: Schema, other: Schema, pointer: str, depth: int) -> bool:
    """Whether a value may be valid under both; True also where that is not known."""
    try:
        merged = merge(one, other, pointer)
    except InvalidRequest:
        return True  # two patterns: whether they meet is not known
    return merged is not None and _possible(document, merged, pointer, depth)


def _possible(document: Document, flat: Schema, pointer: str, depth: int) -> bool:
    kinds = flat.get("type", list(KINDS))
    if "enum" in flat and not any(KINDS[kind](value) for kind in kinds for value in flat["enum"]):
        return False
    if len(kinds) != 1:
        return True
    kind = "number" if kinds[0] == "integer" else kinds[0]
    if kind in RANGES and _empty(flat, *RANGES[kind]):
        return False
    return kind != "object" or all(
        _property_possible(document, flat, name, pointer, depth) for name in flat.get("required", ())
    )


def _property_possible(document: Document, flat: Schema, name: str, pointer: str, depth: int) -> bool:
    if depth == MAX_DEPTH:
        return True
    schema = flat.get("properties", {}).get(name, flat.get("additionalProperties", True))
    options = document.flatten(schema, f"{pointer}/properties/{name}")
    return any(_possible(document, option, pointer, depth + 1) for option in options)


def _empty(flat: Schema, least: str, most: str) -> bool:
    """Whether no number is between the bounds; exclusive ones are written Minimum and Maximum behind "exclusive"."""
    for lower in (least, "exclusiveMinimum"):
        for upper in (most, "exclusiveMaximum"):
            low, high = flat.get(lower), flat.get(upper)
            if isinstance(low, int | float) and isinstance(high, int | float):
                closed = (lower, upper) == (least, most)
                if low > high or (low == high and not closed):
                    return True
    return False
