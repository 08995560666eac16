"""The official MCP client against the real daemon, over streamable HTTP and over stdio."""

import sys

from conftest_e2e import Home
from mcp import Client, StdioServerParameters


async def works(client: Client) -> None:
    assert {tool.name for tool in (await client.list_tools()).tools} >= {"search", "ask", "list_folders"}
    folders = await client.call_tool("list_folders", {})
    assert "samples" in str(folders.content)
    found = await client.call_tool("search", {"query": "boiler service", "limit": 3})
    assert "boiler.md" in str(found.content)
    missing = await client.call_tool("search", {"query": "x", "folder": "/nowhere"})
    assert missing.is_error or "[]" in str(missing.structured_content)


async def test_over_http_behind_the_same_gate(daemon: Home, base: str) -> None:
    async with Client(f"{base}/mcp") as client:
        await works(client)


async def test_over_stdio_and_an_answer_with_sources(daemon: Home) -> None:
    command = StdioServerParameters(
        command=sys.executable, args=["-P", "-m", "localmind", "mcp"], env=daemon.environment
    )
    async with Client(command) as client:
        await works(client)
        answer = await client.call_tool("ask", {"question": "When was the boiler last serviced?"})
    assert "October" in str(answer.content)
    assert "boiler.md" in str(answer.content)
