"""The schema that an answer must follow is told to the model, where the client has not told it.

A grammar alone makes every answer valid, and a weak model's worse: it does not know which keys will come and what is
meant by them, so each is forced upon it in pieces that it would never choose, and its thread is lost (SmolLM2 told a
joke about cats in made-up Indonesian). OpenAI's models are told as well, and people write the meaning of a field into
its description alone. The words stand behind the last message of the user, where small models heed them.
"""

import json
from typing import Any

import msgspec

from localmind.workers.request import Request

MOST_CHARACTERS = 6000
"""Of a schema. Beyond it (some 1,500 tokens, ten seconds on a slow machine) the grammar has to do alone."""


def with_schema(asked: Request) -> Request:
    """The same, its last message of a user followed by the schema of its format."""
    schema = asked.format.json_schema
    last = next((i for i in reversed(range(len(asked.messages))) if asked.messages[i].role == "user"), None)
    if last is None or not isinstance(schema, dict) or not (names := _names(schema)):
        return asked
    said = "\n".join(message.content for message in asked.messages if message.role in ("system", "user"))
    text = json.dumps(schema, ensure_ascii=False)
    if len(text) > MOST_CHARACTERS or all(f'"{name}"' in said for name in names):
        return asked
    message = asked.messages[last]
    told = f"{message.content}\n\nAnswer with JSON that follows this schema: {text}"
    messages = list(asked.messages)
    messages[last] = msgspec.structs.replace(message, content=told)
    return msgspec.structs.replace(asked, messages=tuple(messages))


def _names(schema: dict[str, Any]) -> list[str]:
    """Of the keys that an answer has, at its top. None for what is not an object of known keys."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        for part in reference[2:].split("/"):
            inner = schema.get(part)
            if not isinstance(inner, dict):
                return []
            schema = inner
    properties = schema.get("properties")
    return list(properties) if isinstance(properties, dict) else []
