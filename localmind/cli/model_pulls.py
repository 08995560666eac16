"""`localmind models pulls|pause|resume|cancel|prune`: downloads under way, from any terminal."""

import click

from localmind.cli import _complete as complete
from localmind.cli._output import connect, note, print_json, table
from localmind.counted import size
from localmind.durations import words


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def pulls(as_json: bool) -> None:
    """List the downloads under way."""
    with connect() as client:
        found = client.get("/models/pulls")["pulls"]
    if as_json:
        print_json({"pulls": found})
        return
    rows = []
    for one in found:
        step = one["progress"] or {}
        done = (
            f"{size(step['done'])} of {size(step['total'])}" if step.get("unit") == "B" and step.get("total") else "-"
        )
        rate = f"{size(step['rate'])}/s" if step.get("rate") and step.get("stage") != "paused" else "-"
        left = words(step["eta_s"]) if step.get("eta_s") is not None and step.get("stage") != "paused" else "-"
        rows.append((one["model"], step.get("stage", "find"), done, rate, left))
    table(("MODEL", "STAGE", "DONE", "RATE", "LEFT"), rows)


@click.command()
@click.argument("name", shell_complete=complete.pulls)
def pause(name: str) -> None:
    """Let a download rest. It keeps what it has."""
    with connect() as client:
        found = client.post("/models/pull/pause", {"model": name})["model"]
    note(f"{found} rests; `localmind models resume {found}` goes on")


@click.command()
@click.argument("name", shell_complete=complete.pulls)
def resume(name: str) -> None:
    """Go on with a download that rests."""
    with connect() as client:
        found = client.post("/models/pull/resume", {"model": name})["model"]
    note(f"{found} goes on")


@click.command()
@click.argument("name", shell_complete=complete.pulls)
def cancel(name: str) -> None:
    """Stop a download, whoever started it.

    What came is kept: the next pull goes on with it, and `localmind models prune` gives its room back.
    """
    with connect() as client:
        found = client.post("/models/pull/cancel", {"model": name})["model"]
    note(f"{found} is stopped")


@click.command()
def prune() -> None:
    """Delete what stopped downloads left, and files that no model needs."""
    with connect() as client:
        freed = client.post("/models/prune")["freed_bytes"]
    note(f"{size(freed)} freed")
