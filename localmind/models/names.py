"""From what a user types to a model: a catalog's name, a place on the Hub, an address.

    qwen3:4b · qwen3:4b-q8_0            the catalog, and what is installed
    hf.co/ORG/REPO[:QUANT]              any repository of the Hub; also its pages' addresses
    https://host/model.gguf[#sha256=…]  one file somewhere else; what came first is pinned

A path is no name: files of this machine are imported (models/imports.py). Only repositories are asked for here, since
their names are not complete without the quantisation that was chosen.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import msgspec

from localmind.catalog import Catalog, FileSpec, HubSource, ModelSpec, UrlSource, spelled
from localmind.clean import clean_line
from localmind.errors import InvalidRequest, ModelNotFound
from localmind.models.choose import choose, known_layout, projector
from localmind.models.describe import undescribed
from localmind.models.hub import HubRepo, listing
from localmind.models.hub_config import HubConfig

_HUB = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf:", re.IGNORECASE)
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REPO = re.compile(rf"({_WORD}/{_WORD})(?::([A-Za-z0-9][A-Za-z0-9._-]*))?/?\Z")
_PAGE = re.compile(rf"({_WORD}/{_WORD})/(?:resolve|blob|tree)/({_WORD})(?:/(.+?))?(?:\?.*)?\Z")


@dataclass(slots=True, frozen=True)
class HubName:
    """A repository, and which of its models."""

    repo: str
    wanted: str | None = None
    """A quantisation, or a file's name."""
    revision: str = "main"


def hub_name(text: str) -> HubName | None:
    """What `hf.co/…` or a page's address means; None for other names. Raises ModelNotFound for a malformed one."""
    text = text.strip()
    found = _HUB.match(text)
    if found is None:
        return None
    rest = text[found.end() :]
    if repo := _REPO.match(rest):
        return HubName(repo[1], repo[2] if repo[2] and repo[2].lower() != "latest" else None)
    if page := _PAGE.match(rest):
        return HubName(page[1], unquote(page[3]) if page[3] else None, page[2])
    raise ModelNotFound(f"{clean_line(text)[:200]} names no repository", hint="hf.co/ORG/REPO or hf.co/ORG/REPO:Q4_K_M")


async def find_model(text: str, catalog: Catalog, config: HubConfig, *, with_projector: bool = False) -> ModelSpec:
    """The model of that name, ready to be pulled. Raises ModelNotFound and what a listing raises."""
    known = catalog.get(text)
    if known is not None and not with_projector:
        return known
    if (place := hub_name(text)) is not None:
        return from_repo(await listing(place.repo, place.revision, config), place, with_projector)
    if text.strip().lower().startswith(("https://", "http://")):
        spec = from_url(text.strip())
        other = catalog.get(spec.name)
        if other is not None and other.sources != spec.sources:
            mark = hashlib.sha256(text.strip().encode()).hexdigest()[:6]
            spec = msgspec.structs.replace(spec, name=f"{spec.name[:57]}-{mark}")
        return spec
    if _REPO.match(text.strip()) and known is None:
        name = spelled(text)
        raise ModelNotFound(f"no model named {name!r} in the catalog", hint=f"localmind models pull hf.co/{name}")
    return catalog.find(text)


async def find_newest(text: str, catalog: Catalog, config: HubConfig) -> ModelSpec:
    """A model that is here, as the Hub has it now: its files, or none where the pull will ask for them.

    Raises InvalidRequest for one that does not come from the Hub, and what `find_model` raises.
    """
    spec = catalog.find(text)
    declared = Catalog(catalog.declared).get(spec.name)  # or a variant of it, in another quantisation
    if declared is not None and declared.files:
        return declared  # its hashes stand in the catalog, and change with it
    if not any(isinstance(source, HubSource) for source in spec.sources):
        raise InvalidRequest(
            f"{spec.name} does not come from the Hub, and nobody else says what is newer",
            hint=f"localmind models rm {spec.name}, then pull or import it again",
        )
    if declared is not None:
        return declared
    place = hub_name(spec.name)
    if place is None:
        raise InvalidRequest(f"{spec.name} has no name on the Hub", hint=f"localmind models rm {spec.name}")
    repo = next(source.repo for source in spec.sources if isinstance(source, HubSource))  # as it is spelled there
    return from_repo(await listing(repo, "main", config), HubName(repo, place.wanted))


def from_repo(repo: HubRepo, place: HubName, with_projector: bool = False) -> ModelSpec:
    """The chosen model of a repository, pinned to its commit. Raises ModelNotFound."""
    where = f"hf.co/{repo.name}"
    base = where.lower()
    layout = known_layout(repo.files)
    has_gguf = any(file.path.lower().endswith(".gguf") for file in repo.files)
    if layout is not None and not has_gguf and place.wanted is None:
        role, form, names = layout
        return undescribed(
            base,
            [HubSource(repo=repo.name, revision=repo.commit, include=names)],
            role="speech" if role == "speech" else "embed",
            format="ctranslate2" if form == "ctranslate2" else "safetensors",
            licence=repo.licence,
        )
    chosen = choose(repo.files, place.wanted, where)
    files = list(chosen.files)
    if with_projector and (extra := projector(repo.files)) is not None:
        files.append(extra)
    return undescribed(
        f"{base}:{chosen.tag}",
        [HubSource(repo=repo.name, revision=repo.commit)],
        licence=repo.licence,
        quantisation=chosen.label,
        files=tuple(FileSpec(file.path, file.size, file.sha256 or "") for file in files),
    )


def from_url(url: str) -> ModelSpec:
    """A model of one file at an address. Raises ModelNotFound when that is no GGUF."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if not name.lower().endswith(".gguf"):
        raise ModelNotFound("an address of a model ends in .gguf", hint="localmind models pull hf.co/ORG/REPO")
    return undescribed(name_of_file(name), [UrlSource(url=url)])


def name_of_file(name: str) -> str:
    """A catalog name from a file's: `Qwen3-4B-Q4_K_M.gguf` becomes qwen3-4b-q4_k_m."""
    stem = name[:-5] if name.lower().endswith(".gguf") else name
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).lstrip("._-")[:64].rstrip("._-") or "model"
