"""`localmind mcp`: the tools for agents, over stdin and stdout."""

import sys

import click

from localmind.cli._output import connect, note
from localmind.paths import Paths


@click.command()
def mcp() -> None:
    """Serve search, ask and folders to an agent over stdio (MCP).

    Transcribing too. The agent starts this command itself. Agents that speak HTTP use the daemon's /mcp instead.

    \b
    {"mcpServers": {"localmind": {"command": "localmind", "args": ["mcp"]}}}
    """
    if sys.stdin.isatty():
        note("an agent starts this command and speaks MCP to it; Ctrl-D ends it")
    connect()
    from localmind.client import AsyncClient
    from localmind.mcp.tools import make_server

    make_server(AsyncClient(Paths.find())).run("stdio")
