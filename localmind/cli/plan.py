"""`localmind models plan`: how a model would be laid on this machine, or on a described one, and why."""

from pathlib import Path
from typing import Any

import click

from localmind.clean import clean_line
from localmind.cli import _complete as complete
from localmind.cli._output import connect, note, print_json, table
from localmind.errors import InvalidRequest

GIB = 1 << 30


@click.command()
@click.argument("name", shell_complete=complete.models)
@click.option("--context", type=click.IntRange(256, 1 << 24), help="Cells of context, instead of as many as sensible.")
@click.option("--gpu-layers", type=click.IntRange(0), help="Layers on GPUs, instead of as many as fit.")
@click.option("--kv-type", type=click.Choice(["f16", "q8_0", "q4_0"]), help="How keys and values are stored.")
@click.option("--machine", "file", type=click.Path(path_type=Path), help="Plan for the machine described in this file.")
@click.option("--explain", is_flag=True, help="Say why, a sentence for each choice.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def plan(
    name: str,
    context: int | None,
    gpu_layers: int | None,
    kv_type: str | None,
    file: Path | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Show how a model would be laid on this machine.

    Layers by device, context, and the bytes of each part, before anything is loaded. A model that is not here yet
    is planned by its shape in the catalog.

    \b
    localmind models plan qwen3:4b --explain
    localmind models plan qwen3:4b --context 32768 --kv-type q8_0
    localmind models plan llama3.1:8b --machine desktop.toml

    \b
    desktop.toml describes a computer that is not here, in GiB:
      cores = 8
      memory = 32
      free = 24
      gpus = [{ name = "RTX 4070", backend = "CUDA", memory = 12, free = 11 }]
    """
    body = {
        "model": name,
        "context": context,
        "gpu_layers": gpu_layers,
        "kv_type": kv_type,
        "machine": None if file is None else _description(file),
    }
    with connect() as client:
        found = client.post("/plan", {key: value for key, value in body.items() if value is not None})
    if as_json:
        print_json(found)
        return
    _show(found)
    if explain:
        click.echo()
        for reason in found["reasons"]:
            click.echo(clean_line(f"- {reason}"))
    elif found["short"]:
        note(found["reasons"][0])
    if found["in_use"] and found["in_use"]["n_ctx"] != found["plan"]["n_ctx"]:
        note(f"it is in memory now with {found['in_use']['n_ctx']} cells, by the plan of its load")
    if found["estimated"]:
        note(f"{found['model']} is not here: sizes are worked out from its shape, and may be some percent off")
    if not explain:
        note("--explain says why")


def _show(found: dict[str, Any]) -> None:
    plan, machine = found["plan"], found["machine"]
    devices = ", ".join(f"{gpu['name']} ({gpu['backend']})" for gpu in machine["gpus"])
    click.echo(
        clean_line(
            f"{found['model']}, {_gib(found['weights'])} of weights, on {machine['name']}: {machine['cores']} cores, "
            f"{_gib(machine['free'])} of {_gib(machine['memory'])} free{', ' + devices if devices else ''}"
        )
    )
    table(
        ("DEVICE", "LAYERS", "WEIGHTS", "CONTEXT", "SCRATCH", "OTHER", "TAKES", "OF"),
        [
            (
                f"{each['name']}" + (f" ({each['device']})" if each["device"] != "RAM" else ""),
                str(each["layers"]),
                *(_gib(each[key]) for key in ("weights", "kv", "compute", "other", "total", "given")),
            )
            for each in found["devices"]
        ],
    )
    flash = {None: "where the device has it", True: "on", False: "off"}[plan["flash_attn"]]
    lines = [
        ("context", f"{plan['n_ctx']} cells, keys and values in {plan['kv_type']}"),
        ("batch", f"{plan['n_batch']} tokens in pieces of {plan['n_ubatch']}, flash attention {flash}"),
        ("threads", f"{plan['n_threads']} for a token, {plan['n_threads_batch']} for a prompt"),
        ("weights", ("mapped" if plan["use_mmap"] else "read") + (", locked" if plan["use_mlock"] else ", not locked")),
    ]
    if plan["cpu_experts"]:
        lines.insert(0, ("experts", f"those of the first {plan['cpu_experts']} layers in main memory"))
    for key, value in lines:
        click.echo(f"{key:8} {value}")


def _gib(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB // 10 else f"{count / (1 << 20):.0f} MiB"


def _description(file: Path) -> dict[str, Any]:
    """The table in the file; what it means is the daemon's business."""
    import tomllib

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as problem:
        raise InvalidRequest(f"{file} cannot be read: {problem.strerror}", hint="--machine FILE") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise InvalidRequest(
            f"{file} is not TOML: {problem}", hint="localmind models plan --help shows a description"
        ) from problem
