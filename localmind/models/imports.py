"""Models that are on this machine already: in the caches of Hugging Face, Ollama and LM Studio, in folders, on sticks.

It only looks: each model that is found becomes a spec whose source is those files, and is then taken in by the same
pull as all others, by link and hash. Manifests of other programs are bounded and their names cleaned; what does not
parse is passed over, since another program's rubbish is nothing our user can mend.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from localmind.catalog import Catalog, HubSource, ModelSpec, PathSource, Role, Source, WheelSource
from localmind.models.choose import choices, included, known_layout
from localmind.models.describe import undescribed
from localmind.models.hub import COMMIT, SHA256, HubFile
from localmind.models.names import name_of_file
from localmind.models.store import Installed

LARGEST_MANIFEST = 1 << 20
MOST_FILES = 20_000
DEEPEST = 5
NO_HASH = "0" * 64
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


@dataclass(slots=True, frozen=True)
class Found:
    """A model that could be taken in."""

    program: str
    """Whose it is: "Hugging Face", "Ollama", "LM Studio", "localmind", "files"."""
    spec: ModelSpec
    size: int
    sha256: tuple[str, ...] = ()
    """As the other program has them; not checked yet, and empty if it keeps none."""
    wheels: Path | None = None
    """The directory of the wheel that it comes in, if it does."""


def caches(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Iterator[Found]:
    """Everything in the places where the three programs keep models, for this user and for system services."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    hub = environ.get("HF_HUB_CACHE") or Path(environ.get("HF_HOME") or home / ".cache/huggingface") / "hub"
    yield from hugging_face(Path(hub))
    mine = environ.get("OLLAMA_MODELS") or home / ".ollama/models"
    for place in (Path(mine), root / "usr/share/ollama/.ollama/models", root / "var/lib/ollama/models"):
        yield from ollama(place)
    pointer = _text(home / ".lmstudio-home-pointer").strip()
    for base in dict.fromkeys((Path(pointer) if pointer else home / ".lmstudio", home / ".lmstudio")):
        yield from lm_studio(base / "models")
    yield from lm_studio(home / ".cache/lm-studio/models")


def places(path: Path, catalog: Catalog) -> Iterator[Found]:
    """The models in a file or folder that the user named: a cache of one of the programs, or any files."""
    if path.is_file():
        yield from _files_of(path.parent, [path])
    elif (path / "manifests").is_dir() and (path / "blobs").is_dir():
        yield from localmind_home(path)
        yield from ollama(path)
    elif any(path.glob("models--*")):
        yield from hugging_face(path)
    else:
        yield from _files_of(path, list(_walk(path)))
        yield from _wheels(path, catalog)


def hugging_face(cache: Path) -> Iterator[Found]:
    """What `hf download` and the libraries leave: snapshots of links to blobs that are named by their sha256."""
    for directory in _listed(cache, "models--*"):
        repo = directory.name.removeprefix("models--").replace("--", "/")
        commit = _text(directory / "refs/main").strip()
        snapshots = {found.name: found for found in _listed(directory / "snapshots", "*") if COMMIT.match(found.name)}
        snapshot = snapshots.get(commit) or max(snapshots.values(), key=_changed, default=None)
        if snapshot is None or repo.count("/") != 1:
            continue
        files = []
        for path in _walk(snapshot, every=True):
            blob = path.resolve().name
            files.append((path, blob if SHA256.match(blob) else NO_HASH))
        yield from _of_repo("Hugging Face", repo, snapshot.name, snapshot, files)


def lm_studio(models: Path) -> Iterator[Found]:
    """LM Studio keeps files as ORG/REPO/FILE, as they are on the Hub."""
    for directory in _listed(models, "*/*"):
        if directory.is_dir():
            files = [(path, NO_HASH) for path in _walk(directory)]
            yield from _of_repo("LM Studio", f"{directory.parent.name}/{directory.name}", "main", directory, files)


def ollama(models: Path) -> Iterator[Found]:
    """Ollama's manifests name blobs by digest; the layer of kind "model" is a GGUF."""
    for path in _walk(models / "manifests", every=True):
        parts = path.relative_to(models / "manifests").parts
        try:
            layers = msgspec.json.decode(_text(path))["layers"]
            weights = [layer for layer in layers if layer["mediaType"] == "application/vnd.ollama.image.model"]
            digests = [layer["digest"].removeprefix("sha256:") for layer in weights]
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if len(parts) < 3 or len(digests) != 1 or not SHA256.match(digests[0]):
            continue
        blob = models / "blobs" / f"sha256-{digests[0]}"
        name = _ollama_name(parts)
        if name is None or not blob.is_file():
            continue
        source = PathSource((str(blob.absolute()),), (f"{name_of_file(name)}.gguf",), "link")
        yield Found("Ollama", undescribed(name, [source]), blob.stat().st_size, (digests[0],))


def localmind_home(models: Path) -> Iterator[Found]:
    """The models directory of another localmind, such as one that was carried here on a stick."""
    for path in _listed(models / "manifests", "*.json"):
        try:
            found = msgspec.json.decode(_text(path), type=Installed)
        except msgspec.DecodeError:
            continue
        blobs = [models / "blobs" / file.sha256 for file in found.files]
        if found.spec is None or not all(blob.is_file() for blob in blobs):
            continue
        source = PathSource(tuple(str(blob.absolute()) for blob in blobs), tuple(file.name for file in found.files))
        spec = msgspec.structs.replace(found.spec, sources=(source, *found.spec.sources))
        yield Found("localmind", spec, found.size, tuple(file.sha256 for file in found.files))


