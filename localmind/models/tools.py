"""What every pull works with: the store, the network as the user configured it, and the room on the disk."""

import errno
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from localmind.errors import DiskFull
from localmind.events import Progress
from localmind.models.fetch import PATIENT, Fetch
from localmind.models.hub_config import HubConfig
from localmind.models.line import Patience
from localmind.models.pip_config import IndexConfig
from localmind.models.room import FLOOR, FreeSpace, free_space
from localmind.models.steps import in_thread
from localmind.models.store import Store


@dataclass(slots=True, frozen=True)
class Tools:
    """Handed from a pull to its parts."""

    store: Store
    client: httpx2.Client
    index: IndexConfig
    hub: HubConfig
    free: FreeSpace = free_space
    patience: Patience = PATIENT

    def fetch(
        self, url: str, part: Path, sha256: str | None, size: int, label: str, headers: dict[str, str] | None = None
    ) -> Fetch:
        return Fetch(
            url,
            part,
            sha256,
            size,
            self.client,
            label=label,
            free=self.free,
            patience=self.patience,
            headers=headers or {},
        )

    def check_disk(self, need: int, name: str) -> None:
        """Raises DiskFull unless there is room for so many bytes and some to spare."""
        if self.free(self.store.root) < need + FLOOR:
            raise self.disk_full(need, name)

    def disk_full(self, need: int, name: str) -> DiskFull:
        free = self.free(self.store.root)
        return DiskFull(
            f"{name} needs {need / 1e6:.0f} MB on the disk of {self.store.root} and {FLOOR / 1e6:.0f} MB "
            f"to spare, and {free / 1e6:.0f} MB are free",
            hint="free some space, `localmind models rm` a model, or move everything with LOCALMIND_HOME",
        )

    async def stepwise(
        self, stage: str, work: Generator[int, None, None], total: int, before: int, label: str, name: str
    ) -> AsyncGenerator[Progress, None]:
        """Run a blocking generator of bytes done a step at a time off the loop; closing this closes it."""
        try:
            while (done := await in_thread(next, work, None)) is not None:
                yield Progress(stage, float(before + done), float(total), "B", label)
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self.disk_full(total - before, name) from problem
            raise
        finally:
            work.close()


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
