"""A models.toml, read and checked: bundled or a user's, with errors that name file and line.

It knows the form of the file and where the bundled copy lies in a wheel, an editable install or a checkout. What a
model is, and which names mean it, is the business of its neighbours.
"""

import re
import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from localmind.catalog.spec import ModelSpec
from localmind.errors import ConfigInvalid


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1]
    model: tuple[ModelSpec, ...] = ()


def bundled() -> tuple[ModelSpec, ...]:
    """The models of the models.toml that came with this version."""
    packaged = resources.files("localmind") / "models.toml"
    if packaged.is_file():
        return parse(packaged.read_text("utf-8"), "the bundled models.toml")
    # An editable install and a checkout have the file where it is edited: next to the package.
    return read(Path(__file__).resolve().parents[2] / "models.toml")


def parse(text: str, origin: str) -> tuple[ModelSpec, ...]:
    """The models of one document; `origin` names it in errors."""
    hint = f"fix or remove {origin}"
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise ConfigInvalid(f"{origin} is not TOML: {problem}", hint=hint) from problem
    try:
        models = msgspec.convert(data, _Document).model
    except msgspec.ValidationError as problem:
        message, _, place = str(problem).partition(" - at `$")
        place = place.rstrip("`")
        line = _line_of(text, message, place)
        where = f"{origin} line {line}" if line else origin
        raise ConfigInvalid(f"{where}: {message[:1].lower()}{message[1:]}{_field(place)}", hint=hint) from problem
    twice = _first_repeated(spec.name for spec in models)
    if twice is not None:
        raise ConfigInvalid(f"{origin}: the model {twice!r} is there twice", hint=hint)
    return models


def read(path: Path) -> tuple[ModelSpec, ...]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigInvalid(f"{path} cannot be read: {problem}", hint=f"ls -l {path}") from problem
    return parse(text, str(path))


def _field(place: str) -> str:
    names = re.findall(r"\.([A-Za-z_]\w*)", place)
    return f" ({'.'.join(names)})" if names else ""


def _line_of(text: str, problem: str, place: str) -> int | None:
    """The 1-based line of `.model[1].files[0].sha256`, or of the nearest table header above it.

    TOML readers keep no positions, so this counts headers the way the file is usually written.
    """
    lines = text.splitlines()
    span = range(len(lines))
    found: int | None = None
    tables: list[str] = []
    for table, index in re.findall(r"\.(\w+)\[(\d+)\]", place):
        tables.append(table)
        header = re.compile(r"\s*\[\[\s*" + r"\s*\.\s*".join(tables) + r"\s*\]\]")
        starts = [n for n in span if header.match(lines[n])]
        if int(index) >= len(starts):
            break
        found = starts[int(index)]
        span = range(found, [*starts, span.stop][int(index) + 1])
    key = re.search(r"\.(\w+)$", place) or re.search(r"unknown field `(\w+)`", problem)
    if key is not None:
        found = next((n for n in span if re.match(rf"\s*{key[1]}\s*=", lines[n])), found)
    return None if found is None else found + 1


def _first_repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
