"""The models on this machine as clients pick from them: what each is called, how large it is, what it can do.

One reading of catalog, store, engines and folders for every dialect's list; none of it loads a model. Besides
the installed ones there are those that clients made, and each chat model once more for the watched folders.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from localmind.api.asking import FILES, folder_name, folders, known, target_of
from localmind.api.backend import Backend
from localmind.catalog import BEST, ModelSpec, spelled
from localmind.errors import ModelFileBroken, ModelNotFound, ModelNotInstalled
from localmind.models.made import Made, plain
from localmind.models.traits import Traits, traits_of
from localmind.workers.elsewhere import RemoteModel

LISTED = ("chat", "embed")

log = logging.getLogger("localmind.api")


@dataclass(slots=True, frozen=True)
class Card:
    """One entry of a list."""

    name: str
    spec: ModelSpec
    size: int
    """Bytes on the disk."""
    sha256: str
    """Of its first file; of its name too where several names share the file."""
    since: float
    """Seconds since 1970."""
    traits: Traits
    loaded: Mapping[str, Any] | None
    """The engine's status while it is in memory."""
    made: Made | None = None
    files: bool = False

    @property
    def context(self) -> int:
        """Tokens that a prompt and its answer may have: of the loaded context, else what it was trained for."""
        load = (self.loaded or {}).get("load")
        return int(load["n_ctx_seq"]) if load else self.traits.context

    @property
    def capabilities(self) -> list[str]:
        """In Ollama's words. Every chat model of this machine takes tools: where a template knows none, the engine
        describes them."""
        if self.spec.role == "embed":
            return ["embedding"]
        if isinstance(self.spec, RemoteModel):  # its server may not say more
            vision = ["vision"] if self.spec.sees else []
            return ["completion", *(["tools"] if self.spec.tools and not self.files else []), *vision]
        thinking = ["thinking"] if self.traits.thinks else []
        if self.files:
            return ["completion", *thinking]
        return ["completion", "tools", *(["insert"] if self.traits.fills else []), *thinking]

    @property
    def when(self) -> str:
        return timestamp(self.since)


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


async def cards(backend: Backend) -> list[Card]:
    """All that can be chosen: installed models, those made of them, and each chat model with the folders."""
    listed = await _plain(backend)
    chat = [card for card in listed if card.spec.role == "chat" and card.made is None]
    watched = [folder_name(folder) for folder in await folders(backend)] if chat else []
    suffixes = [FILES] * bool(watched) + [f"{FILES}:{name}" for name in watched if len(watched) > 1]
    return listed + [with_files(card, card.name + suffix) for card in chat for suffix in suffixes]


async def card_named(backend: Backend, name: str) -> Card:
    """The card of a name in any of its spellings. Raises ModelNotFound, ModelNotInstalled or FolderNotFound."""
    base, suffix, _ = name.partition(FILES)
    if suffix:
        target = await target_of(backend, name)
        return with_files(await card_named(backend, base), target.name)
    listed = await _plain(backend)
    wanted = plain(base)
    if (card := next((card for card in listed if card.name == wanted), None)) is not None:
        return card
    usual = known(backend, base)
    spec = backend.catalog.get(usual) or backend.engines.resolve(usual)
    if (card := next((card for card in listed if card.name == spec.name), None)) is not None:
        return card
    raise ModelNotInstalled(f"{spec.name} is not on this machine yet", hint=f"localmind models pull {spec.name}")


def removable(backend: Backend, name: str) -> ModelSpec:
    """The model of that name, for whoever deletes it. What names a model only to be asked (the best one, one of the
    big services) names none here. Raises ModelNotFound."""
    if spelled(name) == BEST:
        raise ModelNotFound(f"{name!r} is no model's own name", hint="localmind models list")
    return backend.catalog.find(name)


async def _plain(backend: Backend) -> list[Card]:
    loaded = {entry["model"]: entry for entry in backend.engines.status() if entry["state"] == "loaded"}
    specs = [spec for spec in backend.catalog.models if spec.role in LISTED]
    found = await asyncio.gather(*(asyncio.to_thread(_card, backend, spec, loaded) for spec in specs))
    listed = [card for card in found if card is not None]
    if backend.engines.elsewhere is not None:
        listed += [remote_card(model) for model in backend.engines.elsewhere.models() if model.role in LISTED]
    by_name = {card.name: card for card in listed}
    return listed + [as_made(by_name[made.base], made) for made in backend.made.list() if made.base in by_name]


def remote_card(model: RemoteModel) -> Card:
    """A model of another machine: nothing of it is known but its name and perhaps its context."""
    traits = Traits("remote", model.parameters, model.context, "", None, False, False, {})
    return Card(model.name, model, 0, _own("", model.name), 0.0, traits, None)


def as_made(base: Card, made: Made) -> Card:
    return replace(base, name=made.name, made=made, since=made.made_at, sha256=_own(base.sha256, made.name))


def with_files(card: Card, name: str) -> Card:
    return replace(card, name=name, files=True, sha256=_own(card.sha256, name))


def _own(sha256: str, name: str) -> str:
    return hashlib.sha256(f"{sha256} {name}".encode()).hexdigest()


def _card(backend: Backend, spec: ModelSpec, loaded: Mapping[str, Mapping[str, Any]]) -> Card | None:
    installed = backend.store.get(spec.name)
    if installed is None or backend.store.check(spec.name):
        return None
    try:
        traits = traits_of(spec, backend.store)
    except ModelFileBroken as problem:  # one bad file must not cost anybody the list
        log.warning("%s is left out of lists: %s", spec.name, problem.message)
        return None
    return Card(
        spec.name,
        spec,
        installed.size,
        installed.files[0].sha256,
        installed.installed_at,
        traits,
        loaded.get(spec.name),
    )
