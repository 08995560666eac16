"""oneOf: what excludes itself is a grammar, the rest is refused by name, and nothing that comes out is valid twice."""

import pytest

from localmind.engine.grammar.schema import schema_to_gbnf
from localmind.errors import InvalidRequest


def shape(kind: str, **properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {"kind": {"const": kind}, **properties},
        "required": ["kind"],
    }


EXCLUSIVE = {
    "types": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}],
    "constants": [{"const": "AF", "title": "Afghanistan"}, {"const": "DE", "title": "Germany"}],
    "one and true": [{"const": 1}, {"const": True}],
    "a constant of another type": [{"enum": ["a", "b"]}, {"type": "number"}],
    "a discriminator": [shape("circle", r={"type": "number"}), shape("square", a={"type": "number"})],
    "one inside": [
        {"type": "object", "properties": {"head": shape("a")}, "required": ["head"]},
        {"type": "object", "properties": {"head": shape("b")}, "required": ["head"]},
    ],
    "required here, forbidden there": [
        {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        {"type": "object", "properties": {"b": {}}, "additionalProperties": False},
    ],
    "ranges": [{"type": "integer", "maximum": 0}, {"type": "integer", "exclusiveMinimum": 0}],
    "lengths": [{"type": "string", "maxLength": 3}, {"type": "string", "minLength": 4}],
    "one alone": [{"type": "string"}],
}


@pytest.mark.parametrize("options", EXCLUSIVE.values(), ids=EXCLUSIVE.keys())
def test_alternatives_that_exclude_each_other_are_a_grammar(options):
    assert schema_to_gbnf({"oneOf": options}) == schema_to_gbnf({"anyOf": options})
    beside = {"type": ["string", "array", "object", "number", "boolean", "null"]}
    assert schema_to_gbnf({"oneOf": options, **beside}) == schema_to_gbnf({"anyOf": options, **beside})


TOGETHER = {
    "an integer is a number": [{"type": "integer"}, {"type": "number"}],
    "the same constant": [{"const": 1}, {"const": 1.0}],
    "a discriminator that nobody requires": [
        {"type": "object", "properties": {"kind": {"const": "a"}}},
        {"type": "object", "properties": {"kind": {"const": "b"}}},
    ],
    "two of which one is required": [
        {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]},
    ],
    "ranges that touch": [{"type": "number", "maximum": 0}, {"type": "number", "minimum": 0}],
    "patterns": [{"type": "string", "pattern": "^a+$"}, {"type": "string", "pattern": "^b+$"}],
    "anything": [{}, {"type": "string"}],
}


@pytest.mark.parametrize("options", TOGETHER.values(), ids=TOGETHER.keys())
def test_alternatives_that_may_hold_at_once_are_refused_by_name(options):
    with pytest.raises(InvalidRequest, match=r"oneOf at #/properties/x .*alternatives 0 and 1"):
        schema_to_gbnf({"type": "object", "properties": {"x": {"oneOf": options}}, "required": ["x"]})


def test_a_recursive_one_of_comes_to_an_end():
    tree = {
        "$defs": {
            "node": {
                "oneOf": [
                    shape("leaf"),
                    shape("branch", left={"$ref": "#/$defs/node"}, right={"$ref": "#/$defs/node"}),
                ]
            }
        },
        "$ref": "#/$defs/node",
    }
    assert "branch" in schema_to_gbnf(tree)


def test_two_hundred_constants_are_no_burden():
    assert schema_to_gbnf({"oneOf": [{"const": f"c{number}"} for number in range(200)]})
