"""`localmind threads` and `localmind logs`: what was asked and answered, kept on this machine until it is deleted."""

import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from localmind.clean import clean, clean_line
from localmind.cli import _complete as complete
from localmind.cli._groups import Group
from localmind.cli._output import connect, note, print_json, table
from localmind.endings import CUT
from localmind.errors import LocalmindError
from localmind.events import Passage
from localmind.images import Looks
from localmind.paths import write_new

LIMIT = click.IntRange(1, 500)
NOTHING = "nothing has been asked yet\nhint: localmind ask QUESTION"


@click.group(cls=Group)
def threads() -> None:
    """Read again, search, export or delete what was said.

    A thread is named by its id or the beginning of it.

    \b
    localmind threads list
    localmind threads search boiler
    localmind threads show 3f2a
    localmind threads export 3f2a -o boiler.md
    """


@threads.command("list")
@click.option("-n", "--limit", type=LIMIT, default=20, show_default=True, help="How many.")
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
        note(NOTHING)


@threads.command()
@click.argument("thread", type=complete.THREAD)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(thread: str, as_json: bool) -> None:
    """Show everything said in a thread, with sources."""
    with connect() as client:
        found = client.get(f"/threads/{thread}")
    if as_json:
        print_json(found)
        return
    for message in found["messages"]:
        _print_message(message)


@threads.command()
@click.argument("query", nargs=-1, required=True)
@click.option("-n", "--limit", type=LIMIT, default=20, show_default=True, help="How many places.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def search(query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find what was said, in every thread."""
    with connect() as client:
        hits = client.get("/threads/search", q=" ".join(query), limit=limit)["hits"]
    if as_json:
        print_json({"hits": hits})
        return
    if not hits:
        note("nothing was said about that")
    for hit in hits:
        text = clean_line("".join(piece for piece, _ in hit["snippet"]))
        click.echo(f"{hit['thread']['id']}  {_when(hit['created_at'])}  {hit['role'] or 'title'}: {text}")


@threads.command()
@click.argument("thread", type=complete.THREAD)
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of Markdown.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write into this new file instead of stdout.")
def export(thread: str, as_json: bool, output: Path | None) -> None:
    """Write a thread out as Markdown or JSON."""
    with connect() as client:
        form = "json" if as_json else "markdown"
        text = client.text(f"/threads/{thread}/export", form=form).rstrip("\n") + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        write_new(output, text)
    except OSError as problem:
        raise LocalmindError(f"{output} cannot be written: {problem.strerror}", hint="name a new file") from problem
    note(f"written to {output}")


@threads.command()
@click.argument("thread", type=complete.THREAD)
@click.argument("title")
def rename(thread: str, title: str) -> None:
    """Give a thread another title."""
    with connect() as client:
        found = client.patch(f"/threads/{thread}", {"title": title})["thread"]
    note(f"{found['id']} is called {clean_line(found['title'])}")


@threads.command()
@click.argument("thread", type=complete.THREAD)
def rm(thread: str) -> None:
    """Delete a thread for good: no copy stays in the database or its backups."""
    with connect() as client:
        found = client.delete(f"/threads/{thread}")["thread"]
    note(f"deleted {found['id']}: {clean_line(found['title'])}")


@click.command()
@click.option("-q", "--query", metavar="WORDS", help="Only threads in which this was said.")
@click.option("-n", "--limit", type=LIMIT, default=3, show_default=True, help="How many threads.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def logs(query: str | None, limit: int, as_json: bool) -> None:
    """Print the last conversations, or those that a search finds.

    \b
    localmind logs                  the last three
    localmind logs -q boiler -n 1   the last one about the boiler
    localmind logs --json | jq .    for a script
    """
    with connect() as client:
        if query:
            hits = client.get("/threads/search", q=query, limit=limit, once=True)["hits"]
            names = [hit["thread"]["id"] for hit in hits]
        else:
            names = [each["id"] for each in client.get("/threads", limit=limit)["threads"]]
        found = [client.get(f"/threads/{name}") for name in names]
    if as_json:
        print_json({"threads": found})
        return
    if not found:
        note("nothing was said about that" if query else NOTHING)
    for each in found:
        thread = each["thread"]
        click.echo(f"# {clean_line(thread['title'])}  ({thread['id']}, {_when(thread['updated_at'])})\n")
        for message in each["messages"]:
            _print_message(message)


def _print_message(message: dict[str, Any]) -> None:
    mark = ">" if message["role"] == "user" else " "
    for line in clean(message["content"]).splitlines() or [""]:
        click.echo(f"{mark} {line}")
    for path in message["attachments"]:
        click.echo(f"{mark} with {clean_line(path)}")
    for image in message["images"]:
        looks = Looks(image["media_type"], image["width"], image["height"], image["size"])
        click.echo(f"{mark} with the image {clean_line(image['name'])}, {looks.words}")
    if message["state"] in ("stopped", "failed"):
        note(f"  ({message['state']}{': ' + clean_line(message['error']) if message['error'] else ''})")
    elif message["finish_reason"] in CUT:
        note(f"  ({CUT[message['finish_reason']]})")
    for source in message["sources"]:
        click.echo(f"    [{source['number']}] {clean_line(msgspec.convert(source, Passage).place)}")
    click.echo()


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
