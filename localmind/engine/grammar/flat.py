"""What several schemas that hold at once say together.

`allOf`, and keywords that stand beside `$ref` or `anyOf`, are merged into one schema a possibility,
keyword by keyword as JSON Schema defines them, so that the rest of the compiler meets neither. Merged
subschemas become an `allOf` again and are merged when it is their turn, so recursion costs nothing here.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from localmind.errors import InvalidRequest

MAX_OPTIONS = 256
MAX_VISITS = 20_000

UNSUPPORTED = [
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
    "contains",
    "minContains",
    "maxContains",
    "multipleOf",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "$dynamicRef",
    "$recursiveRef",
]
"""Assertions that no grammar of reasonable size keeps. What is unknown is an annotation, as the specification says."""

COMBINING = ("$ref", "allOf", "anyOf", "oneOf")

ASSERTIONS = [
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "nullable",
    "unevaluatedProperties",
]
"""Keywords that say anything, besides the combining ones."""

LARGER_WINS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
SMALLER_WINS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")

Schema = dict[str, Any]


class Impossible(Exception):
    """No value at all is valid here; whoever can do without that value goes on."""


def wrong(keyword: str, pointer: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"json schema: {keyword} at {pointer or '#'} {reason}")


def as_schema(schema: Any, pointer: str) -> Schema:
    """A schema as a dict. Raises Impossible for `false`, InvalidRequest for what is none."""
    if schema is True:
        return {}
    if schema is False:
        raise Impossible
    if not isinstance(schema, dict):
        raise wrong("the schema", pointer, "is not an object or a boolean")
    return schema


def refuse_unsupported(schema: Schema, pointer: str) -> None:
    for keyword in UNSUPPORTED:
        if keyword in schema:
            raise wrong(keyword, pointer, "cannot be expressed as a grammar")
    if schema.get("uniqueItems"):
        raise wrong("uniqueItems", pointer, "cannot be expressed as a grammar")
    if schema.get("unevaluatedItems", True) not in (True, False):
        raise wrong("unevaluatedItems", pointer, "is expressed as true or false only")


def says_only(schema: Schema, keyword: str) -> bool:
    """Whether all others are annotations."""
    return keyword in schema and not any(other in schema for other in (*ASSERTIONS, *COMBINING) if other != keyword)


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values, in which 1 is 1.0 and not true."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return isinstance(one, bool) == isinstance(other, bool) and one == other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@dataclass(slots=True)
class Document:
    """The whole schema, which references point into, and what is still allowed to be spent on it."""

    root: Any
    one_of: "Callable[[Document, Schema, str], None]"
    """Refuses a `oneOf` whose alternatives may hold at once (exclusive.py)."""
    left: int = MAX_VISITS
    judged: set[int] = field(default_factory=set)
    """The lists under `oneOf` that were looked at; they live as long as the root."""

    def resolve(self, reference: Any, pointer: str) -> Any:
        """What a `$ref` into the same document points to."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise wrong("$ref", pointer, f"is {reference!r}; only #/… inside of the schema is expressed")
        found = self.root
        for part in reference.split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name[:6]) < len(found):
                found = found[int(name[:6])]
            else:
                raise wrong("$ref", pointer, f"points to {reference}, which is not there")
        return found

    def flatten(self, schema: Any, pointer: str, trail: tuple[str, ...] = ()) -> list[Schema]:
        """The schema as alternatives without any combining keyword; none of them where nothing can be valid."""
        self.left -= 1
        if self.left < 0:
            raise wrong("the schema", pointer, "is combined of too many parts")
        try:
            schema = as_schema(schema, pointer)
        except Impossible:
            return []
        refuse_unsupported(schema, pointer)
        found = [tidy({key: value for key, value in schema.items() if key in ASSERTIONS}, pointer)]
        if "$ref" in schema:
            reference = schema["$ref"]
            if reference in trail:
                raise wrong("$ref", pointer, f"{reference} refers to itself without progress")
            target = self.resolve(reference, pointer)
            found = _product(found, self.flatten(target, str(reference), (*trail, reference)), pointer)
        for index, part in enumerate(parts(schema, "allOf", pointer)):
            found = _product(found, self.flatten(part, f"{pointer}/allOf/{index}", trail), pointer)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                self.check_one_of(schema, pointer)
                options: list[Schema] = []
                for index, part in enumerate(parts(schema, keyword, pointer)):
                    options += self.flatten(part, f"{pointer}/{keyword}/{index}", trail)
                found = _product(found, options, pointer)
        return found

    def check_one_of(self, schema: Schema, pointer: str) -> None:
        """Raises InvalidRequest when two of its alternatives may hold at once."""
        if "oneOf" in schema and id(schema["oneOf"]) not in self.judged:
            self.judged.add(id(schema["oneOf"]))
            self.one_of(self, schema, pointer)


