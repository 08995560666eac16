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
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

from localmind.counted import counted
from localmind.errors import FolderNotFound, InvalidRequest, LocalmindError
from localmind.events import Passage, Progress
from localmind.knowledge import traces, vector_rows
from localmind.knowledge.changes import Changed
from localmind.knowledge.database import Database
from localmind.knowledge.embedder import Embedder, EmbedModel
from localmind.knowledge.embedding import Embedding
from localmind.knowledge.folders import Folder, canonical, find_root, overlapping, refuse_root
from localmind.knowledge.index import Index
from localmind.knowledge.pace import Gate, OnBattery, Sensor, Situation
from localmind.knowledge.passages import single
from localmind.knowledge.purge import Purge, Purged
from localmind.knowledge.reading import Cut, Reading
from localmind.knowledge.recordings import Listener
from localmind.knowledge.retrieve import Rerank, Retriever, Trace
from localmind.knowledge.scope import Filters, Scope
from localmind.knowledge.search import Floor
from localmind.knowledge.state import FolderStatus, Indexing, State
from localmind.knowledge.upkeep import Upkeep, Watches
from localmind.knowledge.vector_index import Server, VectorIndex, VectorsWorker
from localmind.knowledge.why import why
from localmind.knowledge.work import Work
from localmind.workers.process import WorkerCalls

RECONCILE_S = 600.0
POLL_S = 5.0
# A search counts as somebody's presence for so many seconds.
PRESENCE_S = 10.0

log = logging.getLogger("localmind.knowledge")


