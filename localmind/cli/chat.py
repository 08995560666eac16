"""`localmind chat`: the terminal app."""

import sys
from pathlib import Path

import click

from localmind.errors import InvalidRequest


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
    from localmind import window

    open_it = window.open_plain if plain else window.open_window
    sys.exit(open_it(folder=folder, model=model, thread=thread))
