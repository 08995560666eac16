"""`localmind models`: what can be fetched, what is here, what it costs."""

import click

from localmind.clean import clean_line
from localmind.cli._output import connect, note, print_json, show_progress, size, table
from localmind.errors import ModelFileBroken
from localmind.events import TextDelta


@click.group()
def models() -> None:
    """List, fetch and remove models.

    \b
    localmind models list                  the catalog, and what is on this machine
    localmind models pull smollm2:135m     fetch one
    localmind models pull --starter        fetch the small set that everything works with
    """


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(as_json: bool) -> None:
    """List the catalog and what is on this machine."""
    with connect() as client:
        found = client.get("/models")["models"]
    if as_json:
        print_json({"models": found})
        return
    table(
        ("MODEL", "FOR", "SIZE", "LICENCE", "HERE"),
        [(m["name"], m["role"], size(m["size"]), m["licence"], "yes" if m["installed"] else "-") for m in found],
    )


@models.command()
@click.argument("names", nargs=-1)
@click.option("--starter", is_flag=True, help="Fetch the starter set: chat, embeddings, speech.")
def pull(names: tuple[str, ...], starter: bool) -> None:
    """Fetch models, verified by sha256.

    An interrupted pull goes on where it stopped. What is here already is not fetched again.
    """
    with connect() as client:
        if starter:
            names += tuple(m["name"] for m in client.get("/models")["models"] if m["starter"])
        if not names:
            raise click.UsageError("Name a model, or use --starter. `localmind models list` shows them.")
        for name in dict.fromkeys(names):
            for _ in show_progress(client.events("/models/pull", {"model": name})):
                pass
            note(f"{name} is here")


@models.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(name: str, as_json: bool) -> None:
    """Show what is known of a model."""
    with connect() as client:
        found = client.get("/models/show", name=name)
    if as_json:
        print_json(found)
        return
    for key in ("name", "role", "family", "parameters", "quantisation", "context", "licence", "good_for"):
        if found.get(key) not in (None, "", [], ()):
            value = found[key]
            click.echo(f"{key:13} {clean_line(', '.join(value) if isinstance(value, list) else str(value))}")
    click.echo(f"{'size':13} {size(found['size'])}")
    if found["memory"]:
        click.echo(f"{'memory':13} {clean_line(found['memory']['kind'] + ': ' + found['memory']['explanation'])}")
    elif found["format"] == "gguf":
        click.echo(f"{'memory':13} not loaded yet: its kind is found out at the first load")
    click.echo(f"{'here':13} {'yes' if found['installed'] else 'no: localmind models pull ' + found['name']}")


@models.command()
@click.argument("name")
def verify(name: str) -> None:
    """Read a model's files again and compare them with their sha256.

    A damaged file is fetched again by `localmind models pull`.
    """
    with connect() as client:
        problems: list[str] = []
        for event in show_progress(client.events("/models/verify", {"model": name})):
            if isinstance(event, TextDelta):
                problems.append(event.text)
    if problems:
        raise ModelFileBroken("; ".join(problems), hint=f"localmind models pull {name}")
    note(f"{name} is whole")


@models.command()
@click.argument("name")
def rm(name: str) -> None:
    """Remove a model's files from this machine."""
    with connect() as client:
        freed = client.delete("/models", name=name)["freed_bytes"]
    note(f"{name} is gone; {size(freed)} freed")
