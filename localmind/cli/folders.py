"""`localmind folders`: what is watched and indexed."""

from pathlib import Path

import click

from localmind.clean import clean_line
from localmind.cli._output import connect, note, print_json, show_progress, table


@click.group()
def folders() -> None:
    """Choose which folders are watched and indexed.

    \b
    localmind folders add ~/Documents      index it now, follow changes from then on
    localmind folders status               what is indexed, what could not be read and why
    localmind folders why FILE             why a file is, or is not, in the index
    """


@folders.command()
@click.argument("directory", type=click.Path(path_type=Path))
def add(directory: Path) -> None:
    """Watch a folder and index what is in it.

    Keyword search works while vectors are still being made. Ctrl-C leaves the folder added; the daemon goes on.
    """
    path = directory.expanduser().absolute()
    with connect() as client:
        for _ in show_progress(client.events("/folders", {"path": str(path)})):
            pass
        found = next(
            (entry for entry in client.get("/folders")["folders"] if entry["path"] == str(path.resolve())), None
        )
    if found is not None:
        note(f"{clean_line(found['path'])}: {found['files']} files, {found['chunks']} chunks indexed")
        _show_problems(found)


@folders.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(as_json: bool) -> None:
    """List the watched folders."""
    with connect() as client:
        found = client.get("/folders")["folders"]
    if as_json:
        print_json({"folders": found})
    elif found:
        table(("FOLDER", "FILES", "CHUNKS", "STATE"), [_row(entry) for entry in found])
    else:
        note("no folder is watched yet\nhint: localmind folders add DIR")


@folders.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status(as_json: bool) -> None:
    """Show how far indexing is, and which files could not be read."""
    with connect() as client:
        found = client.get("/folders")["folders"]
    if as_json:
        print_json({"folders": found})
        return
    for entry in found:
        pending = f", {entry['vectors_pending']} waiting for vectors" if entry["vectors_pending"] else ""
        click.echo(
            f"{clean_line(entry['path'])}: {entry['state']}, {entry['files']} files, {entry['chunks']} chunks{pending}"
        )
        _show_problems(entry)


@folders.command()
@click.argument("directory", type=click.Path(path_type=Path))
def rm(directory: Path) -> None:
    """Stop watching a folder and forget what was read in it. Your files stay as they are."""
    path = directory.expanduser().absolute()
    with connect() as client:
        client.delete("/folders", path=str(path))
    note(f"{path} is no longer watched, and its text is out of the index")


@folders.command()
@click.argument("file", type=click.Path(path_type=Path))
def why(file: Path) -> None:
    """Say why a file is, or is not, in the index."""
    with connect() as client:
        click.echo(clean_line(client.get("/folders/why", path=str(file.expanduser().absolute()))["reason"]))


def _row(entry: dict[str, object]) -> tuple[str, ...]:
    return (str(entry["path"]), str(entry["files"]), str(entry["chunks"]), str(entry["state"]))


def _show_problems(entry: dict[str, list[tuple[str, str]]]) -> None:
    for path, reason in entry["errors"]:
        note(f"  not read: {clean_line(path)}: {clean_line(reason)}")
