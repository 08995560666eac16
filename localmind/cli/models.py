"""`localmind models`: what can be fetched, what is here, what it costs."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import click

from localmind.clean import clean_line
from localmind.cli import _complete as complete
from localmind.cli._groups import Group
from localmind.cli._output import connect, note, print_json, show_progress, table
from localmind.cli.model_import import import_
from localmind.cli.model_pulls import cancel, pause, prune, pulls, resume
from localmind.cli.models_memory import load, memory, pin, unload
from localmind.cli.plan import plan
from localmind.cli.recommend import environment, fetch_best, recommend
from localmind.counted import size
from localmind.errors import ModelFileBroken, ModelNotFound
from localmind.events import Event, Progress, TextDelta


@click.group(cls=Group)
def models() -> None:
    """List, fetch and remove models.

    \b
    localmind models recommend                 what fits this machine, and why
    localmind models plan qwen3:4b --explain   what it would take here, and why
    localmind models list                      the catalog, and what is here
    localmind models pull smollm2:135m         one by its name in the catalog
    localmind models pull hf.co/ORG/REPO:Q8_0  any GGUF repository of the Hub
    localmind models pull --starter            the small set that always works
    localmind models import                    what Ollama and LM Studio have
    """


@models.command("list")
@click.option("--here", is_flag=True, help="Only what is on this machine.")
@click.option(
    "--for", "use", metavar="USE", help="Only for this: chat, code, fim, tools, embed, rerank, speech, voice."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(here: bool, use: str | None, as_json: bool) -> None:
    """List the catalog and what is on this machine."""
    with connect() as client:
        listed = client.get("/models")
    remote = [m for m in listed["remote"] if not here and use in (None, m["role"])]
    found = listed["models"]
    found = [m for m in found if (m["installed"] or not here) and (use is None or use in (m["role"], *m["uses"]))]
    if as_json:
        print_json({"models": found, "remote": remote})
        return
    table(
        ("MODEL", "FOR", "SIZE", "LICENCE", "HERE"),
        [
            (
                m["name"],
                " ".join(m["uses"]) or m["role"],
                ("" if m["size_known"] else "~") + size(m["size"]),
                m["licence"],
                "yes" if m["installed"] else "-",
            )
            for m in found
        ]
        + [(m["name"], m["role"], "-", "-", _elsewhere(m)) for m in remote],
    )


@models.command()
@click.argument("names", nargs=-1, shell_complete=complete.models)
@click.option("--starter", is_flag=True, help="Fetch the starter set: chat, embeddings, speech.")
@click.option("--recommended", is_flag=True, help="Fetch the chat model that fits this machine best.")
@click.option("--update", is_flag=True, help="Look for a newer revision of what is here; without NAMES of all of it.")
@click.option("--with-mmproj", "projector", is_flag=True, help="Fetch a repository's projector for images as well.")
def pull(names: tuple[str, ...], starter: bool, recommended: bool, update: bool, projector: bool) -> None:
    """Fetch models, verified by sha256.

    A NAME is one of `localmind models list`, NAME-QUANTISATION for another size of it (qwen3:4b-q8_0),
    hf.co/ORG/REPO[:QUANT] for any repository of the Hub, or the address of a GGUF file.

    An interrupted pull goes on where it stopped. What is here already is not fetched again.
    With --update, what is here stays in use until the newer files are here and verified.
    HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE count as in Hugging Face's own tools.
    """
    with connect() as client:
        if starter:
            names += tuple(m["name"] for m in client.get("/models")["models"] if m["starter"])
        if recommended:
            fetch_best(client, environment())
        elif update and not names:
            names = tuple(m["name"] for m in client.get("/models")["models"] if m["installed"] and _from_hub(m))
            if not names:
                note("nothing that is here comes from the Hub")
        elif not names:
            raise click.UsageError("Name a model, or use --starter. `localmind models list` shows them.")
        for name in dict.fromkeys(names):
            if os.path.isfile(name) or os.path.isdir(name):
                raise click.UsageError(f"{name} is a path: use `localmind models import {name}`")
            before = _files(client, name) if update else None
            body = {"model": name, "projector": projector, "update": update, "environ": environment()}
            named = [name]
            for _ in show_progress(_named(client.events("/models/pull", body), named)):
                pass
            if before and before == _files(client, name):
                note(f"{named[-1]} is the newest there is")
            else:
                note(f"{named[-1]} is {'renewed' if before else 'here'}")


@models.command()
@click.argument("name", shell_complete=complete.models)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(name: str, as_json: bool) -> None:
    """Show what is known of a model."""
    with connect() as client:
        found = client.get("/models/show", name=name)
    if as_json:
        print_json(found)
        return
    keys = ("name", "role", "uses", "family", "parameters", "quantisation", "quantisations", "context", "licence")
    for key in (*keys, "description", "good_for"):
        if found.get(key) not in (None, "", [], ()):
            value = found[key]
            click.echo(f"{key:13} {clean_line(', '.join(value) if isinstance(value, list) else str(value))}")
    click.echo(f"{'size':13} {'' if found['size_known'] else 'about '}{size(found['size'])}")
    for source in found["sources"]:
        where = source.get("package") or source.get("repo") or source.get("url") or source["paths"][0]
        click.echo(f"{'from':13} {source['kind']} {clean_line(where)}")
    if found["memory"]:
        click.echo(f"{'memory':13} {clean_line(found['memory']['kind'] + ': ' + found['memory']['explanation'])}")
    elif found["format"] == "gguf":
        click.echo(f"{'memory':13} not loaded yet: its kind is found out at the first load")
    click.echo(f"{'here':13} {'yes' if found['installed'] else 'no: localmind models pull ' + found['name']}")


@models.command()
@click.argument("names", nargs=-1, shell_complete=complete.installed)
@click.option("--no-repair", is_flag=True, help="Only say what is damaged.")
def verify(names: tuple[str, ...], no_repair: bool) -> None:
    """Read models' files again, compare them with their sha256, and fetch again what is damaged.

    Without NAMES every model that is here is read.
    """
    with connect() as client:
        if not names:
            names = tuple(m["name"] for m in client.get("/models")["models"] if m["installed"])
        broken: list[str] = []
        for name in dict.fromkeys(names):
            problems: list[str] = []
            body = {"model": name, "repair": not no_repair, "environ": environment()}
            for event in show_progress(client.events("/models/verify", body)):
                if isinstance(event, TextDelta):
                    problems.append(event.text)
                    note(f"{name}: {clean_line(event.text)}")
            if problems and no_repair:
                broken.append(name)
            note(f"{name} is damaged" if problems and no_repair else f"{name} is whole{' again' if problems else ''}")
    if broken:
        raise ModelFileBroken(f"damaged: {', '.join(broken)}", hint=f"localmind models verify {' '.join(broken)}")


@models.command()
@click.argument("name", shell_complete=complete.installed)
def rm(name: str) -> None:
    """Remove a model's files from this machine."""
    with connect() as client:
        freed = client.delete("/models", name=name)["freed_bytes"]
    note(f"{name} is gone; {size(freed)} freed")


def _elsewhere(model: dict[str, Any]) -> str:
    sees = "; sees images" if model["sees"] else ""
    return f"no: asking it leaves this machine for {model['host']}{sees}"


def _from_hub(model: dict[str, Any]) -> bool:
    return any(source["kind"] == "hub" for source in model["sources"])


def _files(client: Any, name: str) -> set[str]:
    """The hashes of a model's files; none for one that is not here."""
    try:
        found = client.get("/models/show", name=name)
    except ModelNotFound:
        return set()
    return {file["sha256"] for file in found["files"]} if found["installed"] else set()


def _named(events: Iterable[Event], named: list[str]) -> Iterator[Event]:
    """Pass events on, and note the name under which a pull ends: a place on the Hub gets its quantisation."""
    for event in events:
        if isinstance(event, Progress) and event.stage == "ready" and event.text:
            named.append(event.text)
        yield event


for command in (recommend, plan, import_, pulls, pause, resume, cancel, prune, load, unload, pin, memory):
    models.add_command(command)
