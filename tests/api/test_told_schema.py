"""The schema of an answer is told to the model in every dialect that can ask for one, and only where it is news."""

import json
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.api.told_schema import MOST_CHARACTERS, with_schema
from localmind.messages import Message, ResponseFormat
from localmind.workers.request import Request

JOKE = {
    "type": "object",
    "properties": {"setup": {"type": "string", "description": "the question"}, "punchline": {"type": "string"}},
    "required": ["setup"],
}
SAID = [{"role": "user", "content": "Tell me a joke."}]
OPENAI = {"type": "json_schema", "json_schema": {"name": "Joke", "schema": JOKE}}
FORMATS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAID, "response_format": OPENAI},
    "/api/chat": {"model": "m", "messages": SAID, "format": JOKE, "stream": False},
    "/v1/responses": {
        "input": "Tell me a joke.",
        "text": {"format": {"type": "json_schema", "name": "Joke"} | {"schema": JOKE}},
    },
    "/v1/messages": {
        "model": "m",
        "max_tokens": 9,
        "messages": SAID,
        "output_config": {"format": {"type": "json_schema", "schema": JOKE}},
    },
}


def told(content: str) -> Any:
    """The schema in front of a question."""
    return json.JSONDecoder().raw_decode(content.partition("schema: ")[2])[0]


@pytest.mark.parametrize("path", FORMATS)
async def test_the_last_question_comes_behind_the_schema(path: str) -> None:
    engines = FakeEngines()
    reply = await post(engines, FORMATS[path], path)
    assert reply.status_code == 200, reply.text
    [asked] = engines.asked
    assert asked.format.json_schema == JOKE
    last = asked.messages[-1].content
    assert last.endswith("\n\nTell me a joke.")
    assert told(last) == JOKE


def asked(*messages: Message, schema: Any = JOKE) -> Request:
    return Request(messages=messages, format=ResponseFormat(json_schema=schema))


def user(text: str) -> Message:
    return Message("user", text)


def test_what_says_nothing_to_a_model_is_not_told_and_names_are_never_taken_for_keywords() -> None:
    step = {"title": "Step", "type": "object", "properties": {"output": {"title": "Output", "type": "string"}}}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Solution",
        "type": "object",
        "$defs": {"Step": step | {"required": ["output"], "additionalProperties": False}},
        "properties": {
            "title": {"title": "Title", "description": "of the book", "anyOf": [{"type": "string", "$id": "x"}]},
            "required": {"title": "What it takes", "type": "array", "items": {"$ref": "#/$defs/Step"}},
            "default": {"type": "integer", "default": 3, "minimum": 0},
            "end_date": {"title": "End Date", "type": ["string", "null"], "default": None, "format": "date"},
            "kind": {"enum": [{"title": "kind"}, "additionalProperties"]},
        },
        "required": ["title", "required", "default", "end_date", "kind"],
        "additionalProperties": False,
    }
    found = with_schema(asked(user("Solve it."), schema=schema))
    assert told(found.messages[0].content) == {
        "title": "Solution",
        "type": "object",
        "$defs": {"Step": {"type": "object", "properties": {"output": {"type": "string"}}}},
        "properties": {
            "title": {"description": "of the book", "anyOf": [{"type": "string"}]},
            "required": {"title": "What it takes", "type": "array", "items": {"$ref": "#/$defs/Step"}},
            "default": {"type": "integer", "default": 3, "minimum": 0},
            "end_date": {"type": ["string", "null"], "format": "date"},
            "kind": {"enum": [{"title": "kind"}, "additionalProperties"]},
        },
    }
    assert found.format.json_schema == schema, "enforced is all of it"


@pytest.mark.parametrize("levels", [60, 400])
def test_a_schema_of_any_depth_is_told_or_left_and_breaks_nothing(levels: int) -> None:
    schema: dict[str, Any] = {"type": "string", "$id": "x"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}, "additionalProperties": False}
    content = with_schema(asked(user("Go on."), schema=schema)).messages[0].content
    assert content.endswith("Go on.")
    assert ("$id" in content) == (levels > 64 and "schema: " in content)


def test_what_the_values_of_free_keys_are_is_told() -> None:
    count = {"title": "Count", "type": "integer", "$id": "x"}
    scores = {"type": "object", "additionalProperties": count}
    schema = {"type": "object", "properties": {"scores": scores}, "additionalProperties": False}
    found = told(with_schema(asked(user("Rate them."), schema=schema)).messages[0].content)
    told_count = {"title": "Count", "type": "integer"}
    assert found == {
        "type": "object",
        "properties": {"scores": {"type": "object", "additionalProperties": told_count}},
    }


def test_some_of_the_keys_being_required_is_told() -> None:
    found = with_schema(asked(user("Tell me a joke.")))
    assert told(found.messages[0].content)["required"] == ["setup"]


def test_a_client_that_has_told_it_is_not_repeated() -> None:
    for question in (user(f"A joke as {json.dumps(JOKE)}"), user('A joke: {"setup": "…", "punchline": "…"}')):
        given = asked(Message("system", "You joke."), question)
        assert with_schema(given) == given


def test_names_in_plain_words_are_no_schema() -> None:
    found = with_schema(asked(user("Give me the setup and the punchline of a joke.")))
    assert '"setup": {"type": "string", "description": "the question"}' in found.messages[0].content


def test_the_question_before_the_results_of_tools_is_the_one_that_is_led() -> None:
    found = with_schema(asked(user("first"), user("second"), Message("assistant", ""), Message("tool", "42")))
    assert [("schema" in each.content) for each in found.messages] == [False, True, False, False]


def test_a_schema_behind_a_reference_is_told_whole() -> None:
    schema = {"$ref": "#/$defs/Joke", "$defs": {"Joke": JOKE}}
    found = with_schema(asked(user("Tell me a joke."), schema=schema))
    assert told(found.messages[0].content) == schema


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {},
        True,
        {"type": "object"},
        {"type": "array", "items": JOKE},
        {"$ref": "#/$defs/Nothing"},
        {"$ref": 5, "properties": []},
        {"properties": {"a": {"enum": ["x" * MOST_CHARACTERS]}}},
    ],
)
def test_what_has_no_keys_to_tell_and_what_is_too_long_are_left_to_the_grammar(schema: Any) -> None:
    given = asked(user("Tell me a joke."), schema=schema)
    assert with_schema(given) == given


def test_a_prompt_without_a_question_is_left_as_it_is() -> None:
    for given in (Request(prompt="x", format=ResponseFormat(json_schema=JOKE)), asked(Message("assistant", "x"))):
        assert with_schema(given) == given
