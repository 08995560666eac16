"""`localmind chat`: the terminal app."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from localmind.errors import InvalidRequest
from localmind.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localmind.client import AsyncClient


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Ask only this watched folder.")
@click.option("-m", "--model", help="Answer with this model instead of the default one.")
@click.option("--thread", help="Open this thread; the beginning of its id is enough.")
@click.option("--plain", is_flag=True, help="Lines of text only, for screen readers and simple terminals.")
def chat(folder: Path | None, model: str | None, thread: str | None, plain: bool) -> None:
    """Open the terminal app.

    Answers are written by the daemon: close the app, come back, and they are there. It needs a terminal;
    in scripts use `localmind ask`.
    """
    if not plain and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidRequest("the terminal app needs a terminal", hint="localmind ask QUESTION, or --plain")
    import localmind_tui

    paths = Paths.find()
    only = str(folder.expanduser().absolute()) if folder else None
    if plain:
        from localmind.client import AsyncClient

        sys.exit(localmind_tui.run_plain(AsyncClient(paths), folder=only, model=model, thread=thread))
    sys.exit(
        localmind_tui.run(
            lambda: _client(paths),
            folder=only,
            model=model,
            thread=thread,
            memory=paths.data / "tui.json",
            settings=paths.settings_file,
            templates=paths.config / "templates",
            sound=lambda path, body: _sound(paths, path, body),
        )
    )


def _sound(paths: Paths, path: str, body: dict[str, Any]) -> "Iterator[bytes]":
    from localmind.client import Client

    return Client(paths).sound(path, body)


def _client(paths: Paths) -> "AsyncClient":
    from localmind.client import AsyncClient  # with HTTP: the first picture need not wait for it

    return AsyncClient(paths)
