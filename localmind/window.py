"""Opens the terminal app over a client of the daemon, or the same conversation as plain lines.

Needs neither click nor HTTP: they take as long to load as an eighth of the way to the first picture, so the client
comes after it, and `localmind chat` without options is opened without the parser of options.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import localmind_tui
from localmind.paths import Paths, typed_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localmind.client import AsyncClient


def open_window(
    *, folder: Path | None = None, model: str | None = None, thread: str | None = None, goes_on: bool = False
) -> int:
    """The app, until the user leaves it; the value is an exit code. A terminal that cannot be drawn on gets lines."""
    if os.environ.get("TERM", "") == "dumb":
        sys.stderr.write("Lines of text, as with --plain: this terminal cannot be drawn on (TERM=dumb).\n")
        return open_plain(folder=folder, model=model, thread=thread, goes_on=goes_on)
    paths = Paths.find()
    return localmind_tui.run(
        lambda: _client(paths),
        folder=_absolute(folder),
        model=model,
        thread=thread,
        goes_on=goes_on,
        memory=paths.data / "tui.json",
        settings=paths.settings_file,
        templates=paths.config / "templates",
        sound=lambda path, body: _sound(paths, path, body),
    )


def open_plain(
    *, folder: Path | None = None, model: str | None = None, thread: str | None = None, goes_on: bool = False
) -> int:
    """The conversation as lines of text."""
    client = _client(Paths.find())
    return localmind_tui.run_plain(client, folder=_absolute(folder), model=model, thread=thread, goes_on=goes_on)


def _absolute(folder: Path | None) -> str | None:
    return str(typed_path(folder)) if folder else None


def _sound(paths: Paths, path: str, body: dict[str, Any]) -> "Iterator[bytes]":
    from localmind.client import Client

    return Client(paths).sound(path, body)


def _client(paths: Paths) -> "AsyncClient":
    from localmind.client import AsyncClient  # with HTTP: the first picture need not wait for it

    return AsyncClient(paths)
