"""JSON Schema as GBNF: what a grammar allows is valid, and what it cannot keep is refused by name."""

import json
import re
import time
from typing import Any

import jsonschema
import pytest
from grammar_walk import texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.engine import grammar
from localmind.engine.constraint import Constraint, of_format
from localmind.errors import InvalidRequest
from localmind.messages import ResponseFormat

NODE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["v", "next"],
        }
    },
    "$ref": "#/$defs/node",
}
EXAMPLES: list[Any] = [
    True,
    {},
    {"type": "object"},
    {"type": "integer", "minimum": -17, "maximum": 342},
    {"type": "integer", "exclusiveMinimum": 9, "maximum": 10**18},
    {"type": "integer", "maximum": 2**63 - 1, "minimum": -(2**63)},
    {"type": "number", "minimum": -0.5, "maximum": 0.75},
    {"type": "number", "exclusiveMinimum": 0.13, "exclusiveMaximum": 0.7},
    {"type": "number", "exclusiveMinimum": 1, "maximum": 3.25},
    {"type": "number", "exclusiveMaximum": -2},
    {"type": "number", "minimum": 0, "exclusiveMinimum": True},
    {"enum": ["a", "ab", "abc", "", 'q"\\', 1, None, {"a": [1]}]},
    {"const": "日本"},
    {"type": "integer", "enum": [1, "a", 2.0, True]},
    {"type": "string", "minLength": 3, "maxLength": 1200},
    {"type": "string", "maxLength": 0},
    {"type": "string", "format": "email", "maxLength": 5},
    {"type": ["string", "null"], "maxLength": 3},
    {"type": "string", "nullable": True, "enum": ["x"]},
    {"properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "null"}}, "required": ["b"]},
    {"properties": {"a": {"type": "integer"}, "ab": {}}, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"never": False, "a": True}, "required": ["a"]},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 1},
    {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "boolean"}, "minItems": 3, "maxItems": 4},
    {"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 2},
    {"type": "array", "items": {"type": "null"}, "maxItems": 0},
    NODE,
    {"type": "array", "items": {"$ref": "#"}},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
            {"properties": {"a": {"maximum": 9}, "b": {"type": "number"}}, "required": ["b"]},
        ]
    },
    {"type": "object", "properties": {"k": {}}, "anyOf": [{"required": ["k"]}, {"properties": {"k": {"const": 1}}}]},
    {
        "$defs": {"a/b~c d": {"type": "null"}},
        "oneOf": [{"$ref": "#/$defs/a~1b~0c%20d"}, {"type": "string", "maxLength": 2}],
    },
    {"title": "T", "description": "D", "default": 1, "examples": [1], "x-order": 3, "type": "boolean", "$comment": "c"},
    {"type": "string", "pattern": "^[a-z]{2,5}(-\\d+)?$"},
    {"type": "string", "pattern": 'x[^"a]y|z'},
    {"type": "string", "pattern": "^(a|bc)*\\.(x{0,600})[\\]\\\\-]$"},
    {"type": "string", "pattern": "^\\S+@\\S+\\.\\w{2,}$"},
    {"type": "string", "pattern": "^.{3}$", "minLength": 2, "maxLength": 3},
    {"type": "string", "pattern": "^$"},
]


@pytest.mark.parametrize("schema", EXAMPLES, ids=lambda schema: json.dumps(schema)[:60])
def test_what_the_grammar_allows_is_valid(schema):
    validator = jsonschema.Draft202012Validator(_modern(schema))
    found = texts(grammar.schema_to_gbnf(schema), 60)
    for text in found:
        validator.validate(json.loads(text))


def _modern(schema: Any) -> Any:
    """The same in draft 2020-12, for the two older spellings among the examples."""
    if isinstance(schema, dict) and schema.get("exclusiveMinimum") is True:
        return {"type": "number", "exclusiveMinimum": 0}
    if isinstance(schema, dict) and schema.get("nullable"):
        return {"enum": ["x", None]}
    return schema


@pytest.mark.parametrize("kind", ["date", "time", "date-time", "uuid"])
def test_formats_are_what_they_say(kind):
    checker = jsonschema.FormatChecker()
    for text in texts(grammar.schema_to_gbnf({"type": "string", "format": kind}), 200):
        value = json.loads(text)
        if kind == "date-time":
            date, _, clock = value.partition("T")
            checker.check(date, "date")
            value = clock
        if kind in ("date", "uuid"):
            checker.check(value, kind)
        assert value


