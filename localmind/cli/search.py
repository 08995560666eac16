"""`localmind search`: the passages themselves, without a model's words."""

from pathlib import Path
from typing import Any

import click
import msgspec

from localmind.clean import clean, clean_line
from localmind.cli import _options as options
from localmind.cli._output import connect, note, print_json
from localmind.events import Passage
from localmind.paths import typed_path

LINES = 4


@click.command()
@click.argument("query", nargs=-1, required=True)
@options.files("-t", "--type", "kind")
@click.option("-n", "--limit", type=click.IntRange(1, 100), default=5, show_default=True, help="How many passages.")
@click.option("--explain", is_flag=True, help="Say what keywords and meaning each found, and how near it came.")
@click.option("--json", "as_json", is_flag=True, help="Print the passages as JSON.")
def search(
    query: tuple[str, ...],
    folder: Path | None,
    glob: str | None,
    kind: str | None,
    after: str | None,
    before: str | None,
    limit: int,
    explain: bool,
    as_json: bool,
) -> None:
    """Find passages in your watched folders.

    Meaning and keywords count together; a name, a path or a "quoted phrase" makes keywords count more.

    \b
    localmind search when was the boiler serviced
    localmind search '"Marek Dudek"' -g '*.md' --after 2026-01
    localmind search --json pump | jq -r '.passages[].path'
    """
    if not (wanted := " ".join(query).strip()):
        raise click.UsageError('What do you want to find? Example: localmind search "boiler serviced"')
    body = {
        "query": wanted,
        "limit": limit,
        "folder": str(typed_path(folder)) if folder else None,
        "glob": glob,
        "type": kind,
        "after": after,
        "before": before,
        "explain": explain,
    }
    with connect() as client:
        answer = client.post("/search", {name: value for name, value in body.items() if value is not None})
    if as_json:
        print_json(answer)
        return
    for passage in answer["passages"]:
        _show(msgspec.convert(passage, Passage))
    if explain:
        _explain(answer["trace"])
    if not answer["passages"]:
        note("nothing in your files fits that query")


def _show(passage: Passage) -> None:
    click.secho(clean_line(passage.place), bold=True, nl=False)
    click.echo(f"  {clean(passage.heading or '')}")
    lines = [line for line in clean(passage.text).splitlines() if line.strip()]
    for line in lines[:LINES]:
        click.echo(f"    {line[:160]}")


def _explain(trace: dict[str, Any]) -> None:
    """For a person, on stderr: stdout stays the passages."""
    note(f"looked for: {' '.join(trace['terms'])} (keywords count {trace['keyword_weight']:g} against meaning 1)")
    for name, label in (("keyword", "by keyword"), ("dense", "by meaning"), ("shown", "above the floor")):
        found = trace["stages"][name]
        first = f", first {clean_line(msgspec.convert(found[0], Passage).place)}" if found else ""
        note(f"{label}: {len(found)}{'+' if len(found) >= 50 else ''}{first}")
    note(f"best evidence {trace['evidence']:.2f}, and at least {trace['floor']:.2f} is asked")
    note(", ".join(f"{name} {ms:.0f} ms" for name, ms in trace["ms"].items()))
