"""What may be meant by a half-typed `/command` or `@file`: pure functions over a line and the file system.

What asks the file system may take as long as a disk in a network does. Paths are looked up one directory at a time,
so that a home of a million files costs one listing. Names are shown cleaned and inserted as they are.
"""

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from localmind.errors import InvalidRequest
from localmind.paths import typed_path

LISTED = 4000
"""Entries of one directory that are looked at."""
OFFERED = 50
MOST_DROPPED = 20
LONGEST_PATH = 4096
TEMPLATE = "/template "
_QUOTED = r'"(?:[^"\n]|(?<=\\)")*'
_AT = re.compile(rf"(?:^|(?<=\s))@({_QUOTED}|[^\s\"]*)\Z")
_REFERENCE = re.compile(rf"(?:^|(?<=\s))@(?:({_QUOTED})(?<!\\)\"|(\S+))")


@dataclass(slots=True, frozen=True)
class Candidate:
    """One thing that can be taken."""

    text: str
    """What replaces the half-typed word."""
    shown: str
    hint: str = ""
    more: bool = False
    """Something can follow directly: a directory, a command with an argument."""


@dataclass(slots=True, frozen=True)
class Completion:
    """Where the half-typed word begins in its line, and what it may become."""

    start: int
    candidates: tuple[Candidate, ...]


def commands_like(before: str, commands: Iterable[tuple[str, str]]) -> Completion | None:
    """For a first line that begins with `/` and has one word. `commands` are names with their explanations."""
    word = before[1:].lower()
    found = [
        Candidate(f"/{name} ", f"/{name}", hint)
        for name, hint in commands
        if name.startswith(word) or (word and word in name)
    ]
    found.sort(key=lambda candidate: (not candidate.shown[1:].startswith(word), candidate.shown))
    return Completion(0, tuple(found[:OFFERED])) if found else None


def names_a_file(before: str) -> bool:
    """Whether the line before the cursor ends with an `@` and the beginning of a path."""
    return _AT.search(before) is not None


def files_like(before: str, roots: Sequence[str], here: Path) -> Completion | None:
    """For such a line: the files and folders that may be meant."""
    if (match := _AT.search(before)) is None:
        return None
    candidates = _paths(_unquoted(match[1]), roots, here)
    return Completion(match.start(), tuple(candidates)) if candidates else None


def narrowed(now: Completion, before: str) -> Completion | None:
    """What of an older listing fits this line too: of files what is in the same folder, and begins as typed."""
    if names_a_template(before) and now.start == len(TEMPLATE):
        named = tuple(each for each in now.candidates if each.text.startswith(before[len(TEMPLATE) :]))
        return Completion(now.start, named) if named else None
    match = _AT.search(before)
    if match is None or match.start() != now.start:
        return None
    folder, slash, beginning = _unquoted(match[1]).rpartition("/")
    left = []
    for each in now.candidates:
        *place, name = each.shown.rstrip("/").rpartition("/")
        if each.text.startswith("@") and place == [folder, slash] and _fits(name, beginning):
            left.append(each)
    return Completion(now.start, tuple(left)) if left else None


def names_a_template(before: str) -> bool:
    """Whether the line before the cursor is TEMPLATE and the beginning of a name."""
    return before.startswith(TEMPLATE) and " " not in before[len(TEMPLATE) :]


def templates_like(before: str, directory: Path) -> Completion | None:
    """For such a line: the templates that may be meant."""
    if not names_a_template(before):
        return None
    typed = before[len(TEMPLATE) :]
    from localmind import templates  # its patterns take 5 ms to compile, which the first picture saves

    found = [Candidate(f"{name} ", name) for name in templates.names(directory) if name.startswith(typed)]
    return Completion(len(TEMPLATE), tuple(found)) if found else None


def references(text: str, roots: Sequence[str], here: Path) -> list[Path]:
    """The files and folders that a question names by `@`, each once. What does not exist is no reference."""
    found: list[Path] = []
    for match in _REFERENCE.finditer(text):
        typed = _unquoted(match[1] or match[2])
        for form in (typed, typed.rstrip(".,;:!?)")):
            path = resolve(form, roots, here)
            if path is not None:
                if path not in found:
                    found.append(path)
                break
    return found


def resolve(typed: str, roots: Sequence[str], here: Path) -> Path | None:
    """The existing path that is meant: absolute, from home, from here, or `folder/…` of a watched folder."""
    try:
        for base in _bases(typed, roots, here):
            if base.exists():
                return Path(os.path.normpath(base))
    except (OSError, ValueError, RuntimeError):
        return None
    return None


