"""A page that the user listed in `allowed_origins` asks and reads; any other, and every page without a list, cannot."""

from typing import Any, cast

import httpx2
import pytest
from api_fakes import FakeEngines, app_with

MINE = "http://mine.example:3000"
ENGINES = FakeEngines()
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
TOKEN = {"authorization": "Bearer t"}


async def ask(method: str, path: str, origin: str, *, listed: bool = True, **headers: str) -> httpx2.Response:
    app = app_with(ENGINES, 1, frozenset({MINE}) if listed else frozenset())
    transport = httpx2.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"origin": origin}
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:1") as http:
        content = b'{"prompt": "x"}' if method == "POST" else None
        return await http.request(method, path, headers=sent, content=content)


async def test_a_listed_page_asks_and_reads_answers_and_errors() -> None:
    for path, status in (("/v1/completions", 200), ("/v1/embeddings", 400)):
        answer = await ask("POST", path, MINE, **TOKEN)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == MINE
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in answer.headers["vary"].lower()


async def test_its_preflight_needs_no_token_since_browsers_send_none() -> None:
    answer = await ask("OPTIONS", "/v1/completions", MINE, **PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == MINE
    assert "authorization" in answer.headers["access-control-allow-headers"]


async def test_what_only_looks_like_a_preflight_needs_the_token() -> None:
    asked = len(ENGINES.asked)
    for method in ("GET", "POST", "DELETE"):
        answer = await ask(method, "/v1/responses/x", MINE, **PREFLIGHT)
        assert answer.status_code == 401
    assert (await ask("OPTIONS", "/v1/models", MINE)).status_code == 401
    assert len(ENGINES.asked) == asked


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "*", MINE + ".evil.example", "HTTP://MINE.example:3000"]
)
@pytest.mark.parametrize("listed", [True, False])
async def test_no_other_page_gets_a_header_or_an_answer(origin: str, listed: bool) -> None:
    for method, more in (("OPTIONS", PREFLIGHT), ("POST", TOKEN)):
        answer = await ask(method, "/v1/completions", origin, listed=listed, **more)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_without_a_list_nobody_gets_such_headers() -> None:
    answer = await ask("OPTIONS", "/v1/completions", MINE, listed=False, **PREFLIGHT)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]