def parts(schema: Schema, keyword: str, pointer: str) -> Sequence[Any]:
    """The list under a combining keyword, empty where it is absent."""
    found = schema.get(keyword, [])
    if not isinstance(found, list) or (keyword in schema and not found):
        raise wrong(keyword, pointer, "is not a list of schemas")
    return found


def tidy(schema: Schema, pointer: str) -> Schema:
    """Older and foreign spellings in today's: nullable, boolean exclusive bounds, items as a list, const."""
    for bound, end in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(bound), bool) and schema.pop(bound) and end in schema:
            schema[bound] = schema.pop(end)
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if "additionalItems" in schema:
            schema["items"] = schema["additionalItems"]
    schema.pop("additionalItems", None)
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        for kind in kinds:
            if kind not in ("string", "number", "integer", "boolean", "null", "object", "array"):
                raise wrong("type", pointer, f"is {kind!r}, which is no type")
        schema["type"] = kinds
    if not isinstance(schema.get("enum", []), list):
        raise wrong("enum", pointer, "is not a list")
    if "const" in schema:
        schema["enum"] = [value for value in schema.get("enum", [schema["const"]]) if same(value, schema["const"])]
        del schema["const"]
    if schema.pop("nullable", False) is True:
        if "type" in schema:
            schema["type"] = [*schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    if not isinstance(schema.get("properties", {}), dict):
        raise wrong("properties", pointer, "is not an object")
    for keyword in ("required", "prefixItems"):
        if not isinstance(schema.get(keyword, []), list):
            raise wrong(keyword, pointer, "is not a list")
    for keyword in ("pattern", "format"):
        if not isinstance(schema.get(keyword, ""), str):
            raise wrong(keyword, pointer, "is not a string")
    if any(not isinstance(name, str) for name in schema.get("required", [])):
        raise wrong("required", pointer, "is not a list of names")
    return schema


def _product(some: list[Schema], others: list[Schema], pointer: str) -> list[Schema]:
    if len(some) * len(others) > MAX_OPTIONS:
        raise wrong("the schema", pointer, f"has more than {MAX_OPTIONS} combinations of alternatives")
    merged = (merge(one, other, pointer) for one in some for other in others)
    return [one for one in merged if one is not None]


def merge(one: Schema, other: Schema, pointer: str) -> Schema | None:
    """A schema for what is valid under both, None where nothing is."""
    if not one or not other:
        return one or other
    result = {**one, **other}
    for keyword in one.keys() & other.keys():
        mine, theirs = one[keyword], other[keyword]
        if keyword in LARGER_WINS or keyword in SMALLER_WINS:
            choose: Callable[..., Any] = max if keyword in LARGER_WINS else min
            try:
                result[keyword] = choose(mine, theirs)
            except TypeError:
                raise wrong(keyword, pointer, "is not a number") from None
        elif keyword == "type":
            kinds = [kind for kind in mine if kind in theirs or (kind == "integer" and "number" in theirs)]
            kinds += [kind for kind in theirs if kind == "integer" and "number" in mine and kind not in kinds]
            if not kinds:
                return None
            result[keyword] = kinds
        elif keyword == "enum":
            result[keyword] = [value for value in mine if any(same(value, candidate) for candidate in theirs)]
            if not result[keyword]:
                return None
        elif keyword == "required":
            result[keyword] = list(dict.fromkeys([*mine, *theirs]))
        elif keyword in ("pattern", "format") and mine != theirs:
            raise wrong(keyword, pointer, f"is both {mine!r} and {theirs!r}")
    for keyword in ("additionalProperties", "unevaluatedProperties", "items"):
        if keyword in one and keyword in other:
            result[keyword] = both(one[keyword], other[keyword])
    if "properties" in one or "properties" in other:
        result["properties"] = _properties(one, other)
    if "prefixItems" in one or "prefixItems" in other:
        longest = max(len(one.get("prefixItems", ())), len(other.get("prefixItems", ())))
        result["prefixItems"] = [both(_item(one, index), _item(other, index)) for index in range(longest)]
    return result


def both(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    if one in (True, {}) or same(one, other):
        return other
    return one if other in (True, {}) else {"allOf": [one, other]}


def _properties(one: Schema, other: Schema) -> dict[str, Any]:
    mine: Mapping[str, Any] = one.get("properties", {})
    theirs: Mapping[str, Any] = other.get("properties", {})
    return {
        name: both(
            mine.get(name, one.get("additionalProperties", True)),
            theirs.get(name, other.get("additionalProperties", True)),
        )
        for name in dict.fromkeys([*mine, *theirs])
    }


def _item(schema: Schema, index: int) -> Any:
    prefix = schema.get("prefixItems", [])
    return prefix[index] if index < len(prefix) else schema.get("items", True)
