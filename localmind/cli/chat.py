"""`localmind chat`: the terminal app."""

import sys

import click

from localmind.cli._output import connect
from localmind.errors import InvalidRequest
from localmind.paths import Paths


@click.command()
def chat() -> None:
    """Open the terminal app.

    It needs a terminal; in scripts use `localmind ask`.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidRequest("the terminal app needs a terminal", hint="localmind ask QUESTION")
    paths = Paths.find()
    connect(paths).__exit__()
    import localmind_tui
    from localmind.client import AsyncClient

    sys.exit(localmind_tui.run(AsyncClient(paths)))
