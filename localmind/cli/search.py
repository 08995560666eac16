"""`localmind search`: the passages themselves, without a model's words."""

from pathlib import Path

import click

from localmind.clean import clean, clean_line
from localmind.cli._output import connect, note, print_json


@click.command()
@click.argument("query", nargs=-1, required=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Look only into this watched folder.")
@click.option("-n", "--limit", type=click.IntRange(1, 100), default=5, show_default=True, help="How many passages.")
@click.option("--json", "as_json", is_flag=True, help="Print the passages as JSON.")
def search(query: tuple[str, ...], folder: Path | None, limit: int, as_json: bool) -> None:
    """Find passages in your watched folders.

    Meaning and keywords count together; a name, a path or a "quoted phrase" makes keywords count more.
    """
    body = {"query": " ".join(query), "limit": limit, "folder": str(folder.absolute()) if folder else None}
    with connect() as client:
        passages = client.post("/search", body)["passages"]
    if as_json:
        print_json({"passages": passages})
        return
    if not passages:
        note("nothing in your files fits that query")
        return
    for passage in passages:
        place = f"{passage['path']}:{passage['line_start']}-{passage['line_end']}"
        if passage["page"]:
            place = f"{passage['path']} p.{passage['page']}"
        click.secho(clean_line(place), bold=True, nl=False)
        click.echo(f"  {clean(passage['heading'] or '')}")
        lines = [line for line in clean(passage["text"]).splitlines() if line.strip()]
        for line in lines[:4]:
            click.echo(f"    {line[:160]}")
