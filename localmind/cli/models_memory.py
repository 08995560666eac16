"""`localmind models load`, `unload`, `pin` and `memory`: what is in memory, and for how long."""

from typing import Any

import click

from localmind.cli import _complete as complete
from localmind.cli._output import connect, note, print_json, show_progress, table
from localmind.counted import size
from localmind.durations import words


@click.command()
@click.argument("name", shell_complete=complete.installed)
@click.option("--keep-alive", metavar="TIME", help="Keep it so long when idle: 10m, 2h, 0 (not at all), -1 (for ever).")
@click.option("--pin", is_flag=True, help="Never take it out of memory for another model.")
def load(name: str, keep_alive: str | None, pin: bool) -> None:
    """Bring a model into memory before it is asked.

    \b
    localmind models load smollm2:135m --keep-alive 2h
    localmind models load smollm2:135m --pin
    """
    with connect() as client:
        body = {"model": name, "keep_alive": keep_alive, "pin": pin}
        for _ in show_progress(client.events("/memory/load", body)):
            pass
        found = _account(client, name)
        for model in client.get("/status")["models"]:
            if found and model["model"] == found["model"] and model["gave_up"]:
                note(f"memory ran out: it has {model['gave_up']}")
    if found:
        note(f"{found['model']} is in memory: {_bytes(found)}, {stays(found)}")


@click.command()
@click.argument("name", shell_complete=complete.installed)
def unload(name: str) -> None:
    """Take a model out of memory.

    A pin is lifted with it. A model that is answering stays.
    """
    with connect() as client:
        gone = client.post("/memory/unload", {"model": name})["model"]
    note(f"{gone} is out of memory")


@click.command()
@click.argument("name", shell_complete=complete.installed)
@click.option("--off", is_flag=True, help="Lift the pin: others may take its place again.")
def pin(name: str, off: bool) -> None:
    """Keep a model in memory whatever other models need.

    It is remembered over a restart. Load it with `localmind models load NAME --pin`.
    """
    with connect() as client:
        done = client.post("/memory/pin", {"model": name, "pinned": not off})
    note(f"{done['model']} is {'pinned' if done['pinned'] else 'not pinned any more'}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def memory(as_json: bool) -> None:
    """Show what models hold in memory, and what is left.

    Bytes are booked before a model is loaded. Idle models make room for others, the one used longest ago first:
    its context, then its weights.
    """
    with connect() as client:
        found = client.get("/memory")
    if as_json:
        print_json(found)
        return
    show_memory(found)


def show_memory(found: dict[str, Any]) -> None:
    """Two tables: devices, and models that hold something or are waited for."""
    table(
        ("DEVICE", "MODELS MAY HAVE", "RESERVED", "FREE"),
        [(d["device"], size(d["budget"]), size(d["reserved"]), size(d["free"])) for d in found["devices"]],
    )
    rows = [
        (m["model"], m["stage"], _bytes(m), str(m["running"]), str(m["waiting"]), stays(m))
        for m in found["models"]
        if m["stage"] != "cold" or m["waiting"]
    ]
    if rows:
        table(("MODEL", "STAGE", "RESERVED", "RUNNING", "WAITING", "STAYS"), rows)


def stays(model: dict[str, Any]) -> str:
    """ "pinned", "12 min more", "for ever"."""
    if model["pinned"]:
        return "pinned"
    if model["expires_in_s"] is not None:
        return f"{words(model['expires_in_s'])} more"
    return "for ever" if model["keep_alive_s"] is None else f"{words(model['keep_alive_s'])} after its last answer"


def _bytes(model: dict[str, Any]) -> str:
    held = {device: count for device, count in model["reserved"].items() if count}
    return ", ".join(f"{size(count)} {device}" for device, count in held.items()) or "-"


def _account(client: Any, name: str) -> dict[str, Any] | None:
    """What is said of the model just loaded: names may be aliases, so it is the one used last."""
    models: list[dict[str, Any]] = client.get("/memory")["models"]
    exact = [model for model in models if model["model"] == name]
    return next(iter(exact or [model for model in models if model["model"].startswith(f"{name}:")]), None)
