"""Routes with one JSON body read it in one step; what they document and how they refuse is FastAPI's."""

import json
from typing import Any

import pytest
from api_fakes import FakeEngines, post
from fastapi import Header, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from localmind.api.body_route import BodyRoute
from localmind.errors import Cancelled

HI = [{"role": "user", "content": "hi"}]


class Body(BaseModel):
    number: int


async def alone(body: Body) -> Response:
    return PlainTextResponse(str(body.number))


async def with_request(request: Request, body: Body) -> Response:
    return PlainTextResponse(f"{request.url.path} {body.number}")


async def with_header(body: Body, x: str = Header("")) -> Response:
    return PlainTextResponse(x)


async def without(request: Request) -> Response:
    return PlainTextResponse("")


async def two(body: Body, other: Body) -> Response:
    return PlainTextResponse("")


@pytest.mark.parametrize(
    ("endpoint", "ours"), [(alone, True), (with_request, True), (with_header, False), (without, False), (two, False)]
)
def test_only_a_signature_of_one_body_and_the_request_is_ours(endpoint: Any, ours: bool) -> None:
    route = BodyRoute("/x", endpoint, methods=["POST"])
    assert (route.get_route_handler().__module__ == BodyRoute.__module__) == ours


async def test_the_request_is_handed_over_under_the_name_it_has() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"number": 7}', "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": [], "query_string": b"", "root_path": ""}
    answer = await BodyRoute("/x", with_request).get_route_handler()(Request(scope, receive))
    assert answer.body == b"/x 7"


async def test_a_client_that_hangs_up_within_its_body_is_nobody_to_answer() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": [], "query_string": b"", "root_path": ""}
    with pytest.raises(Cancelled):
        await BodyRoute("/x", alone).get_route_handler()(Request(scope, receive))


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b'{"messages": [1]}', "messages.0"),
        (b"[]", "body"),
        (b"\xff\xfe", "body"),
        (b'{"messages": "\\ud83d"}', "body"),
        (b'{"messages": []}', "messages"),
        (json.dumps({"messages": HI, "top_p": 7}).encode(), "top_p"),
        (b"[" * 100_000, "body"),
    ],
)
async def test_a_body_that_is_none_is_refused_in_the_words_of_the_dialect(body: bytes, where: str) -> None:
    engines = FakeEngines()
    answer = await post(engines, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"{where}: ")
    assert engines.asked == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
async def test_every_encoding_that_json_may_have_is_read(encoding: str) -> None:
    engines = FakeEngines()
    body = json.dumps({"messages": [{"role": "user", "content": "Grüße"}]}, ensure_ascii=False)
    answer = await post(engines, body.encode(encoding))
    assert answer.status_code == 200, answer.text
    assert engines.asked[0].messages[0].content == "Grüße"


async def test_the_document_still_has_their_bodies() -> None:
    answer = await post(FakeEngines(), b"", "/openapi.json", method="GET")
    operation = answer.json()["paths"]["/v1/chat/completions"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ChatRequest"}
