"""The parts of a running daemon, put together once and taken apart once.

Owns construction and order; every part does its own work. Start is quick, since databases are opened
and folders compared after the sockets are bound; a model is loaded by the first request that needs it.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from localmind import catalog
from localmind.api.backend import Backend
from localmind.assistant.turn import Assistant
from localmind.errors import LocalmindError, ModelNotInstalled
from localmind.knowledge.knowledge import Knowledge
from localmind.machine.devices import Machine
from localmind.machine.plan import Wishes
from localmind.machine.probe import PlanMemory
from localmind.models.pulls import Pulls
from localmind.models.store import ModelStore
from localmind.paths import Paths, private_dir
from localmind.settings import Settings
from localmind.store.threads import Threads
from localmind.workers.engines import Engines
from localmind.workers.process import WorkerProcess
from localmind.workers.supervisor import Supervisor, launcher

log = logging.getLogger("localmind.daemon")


class Core:
    """Everything between the sockets and the workers."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        *,
        port: int,
        tcp_problem: str | None = None,
        worker_command: Sequence[str] | None = None,
    ) -> None:
        for directory in (paths.config, paths.data, paths.cache, paths.models):
            private_dir(directory)
        models = catalog.load(paths)
        store = ModelStore(paths.models)
        machine = Machine.here()
        self._threads = Threads.open(paths.threads_db)
        self._engines = Engines(
            models,
            store,
            PlanMemory(paths.plans_file),
            machine,
            default_model=settings.chat_model,
            wishes=Wishes(n_ctx=settings.context, threads=settings.threads),
            queue_limit=settings.queue_limit,
            command=worker_command,
        )
        embedder = models.find(settings.embed_model)

        async def load_embedder(worker: WorkerProcess) -> None:
            if not store.installed(embedder.id):
                raise ModelNotInstalled(
                    f"{embedder.id} is not on this machine yet", hint=f"localmind models pull {embedder.id}"
                )
            directory = await asyncio.to_thread(store.directory, embedder)
            await worker.call("load", _embed_params(directory, paths.converted_dir, settings.threads))

        self._workers = [
            Supervisor("the embedder", launcher("embed", "the embedder", load_embedder, worker_command)),
            Supervisor("the vector index", launcher("vectors", "the vector index", None, worker_command)),
            Supervisor("the document reader", launcher("extract", "the document reader", None, worker_command)),
        ]
        embed, vectors, extract = self._workers
        self._knowledge = Knowledge(
            paths.knowledge_db,
            chroma_dir=paths.chroma_dir,
            embed=embed,
            vectors=vectors,
            extract=extract,
            embed_model=embedder.id,
        )
        self.backend = Backend(
            paths=paths,
            port=port,
            tcp_problem=tcp_problem,
            catalog=models,
            store=store,
            pulls=Pulls(store),
            engines=self._engines,
            knowledge=self._knowledge,
            assistant=Assistant(self._knowledge, self._engines, self._threads),
            machine=machine,
        )

    async def start(self) -> None:
        """Open the index and compare the watched folders with it in the background."""
        await self._knowledge.start()

    async def stop(self) -> None:
        """End streams with a last event, then jobs, workers and databases."""
        await self._engines.stop()
        await self.backend.pulls.stop()
        try:
            await self._knowledge.close()
        except LocalmindError as problem:
            log.warning("closing the index: %s", problem)
        for worker in self._workers:
            await worker.stop()
        self._threads.close()


def _embed_params(directory: Path, converted: Path, threads: int | None) -> dict[str, object]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"model_dir": str(directory), "cache_dir": str(converted), "threads": threads or cores}
