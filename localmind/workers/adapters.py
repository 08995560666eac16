"""The LoRA adapters of loaded models: listed, made choosable and forgotten, and booked with their model's bytes.

Which of them a request uses is the request's affair, how they are applied the engine's (engine/adapters.py).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from localmind.catalog import ModelSpec
from localmind.errors import InvalidRequest
from localmind.models.gguf import Header, read_header
from localmind.workers.elsewhere import RemoteModel
from localmind.workers.loading import Loaded, Loader
from localmind.workers.residence import Residence


class Adapters:
    """`hold` is entered while a worker is at work on them."""

    def __init__(
        self, loader: Loader, residence: Residence, hold: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        self._loader = loader
        self._residence = residence
        self._hold = hold

    async def listed(self, spec: ModelSpec) -> list[dict[str, Any]]:
        """Those that requests may choose, in the order of their numbers. Wakes no engine."""
        entry = self._loader.entries.get(spec.name)
        if entry is None or entry.supervisor.pid is None:
            return [{"name": name, "path": path} for name, path in (entry.adapters if entry else {}).items()]
        async with self._residence.using(spec.name, await self._loader.lay(entry)):
            with self._hold():
                found: list[dict[str, Any]] = await entry.supervisor.call("adapters", {"action": "list"})
        return found

    async def load(self, spec: ModelSpec, name: str, path: Path) -> dict[str, Any]:
        """Make a file choosable as `name`, now and after each restart of the worker."""
        entry = self._entry(spec)
        weighed = entry.weighed | {name: await asyncio.to_thread(read_header, path)}
        async with self._residence.using(spec.name, await self._loader.lay(entry)):
            with self._hold(), self._weighing(entry, weighed):
                params = {"action": "load", "name": name, "path": str(path)}
                loaded: dict[str, Any] = await entry.supervisor.call("adapters", params)
                entry.adapters[name] = str(path)
        return loaded

    async def unload(self, spec: ModelSpec, name: str) -> None:
        """Forget one. Raises NotFound."""
        entry = self._entry(spec)
        weighed = {each: header for each, header in entry.weighed.items() if each != name}
        if entry.supervisor.pid is None and entry.adapters.pop(name, None) is not None:
            self._loader.weigh(entry, weighed)
            return
        async with self._residence.using(spec.name, await self._loader.lay(entry)):
            with self._hold():
                await entry.supervisor.call("adapters", {"action": "unload", "name": name})
            entry.adapters.pop(name, None)
            if (laid := self._loader.weigh(entry, weighed)) is not None:
                self._residence.rebook(spec.name, laid)

    def _entry(self, spec: ModelSpec) -> Loaded:
        if isinstance(spec, RemoteModel):
            raise InvalidRequest(f"{spec.name} lives elsewhere: adapters are only for models of this machine")
        return self._loader.entry(spec)

    @contextlib.contextmanager
    def _weighing(self, entry: Loaded, adapters: dict[str, Header]) -> Iterator[None]:
        """Its adapters are booked with it from now on, unless what happens inside fails. Raises NoRoom."""
        before = entry.weighed
        try:
            if (laid := self._loader.weigh(entry, adapters)) is not None:
                self._residence.rebook(entry.spec.name, laid)
            yield
        except BaseException:
            if (laid := self._loader.weigh(entry, before)) is not None:
                self._residence.rebook(entry.spec.name, laid)
            raise
