"""`localmind status`, `stop` and `token`: about the daemon itself."""

import json
import os
import signal
from typing import Any

import click

from localmind.cli._output import note, print_json, table
from localmind.cli.models_memory import show_memory
from localmind.errors import DaemonUnreachable, TimedOut
from localmind.paths import Paths

STOP_TIMEOUT_S = 20.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def status(as_json: bool) -> None:
    """Show what the daemon is doing.

    Exits with 3 when no daemon runs; it is not started by this command.
    """
    from localmind.client import Client

    with Client(Paths.find()) as client:
        state = client.get("/status")
    if as_json:
        print_json(state)
        return
    where = f"http://127.0.0.1:{state['port']}/v1" if state["port"] else f"no TCP: {state['tcp_problem']}"
    print(f"localmind {state['version']}, pid {state['pid']}, up {state['uptime_s']:.0f} s, {where}")  # noqa: T201
    if second := state["ollama_port"]:
        note(f"as Ollama: {second['problem'] or 'http://127.0.0.1:' + str(second['port'])}")
    if state["models"]:
        table(
            ("MODEL", "STATE", "PID", "RUNNING", "QUEUED", "CELLS", "PROMPT", "ANSWER"),
            [_model(model) for model in state["models"]],
        )
        show_memory({"devices": state["memory"], "models": state["models"]})
        for model in state["models"]:
            if model["gave_up"]:
                note(f"{model['model']} has {model['gave_up']}: memory ran out")
    if state["remotes"]:
        table(
            ("ELSEWHERE", "ADDRESS", "MODELS", "YOUR FILES", "STATE"),
            [
                (r["name"], r["url"], str(len(r["models"])), "may go there" if r["files"] else "stay here", _answers(r))
                for r in state["remotes"]
            ],
        )
    if state["folders"]:
        table(
            ("FOLDER", "FILES", "CHUNKS", "STATE"),
            [(f["path"], str(f["files"]), str(f["chunks"]), f["state"]) for f in state["folders"]],
        )


def _answers(remote: dict[str, Any]) -> str:
    return remote["problem"] or ("answers" if remote["listed"] else "not asked yet")


def _model(model: dict[str, Any]) -> tuple[str, ...]:
    """A line of the table. Speeds are those of the latest request that was long enough to tell."""
    engine = model.get("engine") or {}

    def known(value: Any, unit: str = "") -> str:
        return "-" if value is None else f"{value}{unit}"

    cells = f"{engine['cells_used']}/{engine['n_ctx']}" if "cells_used" in engine else "-"
    return (
        model["model"],
        model["state"],
        known(model["pid"]),
        str(model["running"]),
        known(engine.get("queued")),
        cells,
        known(model["prefill_tok_s"], " tok/s"),
        known(model["decode_tok_s"], " tok/s"),
    )


@click.command()
def stop() -> None:
    """Stop the daemon.

    Streams end with a last event, jobs are resumed at the next start. Doing it twice is no error.
    """
    import filelock

    paths = Paths.find()
    lock = filelock.FileLock(paths.lock_file)
    try:
        # The lock tells: a pid left behind by kill -9 may belong to somebody else by now.
        if paths.lock_file.exists():
            lock.acquire(timeout=0)
        note("no daemon is running")
        return
    except filelock.Timeout:
        pid = int(json.loads((paths.data / "runtime.json").read_bytes())["pid"])
    finally:
        lock.release()
    os.kill(pid, signal.SIGTERM)
    try:
        with lock.acquire(timeout=STOP_TIMEOUT_S, poll_interval=0.02):
            note("stopped")
    except filelock.Timeout:
        raise TimedOut(
            f"the daemon (pid {pid}) did not stop in {STOP_TIMEOUT_S:.0f} s", hint=f"kill -9 {pid}"
        ) from None


@click.command()
def token() -> None:
    """Print the token that other programs may use.

    Your own programs need none. Send it as `Authorization: Bearer TOKEN` from a container or another user.
    """
    paths = Paths.find()
    try:
        text = paths.token_file.read_text("ascii").strip()
    except OSError as problem:
        raise DaemonUnreachable(
            "there is no token yet: the daemon has never run here", hint="localmind serve"
        ) from problem
    print(text)  # noqa: T201
