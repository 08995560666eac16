"""Knowledge: the folders you let localmind watch, kept equal to the disk, and searched.

This is the one class that the rest of the daemon uses. It starts and stops the tasks that read,
embed and watch, and answers questions about folders; each of these is a module of its own. It never
blocks the loop, never raises because of one bad file, and after a kill at any point the next start
brings the index back to what the folders hold.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from localmind.errors import FolderNotFound, InvalidRequest, LocalmindError
from localmind.events import Passage, Progress
from localmind.knowledge.database import Database
from localmind.knowledge.embedder import Embedder, EmbedModel
from localmind.knowledge.embedding import Embedding
from localmind.knowledge.folders import Folder, FolderStatus, canonical, find_root, overlapping, refuse_root
from localmind.knowledge.index import Counts, Index, Root
from localmind.knowledge.reading import Reading, Work, unavailable
from localmind.knowledge.retrieve import Retriever, Scope
from localmind.knowledge.rules import Rules
from localmind.knowledge.search import Floor
from localmind.knowledge.vector_index import VectorIndex
from localmind.knowledge.watch import Watcher, Watching
from localmind.workers.process import WorkerCalls

RECONCILE_S = 600.0
POLL_S = 5.0

log = logging.getLogger("localmind.knowledge")


class Knowledge:
    """The index of all watched folders. Make it, `start` it, and `close` it, all on one event loop."""

    def __init__(
        self,
        database: Path,
        *,
        chroma_dir: Path,
        embed: WorkerCalls,
        vectors: WorkerCalls,
        extract: WorkerCalls,
        embed_model: EmbedModel | None,
        never: Sequence[Path] = (),
        floor: Floor | None = None,
        watch_limit: int | None = None,
        reconcile_s: float = RECONCILE_S,
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`never`: directories of our own that no folder may show. Without `embed_model`, keywords alone."""
        self._database = Database(database, clock=clock)
        self._embed_calls = embed
        self._model = embed_model
        self._reconcile_s, self._poll_s = reconcile_s, poll_s
        self._watch_limit = watch_limit
        self._vectors = VectorIndex(self._database, vectors, chroma_dir)
        self._never = (database.parent, chroma_dir, *never)
        self._reading = Reading(self._database, extract, never=self._never, progressed=self._on_progress)
        self._embedding = Embedding(
            self._database, self._vectors, roots=lambda: list(self._reading.work), progressed=self._pulse
        )
        self._retriever = Retriever(self._database, self._vectors, floor)
        self._watcher: Watcher | None = None
        self._watching: dict[int, Watching] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._folders_lock = asyncio.Lock()

    async def start(self) -> None:
        """Open the database, look at every folder, begin to watch. Returns before anything is read."""
        loop = asyncio.get_running_loop()
        await self._database.open()
        self._watcher = Watcher(
            lambda root_id, path: _from_thread(loop, self._reading.mark, root_id, path), limit=self._watch_limit
        )
        await self._apply_model()
        for root in await self._database.run(Index.roots):
            self._reading.work[root.id] = Work(root)
        self._tasks = [
            asyncio.create_task(self._reading.run(), name="knowledge: read"),
            asyncio.create_task(self._embedding.run(), name="knowledge: embed"),
            asyncio.create_task(self._reconcile(), name="knowledge: reconcile"),
            asyncio.create_task(self._poll(), name="knowledge: poll"),
        ]
        for root_id, work in list(self._reading.work.items()):
            # The watch comes first: what changes after the scan is then seen by the watch.
            self._watching[root_id] = await asyncio.to_thread(self._watcher.add, root_id, work.root.path)
            self._reading.mark(root_id, "", now=True)
        self._embedding.wake()

    async def close(self) -> None:
        """Stop. What is under way in the database is finished, everything else starts again next time."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        if self._watcher is not None:
            await asyncio.to_thread(self._watcher.close)
            self._watcher = None
        await self._database.close()
        self._pulse()

    async def use_embed_model(self, model: EmbedModel | None) -> None:
        """An embedder was installed or changed: embed everything with it, answering by keyword meanwhile."""
        self._model = model
        await self._apply_model()
        for root_id in self._reading.work:
            self._reading.mark(root_id, "", now=True)
        self._embedding.wake()

    async def add_folder(self, path: Path) -> Folder:
        """Watch a folder. Adding it again is fine; one inside a watched folder, or around one, is refused.

        FolderNotFound, FolderUnreadable, PermissionRefused (never to be read) or InvalidRequest (overlap).
        """
        async with self._folders_lock:
            real = await asyncio.to_thread(canonical, path)
            roots = await self._database.run(Index.roots)
            for root in roots:
                if root.path == real:
                    self._reading.mark(root.id, "", now=True)
                    return Folder(root.id, str(root.path))
            refuse_root(real, self._never)
            other = overlapping(real, roots)
            if other is not None:
                inside = real.is_relative_to(other.path)
                relation = "is already watched as part of" if inside else "contains the watched folder"
                raise InvalidRequest(
                    f"{real} {relation} {other.path}",
                    hint=f'localmind search --folder "{real}" …' if inside else f'localmind folders rm "{other.path}"',
                )
            device = (await asyncio.to_thread(os.stat, real)).st_dev
            root = await self._database.run(Index.add_root, real, device)
            self._reading.work[root.id] = Work(root)
            self._reading.mark(root.id, "", now=True)
            assert self._watcher is not None
            self._watching[root.id] = await asyncio.to_thread(self._watcher.add, root.id, real)
            # Once more, for what changed between the first look and the watch.
            self._reading.mark(root.id, "")
            return Folder(root.id, str(real))

    async def remove_folder(self, path_or_id: Path | int) -> None:
        """Forget a folder and everything read from it. The files themselves are not touched."""
        async with self._folders_lock:
            root = find_root(path_or_id, await self._database.run(Index.roots))
            self._reading.work.pop(root.id, None)
            self._watching.pop(root.id, None)
            if self._watcher is not None:
                await asyncio.to_thread(self._watcher.remove, root.id)
            await self._database.run(Index.remove_root, root.id)
            try:
                await self._vectors.drop_unused()
            except LocalmindError as error:
                # What Chroma keeps is numbers without text; the next removal or rebuild takes it away.
                log.warning("the vectors of %s are removed later: %s", root.path, error)
            await self._database.run(Index.purge)
        self._pulse()

    async def folders(self) -> list[FolderStatus]:
        """All folders with their figures, in order of path."""
        return [await self._status(root) for root in await self._database.run(Index.roots)]

    async def wait_indexed(self, folder_id: int | None = None) -> None:
        """Wait until a folder (or all) is read, embedded and placed, as far as that is possible at present."""
        while True:
            changed = self._changed
            ids = list(self._reading.work) if folder_id is None else [folder_id]
            if all([await self._settled(root_id) for root_id in ids]):
                return
            await changed.wait()

    async def progress(self, folder_id: int) -> AsyncGenerator[Progress, None]:
        """What is being done for a folder, until it is done. Stages: "scan", "read" (files), "embed" (chunks)."""
        last: Progress | None = None
        while True:
            changed = self._changed
            if await self._settled(folder_id):
                counts = await self._database.run(Index.counts, folder_id)
                yield Progress("done", counts.files, counts.files, "files", f"{counts.chunks} passages")
                return
            step = await self._progress(folder_id)
            if step is not None and step != last:
                last = step
                yield step
            await changed.wait()

    async def search(self, query: str, *, limit: int = 10, folder: Path | None = None) -> list[Passage]:
        """Passages that may answer, best first; empty when nothing in the folders comes near the question."""
        if not query.strip():
            raise InvalidRequest("the question is empty")
        if not 1 <= limit <= 100:
            raise InvalidRequest(f"limit must be from 1 to 100, not {limit}")
        roots = await self._database.run(Index.roots)
        scope = Scope(tuple(root.id for root in roots))
        if folder is not None:
            real = Path(os.path.realpath(Path(folder).expanduser()))
            home = overlapping(real, roots, around=False)
            if home is None:
                raise FolderNotFound(f"{folder} is not in a watched folder", hint=f'localmind folders add "{folder}"')
            below = real.relative_to(home.path).as_posix()
            scope = Scope((home.id,), "" if below == "." else below)
        return await self._retriever.search(query, scope, limit, self._embedding.embedder)

    async def why(self, path: Path) -> str:
        """In a sentence: is this path indexed, and if not, why not."""
        # The last part is not resolved: a link is a reason.
        path = Path(path).expanduser().absolute()
        real = Path(os.path.realpath(path.parent), path.name)
        home = overlapping(real, await self._database.run(Index.roots), around=False)
        if home is None:
            return "it is not in a watched folder"
        relpath = real.relative_to(home.path).as_posix()
        if relpath == ".":
            return "it is a watched folder"
        return await self._why_inside(home, relpath, real)

    def hold(self) -> contextlib.AbstractContextManager[None]:
        """Inside this block nothing is embedded; for the time in which somebody waits for an answer."""
        return self._embedding.hold()

    async def _why_inside(self, home: Root, relpath: str, real: Path) -> str:
        is_dir = await asyncio.to_thread(lambda: real.is_dir() and not real.is_symlink())
        reason = await asyncio.to_thread(Rules(home.path, self._never).explain, relpath, is_dir=is_dir)
        if reason is not None:
            return f"not indexed: {reason}"
        if is_dir:
            return "its files are indexed, as far as rules and formats allow"
        state = await self._database.run(Index.file_state, home.id, relpath)
        if state is not None:
            kind, why, chunks = state
            return f"indexed, {chunks} passages" if kind == "indexed" else f"not indexed: {why}"
        found, _ = await self._reading.scan(home, [relpath])
        if relpath in found.entries:
            return "it will be indexed in a moment"
        if found.problems:
            return f"not indexed: {found.problems[0][1]}"
        exists = await asyncio.to_thread(os.path.lexists, real)
        return "not indexed: it is empty, or of a kind that is never read" if exists else "there is no such file"

    async def _apply_model(self) -> None:
        model = self._model
        self._reading.model = model
        self._embedding.embedder = Embedder(self._embed_calls, model) if model is not None else None
        if model is not None:
            await self._database.run(Index.use_model, model.name)
        await self._vectors.start(model.name if model is not None else None)

    async def _settled(self, root_id: int) -> bool:
        work = self._reading.work.get(root_id)
        if work is None or (self._reading.trouble is not None and not work.dirty.scope and not work.busy):
            return True
        if not work.idle:
            return False
        if self._embedding.embedder is None or self._embedding.trouble is not None:
            return True
        return self._vectors.ready(root_id) and (await self._database.run(Index.counts, root_id)).waiting == 0

    async def _progress(self, root_id: int) -> Progress | None:
        work = self._reading.work.get(root_id)
        if work is None:
            return None
        if work.left or work.current:
            total = work.read + work.left + (1 if work.current else 0)
            return Progress("read", work.read, total, "files", work.current)
        if not work.idle:
            return Progress("scan", 0, None, "files", str(work.root.path))
        counts = await self._database.run(Index.counts, root_id)
        return Progress("embed", counts.chunks - counts.unembedded, counts.chunks, "passages")

    async def _status(self, root: Root) -> FolderStatus:
        counts: Counts = await self._database.run(Index.counts, root.id)
        work = self._reading.work.get(root.id)
        watching = self._watching.get(root.id, Watching(True))
        failed = await self._database.run(Index.problems, root.id)
        problem = root.problem or self._reading.trouble or self._embedding.trouble
        if root.problem is not None:
            state = "offline"
        elif work is not None and not work.idle:
            state = "reading"
        elif counts.waiting and self._embedding.embedder is not None and self._embedding.trouble is None:
            state = "embedding"
        else:
            state = "ready"
        return FolderStatus(
            id=root.id,
            path=str(root.path),
            state=state,
            files=counts.files,
            chunks=counts.chunks,
            vectors_pending=counts.waiting,
            errors=(*failed, *(work.problems if work is not None else ())),
            problem=problem,
            watching="events" if watching.events else f"polling: {watching.why}",
        )

    def _on_progress(self) -> None:
        self._embedding.wake()
        self._pulse()

    def _pulse(self) -> None:
        """Wake everybody who waits for progress."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _reconcile(self) -> None:
        """Look at everything now and then: events get lost. Also the time to remove traces of deleted text."""
        while True:
            await asyncio.sleep(self._reconcile_s)
            for root_id in list(self._reading.work):
                self._reading.mark(root_id, "", now=True)
            await self.wait_indexed()
            await self._database.run(Index.purge)

    async def _poll(self) -> None:
        """Look at folders without events, and notice a folder that went or came back: that makes no event either."""
        while True:
            await asyncio.sleep(self._poll_s)
            for root_id, work in list(self._reading.work.items()):
                gone = await asyncio.to_thread(unavailable, work.root) is not None
                returned = work.root.problem is not None and not gone
                if returned and self._watcher is not None:
                    # The old watch is on the old directory, which may have been another one of the same name.
                    self._watching[root_id] = await asyncio.to_thread(self._watcher.add, root_id, work.root.path)
                polled = not self._watching.get(root_id, Watching(True)).events and work.idle
                if polled or gone != (work.root.problem is not None):
                    self._reading.mark(root_id, "", now=True)


def _from_thread(
    loop: asyncio.AbstractEventLoop, function: Callable[[int, str], None], root_id: int, path: str
) -> None:
    # The loop may close while watchdog still tells of an event.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, root_id, path)