def pasted_path(text: str) -> Path | None:
    """The file that a terminal pastes when one is dropped on it: a path, quoted, escaped or as an address."""
    line = text.strip()
    if not line or "\n" in line or len(line) > LONGEST_PATH:
        return None
    return next((path for form in _forms(line) if (path := _existing(form)) is not None), None)


def pasted_paths(text: str) -> list[Path]:
    """The files of which a terminal pastes the paths when several are dropped; empty when it is any other text."""
    if (only := pasted_path(text)) is not None:
        return [only]
    words = _words(text)
    found = [_existing(word) for word in words[: MOST_DROPPED + 1]]
    paths = [path for path in found if path is not None]
    return paths if len(paths) == len(words) and 1 < len(paths) <= MOST_DROPPED else []


def _forms(line: str) -> Iterable[str]:
    """What a pasted line may stand for, the likeliest first."""
    yield line
    if len(words := _words(line)) == 1:
        yield words[0]
    if line[0] == line[-1] and line[0] in "'\"":
        yield line[1:-1]
    yield re.sub(r"\\(.)", r"\1", line)


def _words(text: str) -> list[str]:
    """As a shell takes them apart."""
    try:
        return shlex.split(text) if len(text) <= 4 * LONGEST_PATH else []
    except ValueError:
        return []


def _existing(name: str) -> Path | None:
    """The file of a whole path or an address; None for all else."""
    if name.startswith("file://"):
        import urllib.parse

        name = urllib.parse.unquote(name.removeprefix("file://"))
    if not name.startswith(("/", "~/")):
        return None
    try:
        path = Path(name).expanduser()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None


def reference_to(path: Path | str) -> str:
    """`@path`, in quotes when it has a space; `\\"` in them is a quotation mark of the name."""
    shown = str(path)
    if not re.search(r"[\s\"]", shown):
        return f"@{shown}"
    inside = shown.replace('"', '\\"')
    return f'@"{inside}"'


def _unquoted(typed: str) -> str:
    return typed[1:].replace('\\"', '"') if typed.startswith('"') else typed


def _bases(typed: str, roots: Sequence[str], here: Path) -> Iterable[Path]:
    if typed.startswith("~"):
        yield Path(typed).expanduser()
        return
    if typed.startswith("/"):
        yield Path(typed)
        return
    yield here / typed
    for root in roots:
        yield Path(root).parent / typed


def _paths(typed: str, roots: Sequence[str], here: Path) -> list[Candidate]:
    folder, _, beginning = typed.rpartition("/")
    prefix = f"{folder}/" if "/" in typed else ""
    found: dict[str, Candidate] = {}
    places = [Path("/")] if prefix == "/" else [here] if not prefix else []
    if not places:
        place = resolve(folder, roots, here)
        places = [place] if place is not None else []
    if not prefix:
        for root in roots:
            name = Path(root).name
            if _fits(name, beginning):
                found[name] = Candidate(_taken(f"{name}/"), f"{name}/", "watched folder", True)
    for place in places:
        for name, is_dir in _entries(place):
            if name in found or not _fits(name, beginning):
                continue
            shown = prefix + name + ("/" if is_dir else "")
            found[name] = Candidate(_taken(shown), shown, "folder" if is_dir else "", is_dir)
    order = sorted(found.values(), key=lambda candidate: (not candidate.hint, candidate.shown.lower()))
    return order[:OFFERED]


def _fits(name: str, beginning: str) -> bool:
    """Hidden names have to be asked for by their point."""
    return name.lower().startswith(beginning.lower()) and (beginning.startswith(".") or not name.startswith("."))


def _taken(path: str) -> str:
    """What is put for a completed path: a folder's may go on."""
    reference = reference_to(f"./{path}" if path.startswith("~") and "/" not in path.rstrip("/") else path)
    return reference.removesuffix('"') if path.endswith("/") else reference + " "


def _entries(place: Path) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if len(found) >= LISTED:
                    break
                if entry.name.isprintable():
                    found.append((entry.name, _is_dir(entry)))
    except OSError:
        return []
    return found


def _is_dir(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def folder_completion(value: str, here: Path) -> str | None:
    """`value` completed to the first folder that begins like it; None when there is none."""
    head, slash, beginning = value.rpartition("/")
    if not beginning or value == "~":
        return None
    try:
        place = typed_path(head + slash, here)
    except InvalidRequest:
        return None
    for name, is_dir in sorted(_entries(place)):
        if is_dir and name.startswith(beginning) and (beginning.startswith(".") or not name.startswith(".")):
            return f"{head}{slash}{name}"
    return None
