"""JSON Schema to GBNF rules, written from the specification (draft 2020-12, with older spellings).

Every document that a grammar allows is valid; not every valid document is allowed. Properties come in the
order of the schema; where properties are named and additionalProperties is not, there are no others;
white space is one space at most, after a colon or a comma, because a weak model writes spaces without
end; oneOf is anyOf where its alternatives exclude each other. An assertion that cannot be kept raises
InvalidRequest with its JSON pointer.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from localmind.engine.grammar import strings
from localmind.engine.grammar.exclusive import check_exclusive
from localmind.engine.grammar.extent import MAX_DEPTH, check_extent
from localmind.engine.grammar.flat import (
    Document,
    Impossible,
    Schema,
    as_schema,
    parts,
    refuse_unsupported,
    says_only,
    wrong,
)
from localmind.engine.grammar.gbnf import UNLIMITED, literal, render, repeat
from localmind.engine.grammar.judge import judge
from localmind.engine.grammar.numbers import LARGEST, SMALLEST_STEP, Bounds, integer, number
from localmind.engine.grammar.parse import NAME, parse
from localmind.engine.grammar.pattern import pattern
from localmind.errors import InvalidRequest

MAX_WORK = 5_000_000
"""Characters of all schemas that are compiled, merged ones included: references can multiply them."""

MAX_RULES = 20_000
MAX_ENUM = 2000
MAX_PROPERTIES = 1000
MAX_LEAST_LENGTH = 20_000
MAX_LEAST_ITEMS = 1000
MAX_ITEMS = 100_000

TYPES = ("object", "array", "string", "number", "boolean", "null")

IMPLIED = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
"""Types that a schema without `type` speaks about. Others would be valid too, and nobody means them."""


def schema_to_gbnf(schema: Any, *, root: str = "root") -> str:
    """A whole grammar whose rule `root` is one JSON value valid under `schema`. Raises InvalidRequest."""
    name, found = rules(schema, f"{root}-value")
    return render({root: name, **found})


def rules(schema: Any, prefix: str) -> tuple[str, dict[str, str]]:
    """The name of the schema's first rule, and right sides by rule name; every name begins with `prefix`
    (letters, digits and dashes). Raises InvalidRequest."""
    if not prefix or not set(prefix) <= NAME:
        raise ValueError(f"{prefix!r} cannot begin the name of a rule")
    check_extent(schema)
    compiler = _Compiler(Document(schema, check_exclusive), prefix)
    try:
        first = compiler.rule(schema, "#", 0)
    except Impossible:
        raise InvalidRequest("json schema: no value is valid under it") from None
    found = compiler.reachable(first)
    try:
        judge(parse(render(found)), first)
    except InvalidRequest as problem:
        raise InvalidRequest(f"json schema: its {problem.message}") from problem
    return first, found


class _Compiler:
    def __init__(self, document: Document, prefix: str) -> None:
        self.document = document
        self.prefix = prefix
        self.rules: dict[str, str] = {}
        self.names: dict[str, str] = {}
        """Rule by the JSON text of its schema, so that a reference back ends the recursion."""
        self.bodies: dict[str, str] = {}
        self.work = 0

    def add(self, hint: str, body: str) -> str:
        """The name of a rule with that right side."""
        name = self.bodies.get(body)
        if name is None:
            if len(self.rules) >= MAX_RULES:
                raise InvalidRequest(f"json schema: needs more than {MAX_RULES:,} rules")
            name = self.bodies[body] = f"{self.prefix}-{hint}-{len(self.rules)}"
            self.rules[name] = body
        return name

    def reachable(self, first: str) -> dict[str, str]:
        """The rules that the first one needs, itself foremost: alternatives given up on leave others behind."""
        found: dict[str, str] = {}
        waiting = [first]
        while waiting:
            name = waiting.pop()
            if name not in found and name in self.rules:
                found[name] = self.rules[name]
                words = self.rules[name].replace("(", " ").replace(")", " ").replace("*", " ").replace("{", " ").split()
                waiting.extend(word.rstrip("?") for word in reversed(words) if word.startswith(self.prefix))
        return found

    # shared rules

    def space(self) -> str:
        return self.add("space", '" "?')

    def comma(self) -> str:
        return self.add("comma", f'"," {self.space()}')

    def character(self) -> str:
        return self.add("character", strings.CHARACTER)

    def anything(self) -> str:
        """Any JSON value."""
        return self.rule({}, "#", 0)

    # schemas

    def rule(self, schema: Any, pointer: str, depth: int) -> str:
        """The name of a schema's rule. Raises Impossible where no value is valid."""
        schema = as_schema(schema, pointer)
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"json schema: nested more than {MAX_DEPTH} deep at {pointer}")
        key = json.dumps(schema)
        known = self.names.get(key)
        if known is not None:
            return known
        self.work += len(key)
        if len(self.rules) >= MAX_RULES or self.work > MAX_WORK:
            raise InvalidRequest("json schema: too large once its references are followed")
        name = self.names[key] = f"{self.prefix}-v{len(self.names)}"
        self.rules[name] = ""
        try:
            self.rules[name] = self.body(schema, pointer, depth)
        except Impossible:
            del self.names[key], self.rules[name]
            raise
        return name

    def body(self, schema: Schema, pointer: str, depth: int) -> str:
        if says_only(schema, "$ref"):
            refuse_unsupported(schema, pointer)
            target = self.document.resolve(schema["$ref"], pointer)
            return self.rule(target, str(schema["$ref"]), depth + 1)
        for keyword in ("anyOf", "oneOf"):
            if says_only(schema, keyword):
                refuse_unsupported(schema, pointer)
                self.document.check_one_of(schema, pointer)
                options = parts(schema, keyword, pointer)
                return self.alternatives(
                    [
                        partial(self.rule, option, f"{pointer}/{keyword}/{index}", depth + 1)
                        for index, option in enumerate(options)
                    ]
                )
        flat = self.document.flatten(schema, pointer)
        return self.alternatives([partial(self.flat, one, pointer, depth) for one in flat])

    def alternatives(self, makers: list[Callable[[], str]]) -> str:
        """All that are possible. Raises Impossible when none is."""
        found = []
        for make in makers:
            try:
                found.append(make())
            except Impossible:
                continue
        if not found:
            raise Impossible
        return " | ".join(dict.fromkeys(found))

    def flat(self, schema: Schema, pointer: str, depth: int) -> str:
        """A schema without combining keywords."""
        if "enum" in schema:
            return self.enumeration(schema, pointer)
        kinds = schema.get("type") or [kind for kind, words in IMPLIED.items() if any(w in schema for w in words)]
        kinds = list(dict.fromkeys(kinds or TYPES))
        if "number" in kinds and "integer" in kinds:
            kinds.remove("integer")
        makers: dict[str, Callable[[], str]] = {
            "object": lambda: self.object(schema, pointer, depth),
            "array": lambda: self.array(schema, pointer, depth),
            "string": lambda: self.string(schema, pointer),
            "number": lambda: self.numeric(schema, pointer, whole=False),
            "integer": lambda: self.numeric(schema, pointer, whole=True),
            "boolean": lambda: '"true" | "false"',
            "null": lambda: '"null"',
        }
        return self.alternatives([makers[kind] for kind in kinds])

    def enumeration(self, schema: Schema, pointer: str) -> str:
        values = schema["enum"]
        if len(values) > MAX_ENUM:
            raise wrong("enum", pointer, f"has {len(values):,} values, more than {MAX_ENUM:,}")
        for keyword in ("pattern", "properties", "items", "prefixItems"):
            if keyword in schema:
                raise wrong(keyword, pointer, "cannot be expressed beside enum or const")
        bounds = self.bounds(schema, pointer)
        found = [value for value in values if self.admits(schema, value, bounds, pointer)]
        if not found:
            raise Impossible
        return strings.one_of([strings.encoded(value) for value in found])

    def admits(self, schema: Schema, value: Any, bounds: Bounds, pointer: str) -> bool:
        kinds = schema.get("type")
        if kinds is not None and not any(_is(value, kind) for kind in kinds):
            return False
        if _is(value, "number"):
            return bounds.holds(Decimal(repr(value)))
        for kind, unit in ((str, "Length"), (list, "Items")):
            if isinstance(value, kind):
                least, most = self.count(schema, f"min{unit}", pointer), self.count(schema, f"max{unit}", pointer)
                return len(value) >= (least or 0) and (most is None or len(value) <= most)
        return not isinstance(value, dict) or set(schema.get("required", ())) <= value.keys()

    def count(self, schema: Schema, keyword: str, pointer: str) -> int | None:
        value = schema.get(keyword)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise wrong(keyword, pointer, f"is {str(value)[:50]}, not a number of at least 0")
        return value

    def bounds(self, schema: Schema, pointer: str) -> Bounds:
        ends: dict[str, Decimal | None] = {}
        for keyword in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
            value = schema.get(keyword)
            if value is not None and not _is(value, "number"):
                raise wrong(keyword, pointer, f"is {str(value)[:50]}, not a number")
            end = ends[keyword] = None if value is None else Decimal(repr(value)).normalize()
            if end is None:
                continue
            exponent = end.as_tuple().exponent
            if abs(end) > LARGEST:
                if (end > 0) != keyword.lower().endswith("maximum"):
                    raise wrong(keyword, pointer, f"is {value}, outside of what is expressed")
                ends[keyword] = None  # further out than any number that is written
            elif isinstance(exponent, int) and exponent < SMALLEST_STEP:
                raise wrong(keyword, pointer, f"is {value}, finer than what is expressed")
        low, above, high, below = ends.values()
        strict_low = above is not None and (low is None or above >= low)
        strict_high = below is not None and (high is None or below <= high)
        return Bounds(above if strict_low else low, below if strict_high else high, strict_low, strict_high)

    def numeric(self, schema: Schema, pointer: str, *, whole: bool) -> str:
        text = (integer if whole else number)(self.bounds(schema, pointer))
        if text is None:
            raise Impossible
        return text

    def string(self, schema: Schema, pointer: str) -> str:
        least, most = self.count(schema, "minLength", pointer) or 0, self.count(schema, "maxLength", pointer)
        if most is not None and most < least:
            raise Impossible
        if "pattern" in schema:
            source = schema["pattern"]
            node = pattern(source, self.add, lambda reason: wrong("pattern", pointer, reason))
            inside = node.text if node.single else f"({node.text})"
            self.check_implied("pattern", least, most, node.least, node.most, pointer)
        elif schema.get("format") in strings.FORMATS:
            inside, shortest, longest = strings.FORMATS[schema["format"]]
            self.check_implied("format", least, most, shortest, longest, pointer)
        else:
            if least > MAX_LEAST_LENGTH:
                raise wrong("minLength", pointer, f"is more than {MAX_LEAST_LENGTH:,}")
            inside = repeat(self.character(), least, most, self.add)
        return self.add("string", f'"\\"" {inside} "\\""')

    def check_implied(
        self, keyword: str, least: int, most: int | None, shortest: int, longest: int | None, pointer: str
    ) -> None:
        """Lengths beside a pattern are kept when the pattern keeps them by itself."""
        if least > shortest:
            raise wrong("minLength", pointer, f"beside a {keyword} that allows less cannot be expressed")
        if most is not None and (longest is None or longest > most):
            raise wrong("maxLength", pointer, f"beside a {keyword} that allows more cannot be expressed")

    def object(self, schema: Schema, pointer: str, depth: int) -> str:
        named = schema.get("properties", {})
        required = set(schema.get("required", ()))
        others = schema.get("additionalProperties", not named and schema.get("unevaluatedProperties") is not False)
        members: list[tuple[str, bool]] = []
        if len(named) + len(required) > MAX_PROPERTIES:
            raise wrong("properties", pointer, f"are more than {MAX_PROPERTIES:,}")
        unnamed = {name: schema.get("additionalProperties", True) for name in required - named.keys()}
        for name, value in {**named, **dict(sorted(unnamed.items()))}.items():
            try:
                rule = self.rule(value, f"{pointer}/properties/{_pointed(name)}", depth + 1)
            except Impossible:
                if name in required:
                    raise
                continue
            members.append((f"{literal(strings.encoded(name) + ':')} {self.space()} {rule}", name in required))
        extra = self.extra(others, [*named, *unnamed], pointer, depth)
        # From the end: what may follow a member, and what may stand first.
        after = f"({self.comma()} {extra})*" if extra else ""
        first = f"({extra} {after})?" if extra else ""
        for member, needed in reversed(members):
            first = f"{member} {after}" if needed else self.add("first", f"{member} {after} | {first or chr(34) * 2}")
            following = f"{self.comma()} {member}"
            after = self.add("after", f"{following if needed else f'({following})?'} {after}")
        return self.add("object", f'"{{" {first} "}}"')

    def extra(self, others: Any, names: list[str], pointer: str, depth: int) -> str | None:
        """A member whose name is none of `names`."""
        if others is False:
            return None
        try:
            value = self.rule(others, f"{pointer}/additionalProperties", depth + 1)
        except Impossible:
            return None
        plain = self.add("plain", strings.PLAIN_CHARACTER)
        key = strings.none_of(names, plain, self.add) if names else f'{self.character()}* "\\""'
        return self.add("member", f'"\\"" {key} ":" {self.space()} {value}')

    def array(self, schema: Schema, pointer: str, depth: int) -> str:
        least, most = self.count(schema, "minItems", pointer) or 0, self.count(schema, "maxItems", pointer)
        if least > MAX_LEAST_ITEMS:
            raise wrong("minItems", pointer, f"is more than {MAX_LEAST_ITEMS:,}")
        most = None if most is not None and most > min(MAX_ITEMS, UNLIMITED) else most
        prefix: list[str] = []
        rest: str | None = None
        for index, item in enumerate(schema.get("prefixItems", ())):
            try:
                prefix.append(self.rule(item, f"{pointer}/prefixItems/{index}", depth + 1))
            except Impossible:
                most = index if most is None else min(most, index)
                break
        else:
            try:
                rest = self.rule(schema.get("items", True), f"{pointer}/items", depth + 1)
            except Impossible:
                most = len(prefix) if most is None else min(most, len(prefix))
        if most is not None and most < least:
            raise Impossible
        prefix = prefix[:most]
        if prefix:
            following = self.items(rest, least - len(prefix), None if most is None else most - len(prefix))
            for index in reversed(range(len(prefix))):
                comma = f"{self.comma()} " if index else ""
                body = f"{comma}{prefix[index]} {following}"
                following = self.add("items", body if index < least else f"({body})?")
            return self.add("array", f'"[" {following} "]"')
        if most == 0 or rest is None:
            return self.add("array", '"[]"')
        inside = f"{rest} {self.items(rest, least - 1, None if most is None else most - 1)}"
        return self.add("array", f'"[" {inside if least else f"({inside})?"} "]"')

    def items(self, rest: str | None, least: int, most: int | None) -> str:
        """Further items of an array, each after a comma."""
        if rest is None or most == 0:
            return ""
        return repeat(self.add("item", f"{self.comma()} {rest}"), max(least, 0), most, self.add)


def _is(value: Any, kind: str) -> bool:
    """Whether a JSON value is of a type of JSON Schema, where 1.0 is an integer and true is no number."""
    if kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return kind == "number" or float(value).is_integer() if abs(value) < 1e300 else kind == "number"
    return isinstance(
        value, {"string": str, "boolean": bool, "null": type(None), "object": dict, "array": list | tuple}[kind]
    )


def _pointed(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
