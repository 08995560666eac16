"""Turns and history over HTTP: ask and leave, follow from a position, branch, search, export, delete."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from api_fakes import HEAD, FakeEngines, app_with

from localmind.assistant.running import Running
from localmind.events import Done, ReasoningDelta, TextDelta
from localmind.messages import Usage
from localmind.store.threads import Threads

SCRIPT = (ReasoningDelta("hm"), TextDelta("Hel"), TextDelta("lo"), Done("stop", Usage(3, 2)))


class Api:
    """The native API with a real store behind it."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        reply = await self._http.request(method, f"/localmind/v1{path}", json=body, headers=HEAD)
        return reply.json() if reply.headers["content-type"].startswith("application/json") else reply.text

    async def ask(self, question: str, **more: Any) -> dict[str, Any]:
        begun = await self.call("POST", "/turns", {"question": question, "mode": "chat", **more})
        await self.follow(begun["messages"][-1]["id"])
        return cast(dict[str, Any], begun)

    async def follow(self, message: int, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        text = await self.call("GET", f"/messages/{message}/events?after={after}")
        events = []
        for block in filter(None, text.split("\n\n")):
            head, _, data = block.partition("\n")
            events.append((int(head.removeprefix("id: ")), json.loads(data.removeprefix("data: "))))
        return events


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    engines = FakeEngines(*SCRIPT)
    threads = Threads(tmp_path / "threads.db")
    running = Running(cast(Any, engines), cast(Any, engines), threads)
    engines.parts = {"threads": threads, "running": running}
    transport = httpx2.ASGITransport(app=cast(Any, app_with(engines)), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:1") as http:
        yield Api(http)
    await running.close()
    threads.close()


async def test_a_question_is_stored_answered_and_followed_from_any_position(api: Api) -> None:
    begun = await api.call("POST", "/turns", {"question": "Hi", "mode": "chat"})
    assert [message["role"] for message in begun["messages"]] == ["user", "assistant"]
    answer = begun["messages"][-1]["id"]
    events = await api.follow(answer)
    assert events[-1][1]["type"] == "Done"
    assert "".join(event["text"] for _, event in events if event["type"] == "TextDelta") == "Hello"
    assert [event["type"] for _, event in await api.follow(answer, after=events[-2][0])] == ["Done"]
    found = await api.call("GET", f"/threads/{begun['thread']['id'][:6]}")
    last = found["messages"][-1]
    assert (last["content"], last["reasoning"], last["state"]) == ("Hello", "hm", "done")
    assert last["usage"]["completion_tokens"] == 2


async def test_branches_windows_and_options(api: Api) -> None:
    first = await api.ask("one")
    thread, turn = first["thread"]["id"], first["messages"][0]["turn"]
    again = await api.call("POST", f"/messages/{first['messages'][-1]['id']}/again", {})
    await api.follow(again["messages"][-1]["id"])
    edited = await api.ask("uno", thread=thread, beside=turn)
    assert len(edited["messages"][0]["branches"]) == 2
    await api.call("POST", f"/messages/{first['messages'][-1]['id']}/choose")
    found = await api.call("GET", f"/threads/{thread}?limit=1")
    assert (found["start"], found["total"], found["messages"][0]["content"]) == (0, 1, "one")
    assert found["messages"][1]["branches"] == [first["messages"][-1]["id"], again["messages"][-1]["id"]]
    change = {"title": "T", "options": {"temperature": 0.5}}
    changed = (await api.call("PATCH", f"/threads/{thread}", change))["thread"]
    assert (changed["title"], changed["options"]["temperature"]) == ("T", 0.5)
    await api.call("DELETE", f"/messages/{edited['messages'][0]['id']}")
    left = await api.call("GET", f"/threads/{thread}")
    assert [message["content"] for message in left["messages"]] == ["one", "Hello"]


async def test_files_that_went_with_a_question_are_given_back_with_their_texts(api: Api) -> None:
    files = [{"path": "/home/a.txt", "text": "Dear Ann"}, {"path": "pasted-1", "text": "pages"}]
    question, answer = (await api.ask("What is it?", attachments=files))["messages"]
    for message in (question, answer):
        assert await api.call("GET", f"/messages/{message['id']}/attachments") == {"attachments": files}
    assert (await api.call("GET", "/messages/999/attachments"))["error"]["code"] == "not_found"


async def test_search_export_and_forgetting(api: Api) -> None:
    thread = (await api.ask("About boilers"))["thread"]["id"]
    hits = (await api.call("GET", "/threads/search?q=boil"))["hits"]
    assert {hit["message_id"] for hit in hits} >= {None}
    assert [[text for text, marked in hit["snippet"] if marked] for hit in hits][-1] == ["boilers"]
    once = (await api.call("GET", "/threads/search?q=boil&limit=5&once=true"))["hits"]
    assert [hit["thread"]["id"] for hit in once] == [thread]
    text = await api.call("GET", f"/threads/{thread}/export")
    assert text.startswith("# About boilers\n")
    assert (await api.call("GET", f"/threads/{thread}/export?form=json"))["thread"]["id"] == thread
    await api.call("DELETE", f"/threads/{thread}")
    assert (await api.call("GET", "/threads"))["threads"] == []
    assert (await api.call("GET", "/threads/search?q=boil"))["hits"] == []


async def test_what_is_not_there_is_said_with_a_status(api: Api) -> None:
    for method, path in (("GET", "/messages/99/events"), ("GET", "/messages/99"), ("POST", "/messages/99/choose")):
        assert (await api.call(method, path, {}))["error"]["code"] == "not_found"
    assert (await api.call("POST", "/messages/99/stop"))["stopped"] is False
    assert (await api.call("GET", "/running"))["running"] == []


@pytest.mark.parametrize("number", [2**63, 10**30, -1])
async def test_numbers_that_no_database_holds_are_refused(api: Api, number: int) -> None:
    asked = [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/again"),
        ("POST", "/choose"),
        ("POST", "/stop"),
        ("GET", "/events"),
    ]
    for method, rest in asked:
        error = (await api.call(method, f"/messages/{number}{rest}", {}))["error"]
        assert error["type"] == "invalid_request_error", (method, rest)
    for query in (f"/threads?offset={number}", f"/threads/x?around={number}", f"/threads/x?start={number}"):
        assert (await api.call("GET", query))["error"]["type"] == "invalid_request_error", query
    beside = await api.call("POST", "/turns", {"question": "x", "mode": "chat", "beside": number})
    assert beside["error"]["type"] == "invalid_request_error"
