"""A question on its way to the daemon, with all that it is asked with as it was when Enter was pressed.

What it names is read before the daemon has it, and the user may be in another thread by then.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localmind_tui.attaching import attach
from localmind_tui.completion import references
from localmind_tui.daemon import Daemon
from localmind_tui.remembered import Picture


@dataclass(slots=True, frozen=True, kw_only=True)
class Outgoing:
    """Nothing of it changes any more."""

    text: str
    thread: str
    """Where it was typed; empty where none has begun."""
    mode: str | None
    """What it is answered from: `files`, `chat` or `attached`; None leaves that to the daemon."""
    searches: bool
    """A folder that it names is searched, whatever it would be about without one."""
    folder: str | None
    model: str | None
    beside: int | None
    """The turn whose question it words anew."""
    files: Sequence[Mapping[str, str]]
    """What that turn took along and no word of it names, as the native API wants it."""
    pasted: Sequence[tuple[str, str]]
    """Long pastes: name and text."""
    pictures: tuple[Picture, ...]
    options: Mapping[str, Any]
    """Of a thread that begins with it."""

    async def send(self, daemon: Daemon, roots: Sequence[str], here: Path) -> dict[str, Any]:
        """Have it stored and answered; the answer is `messages[-1]`. Raises LocalmindError, and nothing is stored."""
        named = await asyncio.to_thread(references, self.text, roots, here)
        attached = await asyncio.to_thread(attach, named, self.pasted, self.pictures)
        return await daemon.begin(
            self.text,
            thread=self.thread or None,
            mode="files" if attached.folder and self.searches else self.mode,
            folder=attached.folder or self.folder,
            model=self.model,
            attachments=(*attached.files, *self.files),
            images=attached.images,
            beside=self.beside,
            options=self.options or None,
        )
