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
    "required": ["setup", "punchline"],
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


@pytest.mark.parametrize("path", FORMATS)
async def test_the_last_question_is_followed_by_the_schema(path: str) -> None:
    engines = FakeEngines()
    reply = await post(engines, FORMATS[path], path)
    assert reply.status_code == 200, reply.text
    [asked] = engines.asked
    assert asked.format.json_schema == JOKE
    last = asked.messages[-1].content
    assert last.startswith("Tell me a joke.")
    assert json.loads(last.partition("schema: ")[2]) == JOKE


def asked(*messages: Message, schema: Any = JOKE) -> Request:
    return Request(messages=messages, format=ResponseFormat(json_schema=schema))


def user(text: str) -> Message:
    return Message("user", text)


def test_a_client_that_has_told_it_is_not_repeated() -> None:
    for told in (user(f"A joke as {json.dumps(JOKE)}"), user('A joke: {"setup": "…", "punchline": "…"}')):
        given = asked(Message("system", "You joke."), told)
        assert with_schema(given) == given


def test_names_in_plain_words_are_no_schema() -> None:
    found = with_schema(asked(user("Give me the setup and the punchline of a joke.")))
    assert '"setup": {"type": "string", "description": "the question"}' in found.messages[0].content


def test_the_question_before_the_results_of_tools_is_the_one_that_is_followed() -> None:
    found = with_schema(asked(user("first"), user("second"), Message("assistant", ""), Message("tool", "42")))
    assert [("schema" in each.content) for each in found.messages] == [False, True, False, False]


def test_a_schema_behind_a_reference_is_told_whole() -> None:
    schema = {"$ref": "#/$defs/Joke", "$defs": {"Joke": JOKE}}
    found = with_schema(asked(user("Tell me a joke."), schema=schema))
    assert json.loads(found.messages[0].content.partition("schema: ")[2]) == schema


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
