"""Copying: by the terminal (OSC 52, which works over SSH), by tmux, and by the platform's own tool.

All of them are done, since a terminal does not say whether it obeyed. tmux by default drops the OSC 52 of a program
that runs in it, but what it is given itself it hands on to the terminal around it. A tool gets the text on its stdin,
never on a command line.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping

from localmind.clean import clean

TOOLS = (
    ("wl-copy", (), "WAYLAND_DISPLAY"),
    ("xclip", ("-selection", "clipboard"), "DISPLAY"),
    ("xsel", ("--clipboard", "--input"), "DISPLAY"),
    ("pbcopy", (), ""),
    ("clip.exe", (), ""),
)
TMUX = ("tmux", "load-buffer", "-w", "-")
PATIENCE_S = 2.0


def tools_for(environ: Mapping[str, str], which: Callable[[str], str | None] = shutil.which) -> list[tuple[str, ...]]:
    """The commands that take a text here. Over SSH not the desktop's, which would fill the wrong clipboard."""
    found: list[tuple[str, ...]] = []
    if environ.get("TMUX") and which(TMUX[0]) is not None:
        found.append(TMUX)
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return found
    for name, arguments, variable in TOOLS:
        if (not variable or environ.get(variable)) and which(name) is not None:
            return [*found, (name, *arguments)]
    return found


async def copy(text: str, by_terminal: Callable[[str], None], environ: Mapping[str, str]) -> int:
    """By all ways, without what a terminal would obey when it is pasted. The number of lines."""
    safe = clean(text)
    by_terminal(safe)
    await asyncio.gather(*(copy_by_tool(safe, tool) for tool in tools_for(environ)))
    return len(safe.splitlines())


async def copy_by_tool(text: str, command: tuple[str, ...]) -> None:
    """Hand the text over; a tool that fails or hangs is left alone, since the terminal has it too."""
    with contextlib.suppress(OSError, TimeoutError):
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await asyncio.wait_for(process.communicate(text.encode("utf-8", "replace")), PATIENCE_S)