LETTERS = st.characters(exclude_categories=("Cs",))
LEAVES = st.one_of(
    st.just({}),
    st.sampled_from([{"type": "null"}, {"type": "boolean"}, {"type": ["integer", "string"]}]),
    st.tuples(st.integers(-2000, 2000), st.integers(0, 3000)).map(
        lambda ends: {"type": "integer", "minimum": ends[0], "maximum": ends[0] + ends[1]}
    ),
    st.tuples(st.decimals(-30, 30, places=3), st.decimals("0.001", 20, places=2), st.booleans(), st.booleans()).map(
        lambda ends: {
            "type": "number",
            "exclusiveMinimum" if ends[2] else "minimum": float(ends[0]),
            "exclusiveMaximum" if ends[3] else "maximum": float(ends[0] + ends[1] + 1),
        }
    ),
    st.tuples(st.integers(0, 5), st.integers(0, 700)).map(
        lambda ends: {"type": "string", "minLength": ends[0], "maxLength": ends[0] + ends[1]}
    ),
    st.lists(
        st.one_of(st.text(LETTERS, max_size=4), st.integers(), st.booleans(), st.none()),
        min_size=1,
        max_size=6,
    ).map(lambda values: {"enum": values}),
)


def _grown(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.text(LETTERS, max_size=3)
    return st.one_of(
        st.tuples(st.dictionaries(names, children, max_size=4), st.randoms(), st.sampled_from([None, False, {}])).map(
            _object
        ),
        st.tuples(children, st.integers(0, 2), st.integers(0, 3)).map(
            lambda parts: {"type": "array", "items": parts[0], "minItems": parts[1], "maxItems": parts[1] + parts[2]}
        ),
        st.tuples(st.lists(children, min_size=1, max_size=3), children).map(
            lambda parts: {"type": "array", "prefixItems": parts[0], "items": parts[1]}
        ),
        st.lists(children, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        children.map(lambda child: {"allOf": [child, {}]}),
    )


def _object(parts: tuple[dict[str, Any], Any, Any]) -> dict[str, Any]:
    named, chance, others = parts
    required = [name for name in named if chance.random() < 0.5]
    return {"type": "object", "properties": named, "required": required} | (
        {} if others is None else {"additionalProperties": others}
    )


SCHEMAS = st.recursive(LEAVES, _grown, max_leaves=8)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(SCHEMAS)
def test_documents_of_any_supported_schema_are_valid_under_it(schema):
    validator = jsonschema.Draft202012Validator(schema)
    for text in texts(grammar.schema_to_gbnf(schema), 5):
        validator.validate(json.loads(text))


KEYWORDS = {
    "not": {},
    "if": {},
    "patternProperties": {},
    "dependentSchemas": {},
    "dependentRequired": {},
    "uniqueItems": True,
    "contains": {},
    "multipleOf": 2,
    "propertyNames": {},
    "minProperties": 1,
}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_that_cannot_be_kept_is_named_with_its_place(keyword):
    schema = {"type": "object", "properties": {"a/b": {"type": "array", "items": {keyword: KEYWORDS[keyword]}}}}
    with pytest.raises(InvalidRequest) as caught:
        grammar.schema_to_gbnf(schema)
    assert keyword in caught.value.message
    assert "#/properties/a~1b/items" in caught.value.message


def _deep(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def _doubling() -> Any:
    defs: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    return {"$defs": defs | {"d40": {"type": "null"}}, "$ref": "#/$defs/d0", "type": "null"}


HOSTILE: dict[str, Any] = {
    "deep": _deep(5000),
    "a little too deep": _deep(70),
    "wide enum": {"enum": list(range(10_000))},
    "long": {"type": "string", "minLength": 10**9},
    "many items": {"type": "array", "minItems": 10**9},
    "huge": {"enum": ["x" * 300_000]},
    "itself": {"$ref": "#"},
    "in a circle": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "itself by anyOf": {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}, "$ref": "#/$defs/a"},
    "itself by allOf": {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}, "$ref": "#/$defs/a"},
    "never ends": {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    "never ends in arrays": {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    "doubling": _doubling(),
    "alternatives multiplied": {"allOf": [{"anyOf": [{"minLength": n} for n in range(20)]}] * 5},
    "remote": {"$ref": "https://example.com/schema"},
    "dangling": {"$ref": "#/$defs/nobody"},
    "wide": {"properties": {f"p{n}": {} for n in range(5000)}},
    "not a number": {"type": "integer", "minimum": float("nan")},
    "no bound": {"type": "integer", "minimum": "x"},
    "out of reach": {"type": "integer", "minimum": 10**40},
    "half a pair": {"const": "\ud800"},
    "no key": {"properties": {1: {}}},
    "no schema": {"items": 5},
    "a list": [],
    "a number": 5,
    "nothing": None,
    "no type": {"type": "float"},
    "unhashable type": {"type": [{}]},
    "false": False,
    "contradiction": {"type": "integer", "minimum": 5, "maximum": 4},
    "impossible property": {"type": "object", "properties": {"a": False}, "required": ["a"]},
    "negative": {"type": "string", "maxLength": -1},
    "a huge count": {"type": "string", "maxLength": 1e400},
    "required is text": {"required": "name"},
    "enum is text": {"enum": "abc"},
    "empty enum": {"enum": []},
    "pattern is a number": {"pattern": 5},
    "format is a list": {"format": []},
    "properties is a list": {"properties": []},
    "anyOf is empty": {"anyOf": []},
    "a set": {"enum": {1, 2}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_are_refused_quickly(name):
    began = time.monotonic()
    with pytest.raises(InvalidRequest):
        grammar.schema_to_gbnf(HOSTILE[name])
    assert time.monotonic() - began < 30  # not what its size would take


PATTERNS = ["(?=a)", "(?<n>a)", "\\bword", "(a)\\1", "a^b", "(a", "[a", "a)", "*", "\\p{L}", "[z-a]", "(a?)*", "^a|b$"]


@pytest.mark.parametrize("pattern", [*PATTERNS, "a{9999999}", "x" * 2000, "(" * 50 + ")" * 50, "\\", "\\u12"])
def test_patterns_that_are_not_regular_or_not_bounded_are_refused(pattern):
    with pytest.raises(InvalidRequest, match="pattern"):
        grammar.schema_to_gbnf({"type": "string", "pattern": pattern})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "type",
                        "enum",
                        "const",
                        "properties",
                        "required",
                        "items",
                        "prefixItems",
                        "minItems",
                        "maxItems",
                    ),
                    *("minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum"),
                    *("anyOf", "oneOf", "allOf", "$ref", "$defs", "additionalProperties", "nullable"),
                ]
            ),
            inner | st.sampled_from(["object", "array", "string", "number", "#", "#/$defs/x", "^a+$", {}]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(JSON)
def test_anything_at_all_is_a_grammar_or_a_refusal(schema):
    try:
        gbnf = grammar.schema_to_gbnf(schema)
    except InvalidRequest:
        return
    grammar.check_gbnf(gbnf)


@settings(max_examples=400, deadline=None)
@given(st.text('ab^$.*+?()[]{}|\\1,-dw"', max_size=12))
def test_any_pattern_is_a_grammar_of_what_it_matches_or_a_refusal(pattern):
    schema = {"type": "string", "pattern": pattern}
    try:
        gbnf = grammar.schema_to_gbnf(schema)
    except InvalidRequest:
        return
    try:
        re.compile(pattern)
    except (re.error, FutureWarning):
        return  # what Python reads in another way than ECMAScript is not compared
    validator = jsonschema.Draft202012Validator(schema)
    for text in texts(gbnf, 5):
        validator.validate(json.loads(text))


def test_rules_of_several_schemas_live_in_one_grammar():
    one, first = grammar.rules({"type": "object", "properties": {"a": {"type": "integer"}}}, "call-1")
    two, second = grammar.rules({"type": "string", "maxLength": 2}, "call-2")
    assert not first.keys() & second.keys()
    assert all(name.startswith("call-1") for name in first)
    root = f"{grammar.literal('<tool_call>')} ({one} | {two}) {grammar.literal('</tool_call>')}"
    gbnf = grammar.render({"root": root, **first, **second})
    grammar.check_gbnf(gbnf)
    for text in texts(gbnf):
        json.loads(text.removeprefix("<tool_call>").removesuffix("</tool_call>"))


def test_an_empty_response_format_means_any_object():
    constraint = of_format(ResponseFormat(json_schema={}))
    assert isinstance(constraint, Constraint)
    for text in texts(constraint.gbnf):
        assert isinstance(json.loads(text), dict)
    assert of_format(ResponseFormat()) is None
    assert of_format(ResponseFormat(grammar='root ::= "a"')) == Constraint('root ::= "a"', plain=True)


def test_a_format_that_contradicts_itself_or_does_not_parse_is_refused():
    for wanted in (ResponseFormat(json_schema={}, grammar='root ::= "a"'), ResponseFormat(grammar="root ::= (")):
        with pytest.raises(InvalidRequest):
            of_format(wanted)


def test_spaces_are_bounded():
    gbnf = grammar.schema_to_gbnf({"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 2})
    assert set(texts(gbnf, 60)) == {"[null,null]", "[null, null]"}
