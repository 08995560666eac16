"""`localmind models import`: models that other programs, folders or sticks have already."""

import sys
from pathlib import Path

import click

from localmind.clean import clean_line
from localmind.cli._output import connect, note, print_json, show_progress, table
from localmind.counted import size
from localmind.events import TextDelta
from localmind.paths import typed_path

NOTHING = "nothing found in the caches of Hugging Face, Ollama and LM Studio; name a file or a folder"


@click.command("import")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--only", "names", multiple=True, metavar="NAME", help="Only this one of them; may be repeated.")
@click.option("--copy", is_flag=True, help="Copy the files instead of sharing them with the other program.")
@click.option("--list", "only_list", is_flag=True, help="Only say what there is.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print as JSON.")
def import_(paths: tuple[Path, ...], names: tuple[str, ...], copy: bool, only_list: bool, as_json: bool) -> None:
    """Take in models that are on this machine already, without a second copy.

    Without PATHS the caches of Hugging Face, Ollama and LM Studio are looked through; a PATH is a GGUF file,
    a folder of them, such a cache, or another localmind's models folder. Files on the same disk are shared
    (clone or hard link), those of other disks are copied unless they are in one of the caches. Every file
    is hashed and checked before it can be loaded.

    \b
    localmind models import --list             what there is
    localmind models import                    all of it
    localmind models import /media/stick       from a stick
    """
    body = {"paths": [str(typed_path(path)) for path in paths], "names": list(names), "copy": copy}
    with connect() as client:
        if only_list or as_json:
            found = client.post("/models/importable", body)["models"]
            if as_json:
                print_json({"models": found})
                return
            rows = [(m["name"], m["program"], size(m["size"]), "yes" if m["installed"] else "-") for m in found]
            table(("MODEL", "FROM", "SIZE", "HERE"), rows)
            if not rows:
                note(NOTHING)
            return
        said = ""
        for event in show_progress(client.events("/models/import", body)):
            if isinstance(event, TextDelta):
                said += event.text
                sys.stdout.write(f"{clean_line(event.text)}\n")
                sys.stdout.flush()
        if not said:
            note(NOTHING)