class Knowledge:
    """The index of all watched folders. Make it, `start` it, and `close` it, all on one event loop."""

    def __init__(
        self,
        database: Path,
        *,
        chroma_dir: Path,
        embed: WorkerCalls,
        vectors: VectorsWorker,
        extract: WorkerCalls,
        embed_model: EmbedModel | None,
        never: Sequence[Path] = (),
        floor: Floor | None = None,
        watch_limit: int | None = None,
        reconcile_s: float = RECONCILE_S,
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.time,
        find_model: Callable[[str], EmbedModel | None] = lambda name: None,
        server: Server | None = None,
        on_battery: OnBattery = "slow",
        sense: Callable[[], Situation] | None = None,
        elsewhere: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        """`never`: directories of our own that no folder may show. Without `embed_model`, keywords alone.

        `find_model`: an installed embedder by name, for questions while another one takes over. `server`: a
        Chroma server in place of files. `elsewhere`: clears what other rooms keep of texts, after a deletion.
        """
        self._database = Database(database, clock=clock)
        self._embed_calls = embed
        self._find_model = find_model
        self._model = embed_model
        self._never = (database.parent, chroma_dir, *never)
        self._changed = Changed()
        self._gate = Gate(sense or Sensor(database.parent).sense, self._on_pace, on_battery)
        self._vectors = VectorIndex(self._database, vectors, embed, chroma_dir, server=server)
        self._reading = Reading(
            self._database, extract, self._gate, never=self._never, progressed=self._on_progress,
            backlog=lambda: self._embedding.backlog,
        )  # fmt: skip
        self._embedding = Embedding(
            self._database, self._vectors, self._gate, roots=lambda: list(self._reading.work),
            bulk=lambda: self._reading.bulk, progressed=self._changed.pulse,
        )  # fmt: skip
        self._vectors.on_trouble = self._embedding.wake
        self._embedding.changed_over = self._on_changed_over
        self._retriever = Retriever(self._database, self._vectors, floor)
        self._watches = Watches(self._reading, watch_limit)
        self._purge = Purge(
            self._database, self._vectors, busy=self._busy, rebuild=self._embedding.wake, elsewhere=elsewhere
        )
        self._upkeep = Upkeep(self._reading, self._watches, self._purge, reconcile_s=reconcile_s, poll_s=poll_s)
        self._state = State(self._database, self._reading, self._embedding, self._vectors, self._gate, self._watches)
        self._answering: Embedder | None = None
        self._searched_at = -PRESENCE_S
        self._tasks: list[asyncio.Task[None]] = []
        self._folders_lock = asyncio.Lock()

    async def start(self) -> None:
        """Open the database, look at every folder, begin to watch. Returns before anything is read."""
        await self._database.open()
        self._watches.start()
        self._gate.pause(await self._database.run(Index.meta, "paused") is not None)
        await self._gate.look()
        await self._apply_model()
        for root in await self._database.run(Index.roots):
            self._reading.work[root.id] = Work(root)
        self._tasks = [
            asyncio.create_task(task, name=f"knowledge: {name}")
            for name, task in (
                ("read", self._reading.run()),
                ("embed", self._embedding.run()),
                ("pace", self._gate.watch()),
                ("reconcile", self._upkeep.reconcile()),
                ("poll", self._upkeep.poll()),
                ("forget", self._upkeep.forget()),
            )
        ]
        for root_id, work in list(self._reading.work.items()):
            # The watch comes first: what changes after the scan is then seen by the watch.
            await self._watches.add(root_id, work.root.path)
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
        await self._watches.close()
        await self._database.close()
        self._changed.pulse()

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
            await self._watches.add(root.id, real)
            # Once more, for what changed between the first look and the watch.
            self._reading.mark(root.id, "", now=True)
            return Folder(root.id, str(real))

    async def remove_folder(self, path_or_id: Path | int) -> None:
        """Forget a folder and everything read from it. The files themselves are not touched."""
        async with self._folders_lock:
            root = find_root(path_or_id, await self._database.run(Index.roots))
            self._reading.work.pop(root.id, None)
            await self._watches.remove(root.id)
            await self._database.run(Index.remove_root, root.id)
            try:
                await self._vectors.drop_unused()
                await self._purge.after_removal()
            except LocalmindError as error:
                # What Chroma keeps is numbers without text; the next quiet moment takes it away.
                log.warning("traces of %s are removed later: %s", root.path, error)
        self._changed.pulse()

    async def purge(self) -> Purged:
        """Remove every trace of deleted text and vectors from our files now; by itself it happens when idle."""
        return await self._purge.now()

    async def unknown(self, quoted: Sequence[tuple[str, int]]) -> list[str]:
        """Of these (file, chunk) the files that are deleted, or in no watched folder any more."""
        return await self._database.read(traces.unknown, quoted)

    async def pause(self, paused: bool) -> None:
        """Read and embed nothing until the user says otherwise; kept over a restart. Searching goes on."""
        if paused:
            await self._database.run(Index.set_meta, "paused", "by the user")
        else:
            await self._database.run(Index.clear_meta, "paused")
        self._gate.pause(paused)

    async def folders(self) -> list[FolderStatus]:
        """All folders with their figures, in order of path."""
        return [await self._state.folder(root) for root in await self._database.read(Index.roots)]

    async def indexing(self) -> Indexing:
        """How the index as a whole is doing."""
        return await self._state.indexing()

    async def wait_indexed(self, folder_id: int | None = None) -> None:
        """Wait until a folder (or all) is read, embedded and placed, as far as that is possible at present."""
        while True:
            changed = self._changed.event
            ids = list(self._reading.work) if folder_id is None else [folder_id]
            if all([await self._state.settled(root_id) for root_id in ids]):
                return
            await changed.wait()

    async def progress(self, folder_id: int) -> AsyncGenerator[Progress, None]:
        """What is being done for a folder, until it is done. Stages: "scan", "read" (files), "embed" (chunks)."""
        last: Progress | None = None
        while True:
            changed = self._changed.event
            if await self._state.settled(folder_id):
                counts = await self._database.read(Index.counts, folder_id)
                yield Progress("done", counts.files, counts.files, "files", counted(counts.chunks, "passage"))
                return
            step = await self._state.progress(folder_id)
            if step is not None and step != last:
                last = step
                yield step
            await changed.wait()

    async def follow(self) -> AsyncGenerator[tuple[list[FolderStatus], Indexing], None]:
        """All figures, now and whenever they change, without end."""
        last: tuple[list[FolderStatus], Indexing] | None = None
        while True:
            changed = self._changed.event
            now = await self.folders(), await self.indexing()
            if now != last:
                last = now
                yield now
            await changed.wait()

    async def search(
        self, query: str, *, limit: int = 10, folder: Path | None = None, filters: Filters | None = None
    ) -> list[Passage]:
        """Passages that may answer, best first; empty when nothing in the folders comes near the question."""
        return (await self.trace(query, limit=limit, folder=folder, filters=filters)).passages

    async def trace(
        self, query: str, *, limit: int = 10, folder: Path | None = None, filters: Filters | None = None
    ) -> Trace:
        """A search with what each of its stages found."""
        if not query.strip():
            raise InvalidRequest("the question is empty")
        if not 1 <= limit <= 100:
            raise InvalidRequest(f"limit must be from 1 to 100, not {limit}")
        filters = filters or Filters()
        filters.check()
        roots = await self._database.read(Index.roots)
        scope = Scope(tuple(root.id for root in roots), "", filters)
        if folder is not None:
            real = Path(os.path.realpath(Path(folder).expanduser()))
            home = overlapping(real, roots, around=False)
            if home is None:
                raise FolderNotFound(f"{folder} is not in a watched folder", hint=f'localmind folders add "{folder}"')
            below = real.relative_to(home.path).as_posix()
            scope = Scope((home.id,), "" if below == "." else below, filters)
        self._searched_at = time.monotonic()
        return await self._retriever.trace(query, scope, limit, self._answering)

    def use_reranker(self, rerank: Rerank | None) -> None:
        """Let a model put the best passages of every search in their last order; None: the order of the scores."""
        self._retriever.rerank = rerank

    def listen_with(self, listener: Listener | None) -> None:
        """Who hears what is said in sound files; None: nobody. Before `start`."""
        self._reading.recordings.listener = listener
        self._reading.recordings.look()

    def look_for_listener(self) -> None:
        """A speech model was installed: recordings that could not be heard are heard now."""
        if self._reading.recordings.look():
            for root_id in self._reading.work:
                self._reading.mark(root_id, "", now=True)

    async def chunks(self, ids: Sequence[int]) -> list[Passage]:
        """Chunks one by one, as a stage of a search found them."""
        return await self._database.read(single, ids)

    async def why(self, path: Path) -> str:
        """In a sentence: is this path indexed, and if not, by which rule."""
        return await why(path, self._database, self._reading)

    def hold(self) -> contextlib.AbstractContextManager[None]:
        """Inside this block nothing is embedded; for the time in which somebody waits for an answer."""
        return self._gate.hold()

    async def _apply_model(self) -> None:
        model = self._model
        self._reading.model = model.name if model is not None else ""
        self._embedding.embedder = Embedder(self._embed_calls, model) if model is not None else None
        use = vector_rows.use_model if model is not None else None
        models = await self._database.run(use, model.name) if use and model else vector_rows.Models(None, None)
        if models.serving not in (None, models.wanted) and self._find_model(str(models.serving)) is None:
            # The old embedder is gone: what has new vectors already answers, and keywords do.
            models = vector_rows.Models(models.wanted, None)
        await self._vectors.start(models)
        await self._apply_answering()

    async def _apply_answering(self) -> None:
        """The model that answers also says how documents are cut, until the new one answers."""
        name, model = self._vectors.model, self._model
        if name is not None and model is not None and name != model.name:
            model = self._find_model(name)
        self._answering = Embedder(self._embed_calls, model) if model is not None else None
        self._reading.cut = Cut(await asyncio.to_thread(model.tokens), model.tokenizer) if model is not None else None

    def _on_changed_over(self) -> None:
        async def apply() -> None:
            await self._apply_answering()
            self._upkeep.look_at_everything()

        self._tasks.append(asyncio.create_task(apply(), name="knowledge: new embedder"))

    def _busy(self) -> bool:
        """Whether something is done for the folders or somebody is here, so that tidying up has to wait."""
        present = time.monotonic() - self._searched_at < PRESENCE_S
        reading = any(not work.idle for work in self._reading.work.values()) and self._reading.trouble is None
        return present or reading or self._embedding.busy or self._gate.held

    def _on_progress(self) -> None:
        self._embedding.wake()
        self._changed.pulse()

    def _on_pace(self) -> None:
        self._reading.wake()
        self._embedding.wake()
        self._changed.pulse()
