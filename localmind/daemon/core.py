"""The parts of a running daemon, put together once and taken apart once.

Owns construction and order; every part does its own work. Start is quick, since databases are opened
and folders compared after the sockets are bound; a model is loaded by the first request that needs it.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from localmind import catalog
from localmind.api.backend import Backend, SecondPort
from localmind.assistant.grounded import Grounded
from localmind.assistant.running import Running
from localmind.assistant.saved_chats import SavedChats
from localmind.catalog import ModelSpec
from localmind.daemon.ending import one_after_the_other
from localmind.knowledge.embedder import Embedder, EmbedModel
from localmind.knowledge.knowledge import Knowledge
from localmind.knowledge.vector_index import Server
from localmind.machine.devices import Machine
from localmind.machine.plan import Wishes
from localmind.machine.probe import PlanMemory
from localmind.models.made import MadeModels
from localmind.models.pulls import Pulls
from localmind.models.store import Store
from localmind.paths import Paths, private_dir
from localmind.remotes.remotes import Remotes
from localmind.settings import Settings
from localmind.store.responses import Responses
from localmind.store.threads import Threads
from localmind.voice.reading_aloud import ReadAloud
from localmind.voice.voice import Voice, both
from localmind.workers.engines import Engines, Options
from localmind.workers.supervisor import Supervisor, launcher

INDEX_REST_S = 30.0
"""A worker of the index that died three times in ten minutes rests for so long."""


class Core:
    """Everything between the sockets and the workers."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        *,
        port: int,
        tcp_problem: str | None = None,
        second: SecondPort | None = None,
        worker_command: Sequence[str] | None = None,
    ) -> None:
        for directory in (paths.config, paths.data, paths.cache, paths.models):
            private_dir(directory)
        self._store = Store(paths.models)
        self._catalog = catalog.load(paths, self._store.specs)
        self._machine = Machine.here()
        self._paths, self._settings = paths, settings
        self._threads = Threads(paths.threads_db)
        self._embedder = self._catalog.find(settings.embed_model)
        self._workers = _index_workers(worker_command)
        self._knowledge = self._open_knowledge()
        self._remotes = Remotes(settings.remotes)
        wishes = Wishes(
            n_ctx=settings.context,
            threads=settings.threads,
            gpu_layers=settings.gpu_layers,
            kv_type=settings.kv_type,
            n_ctx_seq=settings.stretch_context,
            mlock=settings.lock_weights,
        )
        self._engines = self._make_engines(wishes, worker_command)
        self._voice = Voice(
            self._catalog,
            self._store,
            self._machine,
            self._engines.residence,
            model=settings.speech_model,
            threads=settings.threads,
            command=worker_command,
        )
        self._read_aloud = ReadAloud(
            self._catalog,
            self._store,
            self._engines.residence,
            paths.voices_dir,
            preferred=settings.voice,
            command=worker_command,
        )
        self._engines.guests += [self._voice.pids, self._read_aloud.pids]
        self._knowledge.listen_with(self._voice if settings.knowledge.recordings else None)
        if settings.rerank_model is not None:
            reranker = self._catalog.find(settings.rerank_model)
            self._knowledge.use_reranker(lambda query, texts: self._engines.rerank(reranker, query, texts))
        grounded = Grounded(self._knowledge, self._engines)
        self._chats = SavedChats(self._threads, self._knowledge, paths.chats)
        self.backend = Backend(
            paths=paths,
            port=port,
            tcp_problem=tcp_problem,
            second=second,
            catalog=self._catalog,
            store=self._store,
            pulls=Pulls(self._store, self._installed),
            engines=self._engines,
            knowledge=self._knowledge,
            grounded=grounded,
            threads=self._threads,
            chats=self._chats,
            made=MadeModels(paths.made_models_file),
            responses=Responses(paths.responses_db),
            running=Running(grounded, self._engines, self._threads),
            machine=self._machine,
            voice=self._voice,
            read_aloud=self._read_aloud,
            index_workers=self.workers,
            upload_limit=settings.upload_limit_mb << 20,
            microphone=settings.microphone,
            embedder=self._text_embedder,
            wishes=wishes,
            draft_model=settings.draft_model,
        )

    def _open_knowledge(self) -> Knowledge:
        paths, wanted = self._paths, self._settings.knowledge
        embed, vectors, extract = self._workers
        token = wanted.chroma_token.get_secret_value() or None
        return Knowledge(
            paths.knowledge_db,
            chroma_dir=paths.chroma_dir,
            embed=embed,
            vectors=vectors,
            extract=extract,
            embed_model=self._embed_model(),
            never=[paths.config, paths.data, paths.cache, paths.models, paths.run, paths.logs],
            reconcile_s=self._settings.reconcile_minutes * 60,
            find_model=self._find_embed_model,
            server=Server(wanted.chroma_url, token) if wanted.chroma_url else None,
            on_battery=wanted.on_battery,
            elsewhere=[self._forget_prefixes, self._forget_quotes],
        )

    def _make_engines(self, wishes: Wishes, worker_command: Sequence[str] | None) -> Engines:
        paths, settings = self._paths, self._settings
        return Engines(
            self._catalog,
            self._store,
            PlanMemory(paths.plans_file),
            self._machine,
            default_model=settings.chat_model,
            wishes=wishes,
            options=Options(
                queue_limit=settings.queue_limit,
                cache_dir=paths.cache / "prefixes" if settings.prefix_disk_mb else None,
                prefix_ram_mb=settings.prefix_ram_mb,
                prefix_disk_mb=settings.prefix_disk_mb,
                speculation=settings.speculation,
                draft_model=settings.draft_model,
            ),
            hold=both(self._knowledge.hold, lambda: self._voice.hold()),
            command=worker_command,
            keep_s=settings.keep_alive_s,
            limit_mb=settings.models_memory_mb,
            kept_file=paths.memory_file,
            elsewhere=self._remotes,
        )

    async def start(self) -> None:
        """Open the index and compare the watched folders with it in the background."""
        await asyncio.to_thread(self._store.sweep)
        await asyncio.to_thread(shutil.rmtree, self._paths.cache / "uploads", True)
        await self._knowledge.start()
        await self._chats.start()
        self._remotes.models()
        if self._settings.preload:
            self._preloading = asyncio.create_task(self._engines.preload(), name="preload")

    def workers(self) -> list[dict[str, Any]]:
        """The workers of the index and of speech, for `status`."""
        index = [{"name": worker.label, "pid": worker.pid, "quarantine": worker.quarantine} for worker in self._workers]
        return [*index, self._voice.status()]

    def _embed_model(self) -> EmbedModel | None:
        """The embedder, when its files are here."""
        return self._find_embed_model(self._embedder.name)

    def _find_embed_model(self, name: str) -> EmbedModel | None:
        """An embedder by the name of its model, when its files are here."""
        if self._store.get(name) is None:
            return None
        threads = self._settings.threads or self._machine.cores
        return EmbedModel(name, self._store.locate(name), self._paths.converted_dir, threads)

    async def _forget_prefixes(self) -> None:
        """Prompts that are kept hold passages of files: those of models that are gone, then those of live ones."""
        await asyncio.to_thread(shutil.rmtree, self._paths.cache / "prefixes", ignore_errors=True)
        await self._engines.forget_prompts()

    async def _forget_quotes(self) -> None:
        """Answers quote the passages they rest on."""
        kept = self.backend.responses
        rest_on = await asyncio.to_thread(self._threads.quoted) + await asyncio.to_thread(kept.quoted)
        gone = await self._knowledge.unknown(rest_on)
        await asyncio.to_thread(kept.forget, gone)
        if await asyncio.to_thread(self._threads.forget_quotes, gone):
            self._chats.again()

    def _text_embedder(self) -> Embedder | None:
        """The embedder as the API asks it for vectors of other people's texts."""
        model = self._embed_model()
        return Embedder(self._workers[0], model) if model is not None else None

    async def _installed(self, spec: ModelSpec) -> None:
        """A pull ended well: an embedder is put to work at once."""
        if spec.name == self._embedder.name:
            await self._knowledge.use_embed_model(self._embed_model())
        elif spec.role == "speech":
            self._knowledge.look_for_listener()

    async def stop(self) -> None:
        """End streams with a last event, then jobs, workers and databases; each whatever became of those before it."""

        async def threads() -> None:
            self._threads.close()

        async def responses() -> None:
            self.backend.responses.close()

        ends: list[Callable[[], Awaitable[object]]] = [
            self.backend.running.close,
            self._engines.stop,
            self._remotes.close,
            self.backend.pulls.stop,
            self._chats.close,
            self._knowledge.close,
            self._voice.stop,
            self._read_aloud.stop,
            *(worker.stop for worker in self._workers),
            threads,
            responses,
        ]
        await one_after_the_other(ends)


def _index_workers(command: Sequence[str] | None) -> list[Supervisor]:
    """Embedder, vector index and document reader."""
    return [
        # What makes them die is mended (vectors are rebuilt, a file is given up), so they are tried again.
        Supervisor(label, launcher(kind, label, None, command), lifted_after_s=INDEX_REST_S)
        for kind, label in (
            ("embed", "the embedder"),
            ("vectors", "the vector index"),
            ("extract", "the document reader"),
        )
    ]