def named(found: Found, catalog: Catalog) -> ModelSpec:
    """The spec under which a model is taken in: the catalog's own where the files are, else one whose name is free."""
    if found.wheels is not None:
        return found.spec
    if found.sha256:
        for known in catalog:
            if known.files and {file.sha256 for file in known.files} == set(found.sha256):
                return msgspec.structs.replace(known, sources=(*found.spec.sources[:1], *known.sources))
    spec = found.spec
    other = next((known for known in catalog if known.name == spec.name), None)
    if other is None or other.sources[:1] == spec.sources[:1] or (other.files and other.files == spec.files):
        return spec
    base, _, tag = spec.name.partition(":")
    label = found.program.lower().replace(" ", "")
    return msgspec.structs.replace(spec, name=f"{base}:{tag[:50]}-{label}" if tag else f"{base[:50]}:{label}")


def _of_repo(
    program: str, repo: str, commit: str, directory: Path, files: Sequence[tuple[Path, str]]
) -> Iterator[Found]:
    """The models of one repository, as they lie in a directory."""
    listed = [
        HubFile(str(path.relative_to(directory).as_posix()), path.stat().st_size, sha256, None)
        for path, sha256 in files
        if path.stat().st_size
    ]
    try:
        hub = HubSource(repo=repo, revision=commit)
        msgspec.convert(msgspec.to_builtins(hub), HubSource)
        models: list[tuple[str, Role, str, tuple[HubFile, ...]]] = [
            (f"hf.co/{repo.lower()}:{choice.tag}", "chat", choice.label, choice.files) for choice in choices(listed)
        ]
        if not models and (layout := known_layout(listed)) is not None:
            role: Role = "speech" if layout[0] == "speech" else "embed"
            models.append((f"hf.co/{repo.lower()}", role, layout[1], included(listed, layout[2], repo)))
        for name, role, label, chosen in models:
            sources: list[Source] = [_linked(directory, chosen), hub]
            spec = _spec(name, role, label, sources)
            sums = tuple(file.sha256 or NO_HASH for file in chosen)
            yield Found(program, spec, sum(file.size for file in chosen), () if NO_HASH in sums else sums)
    except (ValueError, msgspec.ValidationError):
        return  # a name that no repository of the Hub can have


def _spec(name: str, role: Role, label: str, sources: Sequence[Source]) -> ModelSpec:
    if label == "ctranslate2":
        spec = undescribed(name, sources, role=role, format="ctranslate2")
    elif label == "safetensors":
        spec = undescribed(name, sources, role=role, format="safetensors")
    else:
        spec = undescribed(name, sources, role=role, quantisation=label)
    return msgspec.convert(msgspec.to_builtins(spec), ModelSpec)


def _linked(directory: Path, files: Sequence[HubFile]) -> PathSource:
    paths = tuple(str((directory / file.path).absolute()) for file in files)
    return PathSource(paths, tuple(file.path for file in files), "link")


def _files_of(directory: Path, paths: Sequence[Path]) -> Iterator[Found]:
    """GGUF files as they lie around, parts of one model together."""
    listed = [
        HubFile(path.relative_to(directory).as_posix(), path.stat().st_size, NO_HASH, None)
        for path in paths
        if path.stat().st_size
    ]
    for choice in choices(listed):
        name = name_of_file(Path(choice.files[0].path).name)
        name = re.sub(r"-\d{5}-of-\d{5}$", "", name)
        whole = tuple(str((directory / file.path).absolute()) for file in choice.files)
        source = PathSource(whole, tuple(Path(file.path).name for file in choice.files))
        yield Found("files", undescribed(name, [source]), sum(file.size for file in choice.files))


def _wheels(directory: Path, catalog: Catalog) -> Iterator[Found]:
    """Wheels of the catalog that were carried here."""
    for spec in catalog:
        for source in spec.sources:
            if isinstance(source, WheelSource) and (directory / source.wheel).is_file():
                yield Found("files", spec, spec.size, tuple(file.sha256 for file in spec.files), directory)


def _ollama_name(parts: tuple[str, ...]) -> str | None:
    host, *owner, model, tag = (part.lower() for part in parts)
    if host in ("hf.co", "huggingface.co") and len(owner) == 1:
        name = f"hf.co/{owner[0]}/{model}:{tag}"
    else:
        name = "-".join([*(part for part in owner if part != "library"), model]) + f":{tag}"
    return name if all(_PLAIN.match(part) for part in re.split("[/:]", name)) else None


def _walk(directory: Path, *, every: bool = False) -> Iterator[Path]:
    """Files below a directory, GGUFs or all, to a bounded depth and number; links to directories are not followed."""
    count = 0
    for base, directories, names in os.walk(directory):
        directories.sort()
        if len(Path(base).relative_to(directory).parts) >= DEEPEST:
            directories.clear()
        for name in sorted(names):
            path = Path(base) / name
            if (every or name.lower().endswith(".gguf")) and path.is_file():
                count += 1
                if count > MOST_FILES:
                    return
                yield path


def _listed(directory: Path, pattern: str) -> list[Path]:
    try:
        return sorted(directory.glob(pattern))[:MOST_FILES]
    except OSError:
        return []


def _changed(path: Path) -> Any:
    return path.stat().st_mtime_ns


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            return ""
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
