"""`localmind chat`: the terminal app."""

import sys
from pathlib import Path

import click

from localmind.cli import _complete as complete
from localmind.cli import _options as options
from localmind.errors import InvalidRequest


@click.command()
@options.folder("Ask only this watched folder.")
@options.answering("Answer with this model instead of the default one.")
@click.option(
    "--thread", type=complete.THREAD, metavar="ID", help="Open this thread; the beginning of its id is enough."
)
@click.option("-c", "--continue", "goes_on", is_flag=True, help="Open the thread used last.")
@click.option("--plain", is_flag=True, help="Lines of text only, for screen readers and simple terminals.")
def chat(folder: Path | None, model: str | None, thread: str | None, goes_on: bool, plain: bool) -> None:
    """Open the terminal app.

    Answers are written by the daemon: close the app, come back, and they are there, with -c or with F6. It needs a
    terminal; in scripts use `localmind ask`. F1 shows the keys, Ctrl-Q leaves.

    \b
    localmind chat
    localmind chat -c
    localmind chat --folder ~/Documents/house
    localmind chat --thread 3f2a -m qwen3:4b
    """
    if goes_on and thread:
        raise click.UsageError("--continue and --thread do not go together.")
    if not plain and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidRequest("the terminal app needs a terminal", hint="localmind ask QUESTION, or --plain")
    from localmind import window

    open_it = window.open_plain if plain else window.open_window
    sys.exit(open_it(folder=folder, model=model, thread=thread, goes_on=goes_on))
