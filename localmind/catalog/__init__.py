"""The models that localmind knows by name: the bundled models.toml, a user's own, and what is installed.

It owns names and aliases: which model a name means. A user's models.toml in the configuration directory adds models or
replaces them by name; what was pulled or imported under a name of its own is known as long as it is here. It fetches
nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from localmind.catalog.document import bundled, parse, read
from localmind.catalog.spec import (
    FileSpec,
    Format,
    HubSource,
    ModelSpec,
    PathSource,
    Role,
    Shape,
    Source,
    UrlSource,
    Use,
    WheelSource,
)
from localmind.closest import closest
from localmind.errors import ModelNotFound
from localmind.paths import Paths

__all__ = [
    "BEST",
    "Catalog",
    "FileSpec",
    "Format",
    "HubSource",
    "ModelSpec",
    "PathSource",
    "Role",
    "Shape",
    "Source",
    "UrlSource",
    "Use",
    "WheelSource",
    "bundled",
    "load",
    "parse",
    "spelled",
    "standing",
]


BEST = "best"
"""Instead of a name: whatever is the best that is here."""

_BY_SIZE = (
    (200_000_000, 1),  # a draft model, a copy of the starter, a try: it never takes the starter's place by itself
    (400_000_000, 5),
    (1_200_000_000, 15),
    (2_500_000_000, 25),
    (5_000_000_000, 40),
    (10_000_000_000, 50),
)


def _nothing() -> tuple[ModelSpec, ...]:
    return ()


@dataclass(slots=True, frozen=True)
class Catalog:
    """All known models, in the order of the files, then what is here besides; iterating yields ModelSpec."""

    declared: tuple[ModelSpec, ...]
    installed: Callable[[], tuple[ModelSpec, ...]] = _nothing
    """What is on the disk now, with the files that it really has."""

    @property
    def models(self) -> tuple[ModelSpec, ...]:
        here = {spec.name: spec for spec in self.installed()}
        known = [_pinned(spec, here.pop(spec.name, None)) for spec in self.declared]
        return (*known, *here.values())

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def get(self, name: str) -> ModelSpec | None:
        """By name, alias, family or `NAME-QUANTISATION`, in any case. None if unknown.

        A bare family name means the first of its models that is here, else the one that has it for an alias. BEST
        means the best chat model that is here.
        """
        wanted = spelled(name)
        models = self.models
        if wanted == BEST:
            return self._best(models)
        for spec in models:
            if wanted == spec.name:
                return spec
        found = [spec for spec in models if wanted in spec.aliases]
        found += [spec for spec in models if wanted == spec.name.partition(":")[0]]
        if len(found) > 1:
            here = {spec.name for spec in self.installed()}
            found.sort(key=lambda spec: spec.name not in here)
        if found:
            return found[0]
        for spec in models:
            for quantisation in (spec.quantisation, *spec.quantisations):
                if wanted == f"{spec.name}-{quantisation.lower()}":
                    return spec if quantisation == spec.quantisation else spec.variant(quantisation)
        return None

    def find(self, name: str) -> ModelSpec:
        """As `get`, but raises ModelNotFound that names what comes closest."""
        spec = self.get(name)
        if spec is not None:
            return spec
        known = {alias: spec.name for spec in self.models for alias in (*spec.aliases, spec.name)}
        close = closest(spelled(name), known)
        names = list(dict.fromkeys(known[alias] for alias in close))
        hint = f"did you mean `{names[0]}`? `localmind models list` shows all" if names else "localmind models list"
        if spelled(name).startswith("hf.co/"):
            raise ModelNotFound(f"{name!r} is not on this machine", hint=f"localmind models pull {name.strip()}")
        raise ModelNotFound(f"no model named {name!r} in the catalog", hint=hint)

    def _best(self, models: tuple[ModelSpec, ...]) -> ModelSpec | None:
        """The best chat model that is here; while none is, the starter, which comes from the package index."""
        here = {spec.name for spec in self.installed()}
        chat = [spec for spec in models if spec.role == "chat"]
        installed = [spec for spec in chat if spec.name in here]
        return max(installed, key=standing, default=next((spec for spec in chat if spec.starter), None))

    def of_role(self, role: Role) -> tuple[ModelSpec, ...]:
        return tuple(spec for spec in self.models if spec.role == role)


def load(paths: Paths, installed: Callable[[], tuple[ModelSpec, ...]] = _nothing) -> Catalog:
    """The bundled models with the user's overlay on top. Raises ConfigInvalid naming file and line."""
    overlay = read(paths.catalog_overlay) if paths.catalog_overlay.exists() else ()
    own = {spec.name: spec for spec in overlay}
    merged = [own.pop(spec.name, spec) for spec in bundled()]
    return Catalog((*merged, *own.values()), installed)


def standing(spec: ModelSpec) -> tuple[int, int]:
    """For comparing models of one role: the catalog's rank, or what models of this size are usually worth."""
    usual = next((rank for size, rank in _BY_SIZE if spec.parameters < size), 60)
    return spec.rank or usual, spec.parameters


def spelled(name: str) -> str:
    """A name as catalogs write it: lower case, the Hub by its short name, no tag that means "the usual one"."""
    wanted = name.strip().lower().removesuffix(":latest")
    for prefix in ("https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf:"):
        if wanted.startswith(prefix):
            return "hf.co/" + wanted.removeprefix(prefix)
    return wanted


def _pinned(declared: ModelSpec, here: ModelSpec | None) -> ModelSpec:
    """The catalog's words with the hashes that the first pull found, unless the catalog has hashes of its own."""
    if here is None or declared.files:
        return declared
    return msgspec.structs.replace(declared, files=here.files, sources=here.sources)
