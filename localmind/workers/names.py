"""Which model a name means to whoever asks: of this machine and installed, or of another. It loads nothing."""

from localmind.catalog import Catalog, ModelSpec
from localmind.errors import InvalidRequest
from localmind.models.store import Store
from localmind.workers.loading import here
from localmind.workers.outside import Outside

DEFAULT_NAMES = frozenset({"", "default"})
"""Names by which a client means "whatever you have"."""


class Names:
    """Everything raises ModelNotFound, ModelNotInstalled or InvalidRequest."""

    def __init__(self, catalog: Catalog, store: Store, outside: Outside, default: str) -> None:
        self._catalog = catalog
        self._store = store
        self._outside = outside
        self._default = default

    def chat(self, name: str | None) -> ModelSpec:
        wanted = self._or_default(name)
        if (remote := self._outside.find(wanted)) is not None:
            return remote
        spec = self._catalog.find(wanted)
        if spec.role != "chat":
            raise InvalidRequest(f"{spec.name} is a model for {spec.role}, not for chat", hint="localmind models list")
        return here(self._store, spec)

    def loadable(self, name: str | None) -> ModelSpec:
        spec = self._catalog.find(self._or_default(name))
        if spec.format != "gguf":
            raise InvalidRequest(f"{spec.name} is no GGUF: it comes and goes by itself", hint="localmind models list")
        return here(self._store, spec)

    def embedder(self, name: str | None) -> ModelSpec:
        if name is None or _means_any(name):
            of_role = self._catalog.of_role("embed")
            installed = (spec for spec in of_role if self._store.get(spec.name) is not None)
            return here(self._store, next(installed, of_role[0]))
        if (remote := self._outside.find(name)) is not None:
            return remote
        spec = self._catalog.find(name)
        if spec.role not in ("embed", "chat"):
            raise InvalidRequest(f"{spec.name} is a model for {spec.role}", hint="localmind models list")
        return here(self._store, spec)

    def installed(self) -> list[str]:
        return [spec.name for spec in self._catalog.of_role("chat") if self._store.get(spec.name) is not None]

    def _or_default(self, name: str | None) -> str:
        return self._default if name is None or _means_any(name) else name


def _means_any(name: str) -> bool:
    return name.strip().lower() in DEFAULT_NAMES
