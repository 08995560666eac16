"""Writing a thread to a file of the user's, beside those that are there already."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localmind.clean import clean_line
from localmind.errors import LocalmindError
from localmind.paths import typed_path, write_new
from localmind_tui.daemon import Daemon


async def export(daemon: Daemon, thread: Mapping[str, Any], wanted: str, here: Path) -> Path:
    """Write a thread to a file that is not there yet; `.json` in its name chooses JSON."""
    name = re.sub(r"[\W_]+", "-", clean_line(str(thread["title"])).lower())
    path = typed_path(wanted, here) if wanted else here / f"{name.strip('-')[:60] or 'thread'}.md"
    form = "json" if path.suffix == ".json" else "markdown"
    text = await daemon.text(f"/threads/{thread['id']}/export", form=form)
    for count in range(1000):
        free = path if not count else path.with_stem(f"{path.stem}-{count}")
        try:
            await asyncio.to_thread(write_new, free, text)
        except FileExistsError:
            continue
        except OSError as problem:
            raise LocalmindError(f"{free} cannot be written: {problem.strerror}", hint="/export FILE") from problem
        return free
    raise LocalmindError(f"{path} is there already", hint="/export ANOTHER-NAME.md")
