"""What the OpenAPI document promises is what comes: content types and errors of every dialect, whatever is sent."""

import json
from typing import Any

import pytest
from api_fakes import FakeEngines, post
from test_hostile_bodies import BODIES

from localmind.api.documented import ANSWERS, OF_ONE_METHOD

ENGINES = FakeEngines()


async def document() -> dict[str, Any]:
    found: dict[str, Any] = (await post(ENGINES, b"", "/openapi.json", method="GET")).json()
    return found


async def test_every_route_says_how_it_succeeds_and_how_it_fails() -> None:
    paths = (await document())["paths"]
    assert len(paths) > 80
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert set(operation["responses"]) == {"200", "4XX", "5XX"}, (method, path)


async def test_no_form_is_described_for_a_route_that_is_not_there() -> None:
    paths = (await document())["paths"]
    assert set(ANSWERS) <= set(paths)
    assert all(method in paths[path] for method, path in OF_ONE_METHOD)


async def test_nothing_of_frameworks_errors_is_left_in_the_document() -> None:
    text = json.dumps(await document())
    assert "HTTPValidationError" not in text
    assert "#/components/schemas/ValidationError" not in text


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("more", [{"stream": False}, {"stream": True}], ids=["whole", "stream"])
async def test_an_answer_has_a_content_type_of_the_document(path: str, more: dict[str, Any]) -> None:
    promised = (await document())["paths"][path]["post"]["responses"]["200"]["content"]
    answer = await post(ENGINES, BODIES[path] | more, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] in promised


@pytest.mark.parametrize("path", BODIES)
async def test_an_error_has_the_schema_of_the_document(path: str) -> None:
    document_ = await document()
    schema = document_["paths"][path]["post"]["responses"]["4XX"]["content"]["application/json"]["schema"]
    answer = await post(ENGINES, b"[", path)
    assert answer.status_code == 400
    fits(answer.json(), document_["components"]["schemas"][schema["$ref"].rpartition("/")[2]])


def fits(value: Any, schema: dict[str, Any]) -> None:
    """As far as our own few schemas go."""
    kinds = {"object": dict, "string": str, "integer": int, "null": type(None)}
    if "const" in schema:
        assert value == schema["const"]
    elif "type" in schema:
        named = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        assert isinstance(value, tuple(kinds[name] for name in named)), (value, schema)
    for name in schema.get("required", ()):
        fits(value[name], schema["properties"][name])


async def test_a_method_that_is_not_there_is_told_which_are() -> None:
    answer = await post(ENGINES, b"", "/v1/chat/completions", method="GET")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
