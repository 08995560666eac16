"""The tools as an agent calls them, through the official client, over a fake of the daemon's door."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from localmind.errors import DaemonUnreachable, FolderNotFound
from localmind.events import Done, Event, Failed, Passage, Sources, TextDelta
from localmind.mcp.tools import make_server
from localmind.speech import Transcript

PASSAGE = Passage(1, "/notes/boiler.md", 3, 9, None, None, "Serviced in October.", 0.9)


class FakeDoor:
    def __init__(self, *events: Event, folders: tuple[str, ...] = (), gone: bool = False) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._events = events
        self._folders = folders
        self._gone = gone

    async def get(self, path: str, /, **query: Any) -> Any:
        self.asked.append((path, query))
        if self._gone:
            raise DaemonUnreachable("no daemon answers", hint="localmind serve")
        return {"folders": [{"path": folder, "files": 3} for folder in self._folders]}

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        self.asked.append((path, body))
        return {"passages": [{"path": PASSAGE.path, "text": PASSAGE.text}]}

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Event]:
        self.asked.append((path, body))
        for event in self._events:
            yield event


async def call(door: FakeDoor, tool: str, **arguments: Any) -> tuple[bool, str, Any]:
    """Whether it failed, the text and the structured answer."""
    async with Client(make_server(door)) as client:
        result = await client.call_tool(tool, arguments)
    text = "\n".join(getattr(part, "text", "") for part in result.content)
    return bool(result.is_error), text, result.structured_content


async def test_every_tool_says_that_it_only_looks():
    async with Client(make_server(FakeDoor())) as client:
        tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} == {"search", "ask", "list_folders", "transcribe"}
    for tool in tools:
        assert tool.annotations is not None
        assert (tool.annotations.read_only_hint, tool.annotations.destructive_hint) == (True, False)
        assert tool.description


@pytest.mark.parametrize(("limit", "sent"), [(8, 8), (0, 1), (10_000, 50)])
async def test_search_returns_passages_and_its_limit_has_bounds(limit: int, sent: int):
    door = FakeDoor()
    failed, text, _ = await call(door, "search", query="boiler", limit=limit)
    assert not failed
    assert PASSAGE.text in text
    assert door.asked == [("/search", {"query": "boiler", "limit": sent})]


async def test_an_answer_comes_whole_with_its_sources_and_is_kept_nowhere():
    door = FakeDoor(Sources((PASSAGE,)), TextDelta("In "), TextDelta("October [1]."), Sources((PASSAGE,)), Done())
    failed, text, _ = await call(door, "ask", question="When?")
    assert not failed
    assert text == "In October [1].\n\nSources:\n[1] /notes/boiler.md:3-9"
    assert door.asked == [("/ask", {"question": "When?"})]


async def test_failures_reach_the_agent_with_what_helps():
    failed, text, _ = await call(FakeDoor(gone=True), "list_folders")
    assert failed
    assert "no daemon answers. Hint: localmind serve" in text
    broken = FakeDoor(TextDelta("In"), Failed.of(FolderNotFound("no folder is watched", hint="localmind folders add")))
    failed, text, _ = await call(broken, "ask", question="When?")
    assert failed
    assert "no folder is watched" in text


async def test_only_sound_inside_a_watched_folder_is_transcribed(tmp_path: Path):
    watched = tmp_path / "notes"
    watched.mkdir()
    (watched / "memo.wav").touch()
    (tmp_path / "secret.wav").touch()
    (watched / "link.wav").symlink_to(tmp_path / "secret.wav")
    door = FakeDoor(Transcript("Call Ana."), Done(), folders=(str(watched),))
    assert await call(door, "transcribe", path=str(watched / "memo.wav")) == (
        False,
        "Call Ana.",
        {"result": "Call Ana."},
    )
    for outside in (tmp_path / "secret.wav", watched / "../secret.wav", watched / "link.wav"):
        failed, text, _ = await call(door, "transcribe", path=str(outside))
        assert failed
        assert "in no watched folder" in text
    silent = FakeDoor(Transcript("", silent="silence"), Done(), folders=(str(watched),))
    assert (await call(silent, "transcribe", path=str(watched / "memo.wav")))[1] == "no speech: silence"
