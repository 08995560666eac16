"""`localmind doctor`: what is wrong, what was healed, and what to type."""

import sys

import click

from localmind.cli._output import print_json
from localmind.paths import Paths

MARKS = {"ok": ("✓", "green"), "note": ("•", "cyan"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check this machine and explain what localmind found.

    Works with and without a running daemon and changes nothing. Exits with 1 when something is broken.
    """
    from localmind.client import Client
    from localmind.errors import LocalmindError
    from localmind.machine.doctor import findings

    paths = Paths.find()
    state = None
    try:
        with Client(paths) as client:
            state = client.get("/status")
    except LocalmindError:
        state = None
    found = findings(paths, state)
    if as_json:
        print_json([{"level": f.level, "title": f.title, "text": f.text, "hint": f.hint} for f in found])
    else:
        for finding in found:
            mark, colour = MARKS[finding.level]
            click.secho(f"{mark} {finding.title}", fg=colour)
            if finding.text:
                click.echo(f"    {finding.text}")
            if finding.hint:
                click.echo(f"    hint: {finding.hint}")
    if any(finding.level == "problem" for finding in found):
        sys.exit(1)
