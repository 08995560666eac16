"""Copying: by the terminal (OSC 52, which works over SSH and in tmux) and by the platform's own tool.

Both are done, since a terminal does not say whether it obeyed. The tool gets the text on its stdin, never
on a command line.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping

TOOLS = (
    ("wl-copy", (), "WAYLAND_DISPLAY"),
    ("xclip", ("-selection", "clipboard"), "DISPLAY"),
    ("xsel", ("--clipboard", "--input"), "DISPLAY"),
    ("pbcopy", (), ""),
    ("clip.exe", (), ""),
)
PATIENCE_S = 2.0


def tool_for(environ: Mapping[str, str], which: Callable[[str], str | None] = shutil.which) -> tuple[str, ...] | None:
    """The command that takes a text for this desktop; None over SSH, where it would fill the wrong clipboard."""
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return None
    for name, arguments, variable in TOOLS:
        if (not variable or environ.get(variable)) and which(name) is not None:
            return (name, *arguments)
    return None


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
