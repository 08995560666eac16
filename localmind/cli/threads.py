"""`localmind threads`: what was asked and answered, kept on this machine until it is deleted."""

import time

import click

from localmind.clean import clean, clean_line
from localmind.cli._output import connect, note, print_json, table


@click.group()
def threads() -> None:
    """Read again, or delete, what was asked and answered.

    A thread is named by its id or the beginning of it.
    """


@threads.command("list")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(limit: int, as_json: bool) -> None:
    """List threads, the one used last first."""
    with connect() as client:
        found = client.get("/threads", limit=limit)["threads"]
    if as_json:
        print_json({"threads": found})
    elif found:
        rows = [(t["id"], _when(t["updated_at"]), str(t["turns"]), t["title"]) for t in found]
        table(("THREAD", "LAST USED", "TURNS", "TITLE"), rows)
    else:
        note("nothing has been asked yet\nhint: localmind ask QUESTION")


@threads.command()
@click.argument("thread")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(thread: str, as_json: bool) -> None:
    """Show everything said in a thread, with sources."""
    with connect() as client:
        found = client.get(f"/threads/{thread}")
    if as_json:
        print_json(found)
        return
    for message in found["messages"]:
        mark = ">" if message["role"] == "user" else " "
        for line in clean(message["content"]).splitlines() or [""]:
            click.echo(f"{mark} {line}")
        if message["state"] in ("stopped", "failed"):
            note(f"  ({message['state']}{': ' + clean_line(message['error']) if message['error'] else ''})")
        for source in message["sources"]:
            click.echo(
                f"    [{source['number']}] {clean_line(source['path'])}:{source['line_start']}-{source['line_end']}"
            )
        click.echo()


@threads.command()
@click.argument("thread")
def rm(thread: str) -> None:
    """Delete a thread for good: no copy stays in the database or its backups."""
    with connect() as client:
        found = client.delete(f"/threads/{thread}")["thread"]
    note(f"deleted {found['id']}: {clean_line(found['title'])}")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
