"""`localmind folders`: what is watched and indexed."""

import time
from pathlib import Path
from typing import Any

import click

from localmind.clean import clean_line
from localmind.cli import _complete as complete
from localmind.cli._groups import Group
from localmind.cli._output import connect, note, print_json, show_progress, table
from localmind.counted import counted
from localmind.durations import words
from localmind.paths import typed_path

FOLLOW_S = 0.5


@click.group(cls=Group)
def folders() -> None:
    """Choose which folders are watched and indexed.

    \b
    localmind folders add ~/Documents   index it now, and follow its changes
    localmind folders add --chats       your own chats with localmind too
    localmind folders status            what is indexed, what cannot be read
    localmind folders why FILE          why a file is, or is not, in the index
    localmind folders pause             read and embed nothing until `resume`
    localmind folders purge             remove every trace of deleted files
    """


@folders.command()
@click.argument("directory", type=click.Path(readable=False, path_type=Path), required=False)  # the daemon says why
@click.option("--chats", is_flag=True, help="Your own chats with localmind, instead of a folder.")
def add(directory: Path | None, chats: bool) -> None:
    """Watch a folder and index what is in it.

    Keyword search works while vectors are still being made. Ctrl-C leaves the folder added; the daemon goes on.
    With --chats, what you and localmind said can be found and cited too; a chat that you delete is forgotten.
    """
    wanted = _wanted(directory, chats)
    with connect() as client:
        before = {entry["id"] for entry in client.get("/folders")["folders"]}
        for _ in show_progress(client.events("/folders", wanted)):
            pass
        folders = client.get("/folders")["folders"]
        place = str(typed_path(directory).resolve()) if directory else ""
        found = next((entry for entry in folders if entry["path"] == place or entry["id"] not in before), None)
    if found is not None:
        note(f"{clean_line(found['path'])}: {_amount(found)} indexed")
        _show_problems(found)


def _wanted(directory: Path | None, chats: bool) -> dict[str, Any]:
    """What add and rm are about, as the daemon is asked."""
    if (directory is None) is not chats:
        raise click.UsageError("Name a folder, or --chats.")
    return {"chats": True} if directory is None else {"path": str(typed_path(directory))}


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
@click.option("--follow", "-f", is_flag=True, help="Go on until everything is indexed (or Ctrl-C).")
def status(as_json: bool, follow: bool) -> None:
    """Show how far indexing is, how fast, and which files could not be read."""
    if follow and as_json:
        raise click.UsageError("--follow and --json do not go together.")
    with connect() as client:
        found = client.get("/folders")
        last: list[str] = []
        while follow and any(entry["state"] in ("reading", "embedding") for entry in found["folders"]):
            lines = [_line(entry) for entry in found["folders"]]
            for line in lines:
                if line not in last:
                    note(line)
            last = lines
            time.sleep(FOLLOW_S)
            found = client.get("/folders")
    if as_json:
        print_json(found)
        return
    if not found["folders"]:
        note("no folder is watched yet\nhint: localmind folders add DIR")
    for entry in found["folders"]:
        click.echo(_line(entry))
        _show_problems(entry)
    for line in _whole(found["indexing"]):
        note(line)


@folders.command()
@click.argument("directory", type=click.Path(path_type=Path), required=False, shell_complete=complete.folders)
@click.option("--chats", is_flag=True, help="Your own chats with localmind, instead of a folder.")
def rm(directory: Path | None, chats: bool) -> None:
    """Stop watching a folder and forget what was read in it. Your files (or chats) stay as they are."""
    wanted = _wanted(directory, chats)
    with connect() as client:
        client.delete("/folders", **wanted)
    if chats:
        note("your chats are no longer indexed; they stay in localmind threads")
    else:
        note(f"{wanted['path']} is no longer watched, and its text is out of the index")


@folders.command()
@click.argument("file", type=click.Path(path_type=Path))
def why(file: Path) -> None:
    """Say why a file is, or is not, in the index."""
    with connect() as client:
        click.echo(clean_line(client.get("/folders/why", path=str(typed_path(file)))["reason"]))


@folders.command()
def pause() -> None:
    """Read and embed nothing until `resume`, also after a restart. Searching goes on."""
    with connect() as client:
        client.post("/folders/pause")
    note("indexing is paused\nhint: localmind folders resume")


@folders.command()
def resume() -> None:
    """Go on with reading and embedding after `pause`."""
    with connect() as client:
        indexing = client.post("/folders/resume")
    note(indexing["pace"] or "indexing goes on")


@folders.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def purge(as_json: bool) -> None:
    """Remove every trace of deleted files from localmind's own files now.

    By itself this happens when the computer is idle, a few seconds after a deletion.
    """
    with connect() as client:
        done = client.post("/folders/purge")
    if as_json:
        print_json(done)
    elif done["text"] or done["vectors"]:
        note(f"traces of deleted files are gone ({done['seconds']:.1f} s)")
    else:
        note("there was nothing to remove")


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return (str(entry["path"]), str(entry["files"]), str(entry["chunks"]), str(entry["state"]))


def _amount(entry: dict[str, Any]) -> str:
    return f"{counted(entry['files'], 'file')}, {counted(entry['chunks'], 'chunk')}"


def _line(entry: dict[str, Any]) -> str:
    """A folder in a line: what there is, what is still to be done, how fast, and what stands in the way."""
    parts = [entry["state"], _amount(entry)]
    if entry["files_left"]:
        parts.append(f"{counted(entry['files_left'], 'file')} to read")
    if entry["vectors_pending"]:
        parts.append(f"{entry['vectors_pending']} waiting for vectors")
    if entry["rate"]:
        parts.append(f"{entry['rate']} a second")
    if entry["eta_s"]:
        parts.append(f"{words(entry['eta_s'])} left")
    line = f"{clean_line(entry['path'])}: {', '.join(parts)}"
    if entry["current"]:
        line += f"\n  now: {clean_line(entry['current'])}"
    if entry["problem"]:
        line += f"\n  {clean_line(entry['problem'])}"
    return line if entry["watching"] == "events" else f"{line}\n  {clean_line(entry['watching'])}"


def _whole(indexing: dict[str, Any]) -> list[str]:
    lines = [indexing["pace"]] if indexing["pace"] else []
    if indexing["embed_model"] != indexing["answering_model"]:
        lines.append(f"changing over to {indexing['embed_model']}; {indexing['answering_model']} answers until then")
    if indexing["to_forget"]:
        lines.append("traces of deleted files go when the computer is idle, or with `localmind folders purge`")
    return lines


def _show_problems(entry: dict[str, list[tuple[str, str]]]) -> None:
    for path, reason in entry["errors"]:
        note(f"  not read: {clean_line(path)}: {clean_line(reason)}")
