"""The picture in the documentation is made by a tool that works, from questions the samples answer."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]

spec = importlib.util.spec_from_file_location("screenshot_tui", ROOT / "tools/screenshot_tui.py")
assert spec is not None
assert spec.loader is not None
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


async def test_the_recorded_conversation_becomes_a_picture() -> None:
    svg = await tool.picture(tool.Recording(), list(tool.RECORDED), (100, 30))
    text = svg.replace("&#160;", " ")
    assert "localmind chat" in text
    assert "samples/home/boiler.md:1-22" in text
    assert "samples/hive-scale/notes/meeting-2026-09-17.md:1-12" in text
    assert str(Path.home()) not in text


def test_the_recorded_sources_exist() -> None:
    for _, passages, _ in tool.RECORDED.values():
        assert all(Path(passage.path).is_file() for passage in passages)
