"""What is remembered of models in memory over a restart: the one used last, pins, and how long each is kept."""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from localmind.errors import DiskFull, PermissionRefused
from localmind.paths import private_dir, write_atomic

log = logging.getLogger("localmind.workers")


class _File(msgspec.Struct):
    last: str = ""
    pinned: list[str] = []
    keep_alive: dict[str, float] = {}
    """Seconds; below zero is for ever, as JSON has no infinity."""


@dataclass(slots=True)
class Kept:
    """One small JSON file. None keeps nothing; one that does not parse counts as empty."""

    path: Path | None
    _data: _File = field(default_factory=_File)

    def __post_init__(self) -> None:
        if self.path is None:
            return
        try:
            self._data = msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as problem:
            log.warning("%s is not read: %s", self.path, problem)

    @property
    def last(self) -> str:
        return self._data.last

    @property
    def pinned(self) -> tuple[str, ...]:
        return tuple(self._data.pinned)

    @property
    def keep_alive(self) -> dict[str, float]:
        return {name: float("inf") if kept < 0 else kept for name, kept in self._data.keep_alive.items()}

    async def used(self, name: str) -> None:
        if name != self._data.last:
            self._data.last = name
            await self._write()

    async def pin(self, name: str, pinned: bool) -> None:
        if (name in self._data.pinned) != pinned:
            self._data.pinned = sorted({*self._data.pinned, name} if pinned else {*self._data.pinned} - {name})
            await self._write()

    async def keep(self, name: str, keep_s: float | None) -> None:
        if keep_s is None:
            self._data.keep_alive.pop(name, None)
        else:
            self._data.keep_alive[name] = -1.0 if keep_s == float("inf") else keep_s
        await self._write()

    async def _write(self) -> None:
        if self.path is not None:
            data = msgspec.json.format(msgspec.json.encode(self._data), indent=1)
            await asyncio.to_thread(_store, self.path, data)


def _store(path: Path, data: bytes) -> None:
    try:
        private_dir(path.parent)
        write_atomic(path, data)
    except (DiskFull, PermissionRefused) as problem:  # no reason to keep a model from answering
        log.warning("what is known of models in memory is not kept: %s", problem.message)
