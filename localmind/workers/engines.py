"""The models that are loaded, each in an engine worker of its own, as everybody else asks them.

It turns a name and a request into events and knows no HTTP. Who is in memory is the ledger's affair (residence.py),
how a worker comes to hold a model loading.py's, what a name means names.py's, and models elsewhere are outside.py's.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from localmind.catalog import Catalog, ModelSpec
from localmind.durations import FOREVER
from localmind.errors import Cancelled, InvalidRequest, LocalmindError, QueueFull, ShuttingDown, TimedOut, WorkerFailure
from localmind.events import Done, Event, Progress, decode
from localmind.machine.amounts import Bytes
from localmind.machine.devices import Machine
from localmind.machine.plan import Wishes
from localmind.machine.probe import PlanMemory
from localmind.messages import CacheReport, Message, Timings, Usage
from localmind.models.store import Store
from localmind.workers.adapters import Adapters
from localmind.workers.brake import Brake
from localmind.workers.elsewhere import Elsewhere, RemoteModel
from localmind.workers.gpu_room import GpuRoom
from localmind.workers.kept import Kept
from localmind.workers.laying import measuring
from localmind.workers.loading import Loaded, Loader, Options
from localmind.workers.names import Names
from localmind.workers.outside import Outside
from localmind.workers.process import StreamResult
from localmind.workers.request import Request
from localmind.workers.residence import Residence
from localmind.workers.tally import Tally, Watch

log = logging.getLogger("localmind.workers")

__all__ = ["Engines", "Options"]

STATE_TIMEOUT_S = 2.0
"""A worker answers between two steps; whoever looks at it from outside does not wait for a long one."""

FORGET_TIMEOUT_S = 30.0
"""Forgetting waits for the step under way and deletes files; nobody waits for it to answer."""


class Engines:
    """All engine workers of the daemon."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        memory: PlanMemory,
        machine: Machine,
        *,
        default_model: str,
        wishes: Wishes,
        options: Options,
        hold: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        command: Sequence[str] | None = None,
        keep_s: float = FOREVER,
        limit_mb: int | None = None,
        kept_file: Path | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """`hold` is entered while anything is generated: background work makes room inside it.

        `keep_s` is how long idle models stay, `limit_mb` the main memory that all may take instead of what is free,
        and `kept_file` remembers pins and the like. `elsewhere` are models of other machines.
        """
        self.elsewhere = elsewhere
        self.guests: list[Callable[[], Iterable[int]]] = []
        """Processes of models that live here too and are moved by others: what they hold is not lost to models."""
        self.outside = Outside(elsewhere)
        """What may leave this machine: files and images."""
        self._names = Names(catalog, store, self.outside, default_model)
        self._catalog = catalog
        self._store = store
        self._memory = memory
        self._hold = hold
        self._kept = Kept(kept_file)
        self._loader = Loader(
            catalog,
            store,
            memory,
            machine,
            default_model=default_model,
            wishes=wishes,
            options=options,
            command=command,
            died=lambda name: self.residence.lost(name),
            look=lambda: gpus.look(),
        )
        gpus = GpuRoom(machine, lambda: self.residence.settled(), lambda: machine.fresh().gpus)
        measure: Callable[[], Bytes] = measuring(
            machine, wishes.backends, limit_mb, lambda: (*self._loader.pids(), *self._guests()), gpus.free
        )
        self.residence = Residence(self._loader, measure, keep_s=keep_s)
        self.adapters = Adapters(self._loader, self.residence, hold)
        for name, seconds in self._kept.keep_alive.items():
            self.residence.keep(name, seconds)

    def resolve(self, name: str | None) -> ModelSpec:
        """The chat model of that name, here or elsewhere. Raises ModelNotFound, ModelNotInstalled or InvalidRequest."""
        return self._names.chat(name)

    def loadable(self, name: str | None) -> ModelSpec:
        """The installed model of that name that an engine worker can hold, for chat or for vectors."""
        return self._names.loadable(name)

    def embedder(self, name: str | None) -> ModelSpec:
        """The model of that name that can turn text into vectors; without a name the first that is installed."""
        return self._names.embedder(name)

    def installed(self) -> list[str]:
        """Ids of the chat models whose files are here."""
        return self._names.installed()

    def status(self) -> list[dict[str, Any]]:
        """One entry a model that has been asked for: state, worker, plan, the canary's figures, deaths, its bytes."""
        booked = {account["model"]: account for account in self.residence.accounts()}
        return [
            {
                "model": entry.spec.name,
                "state": self._state_of(entry, booked.get(entry.spec.name, {})),
                "pid": entry.supervisor.pid,
                "quarantine": entry.supervisor.quarantine,
                "deaths": [death.reason for death in entry.supervisor.deaths],
                "plan": entry.plan.to_dict() if entry.plan else None,
                "load": asdict(entry.report) if entry.report else None,
                "gave_up": entry.gave_up or None,
                "memory": entry.memory or None,
                "prefill_tok_s": entry.tally.prefill_tok_s,
                "decode_tok_s": entry.tally.decode_tok_s,
                "running": 0,
                "waiting": 0,
                "stage": "cold",  # a file that is broken never gets as far as the ledger
                **booked.get(entry.spec.name, {}),
            }
            for entry in self._loader.entries.values()
        ]

    def _state_of(self, entry: Loaded, booked: dict[str, Any]) -> str:
        if entry.supervisor.quarantine:
            return "quarantined"
        if booked.get("stage") == "loading":
            return "loading"
        return "loaded" if entry.supervisor.pid else "cold"

    async def load(self, spec: ModelSpec, keep_alive: float | None = None) -> None:
        """Make sure the model is in memory. Raises what a load can raise."""
        async for _ in self.loading(spec, keep_alive):
            pass

    async def loading(self, spec: ModelSpec, keep_alive: float | None = None) -> AsyncGenerator[Progress, None]:
        """The same, telling how far it is. `keep_alive` is how long it then stays, in seconds."""
        if isinstance(spec, RemoteModel):
            return
        entry = self._loader.entry(spec)
        ticket = self.residence.ask(spec.name, await self._loader.lay(entry), keep_alive)
        try:
            async with contextlib.aclosing(self.residence.admitted(ticket)) as steps:
                async for step in steps:
                    yield step
            if spec.role == "chat":
                await self._kept.used(spec.name)
        finally:
            self.residence.end(ticket)

    async def preload(self) -> None:
        """The model used last and those that are pinned. What cannot be loaded is left for when it is asked for."""
        for name in dict.fromkeys((*self._kept.pinned, self._kept.last)):
            spec = self._catalog.get(name) if name else None
            if spec is None or self._store.get(name) is None:
                continue
            if spec.format != "gguf":  # held in a worker of another kind, which the first use starts
                self.residence.pin(name, name in self._kept.pinned)
                continue
            try:
                await self.load(spec)
                self.residence.pin(name, name in self._kept.pinned)
            except LocalmindError as problem:
                log.warning("%s is not preloaded: %s", name, problem.message)

    async def pin(self, spec: ModelSpec, pinned: bool) -> None:
        """A pinned model is not taken out of memory for others. Remembered over a restart."""
        if spec.format == "gguf":
            self._loader.entry(spec)
        self.residence.pin(spec.name, pinned)
        await self._kept.pin(spec.name, pinned)

    async def keep(self, spec: ModelSpec, keep_s: float | None) -> None:
        """How long this model stays when a request does not say; None: as all others. Remembered over a restart."""
        if spec.format == "gguf":
            self._loader.entry(spec)
        self.residence.keep(spec.name, keep_s)
        await self._kept.keep(spec.name, keep_s)

    async def states(self) -> dict[str, dict[str, Any]]:
        """Of every live worker what it says of itself: sequences, cells, queue. One too busy to say it is left out."""
        live = [entry for entry in self._loader.entries.values() if entry.supervisor.pid is not None]
        told = await asyncio.gather(*(self._state(entry) for entry in live))
        return {entry.spec.name: state for entry, state in zip(live, told, strict=True) if state is not None}

    async def _state(self, entry: Loaded) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = await entry.supervisor.call("state", timeout=STATE_TIMEOUT_S)
        except (TimedOut, ShuttingDown, WorkerFailure):
            return None
        return state

    async def forget_prompts(self) -> None:
        """Every live worker drops the beginnings of prompts that it keeps, in memory and on disk."""
        live = [entry for entry in self._loader.entries.values() if entry.supervisor.pid is not None]
        await asyncio.gather(*(self._forget_prompts(entry) for entry in live))

    async def _forget_prompts(self, entry: Loaded) -> None:
        try:
            await entry.supervisor.call("forget", timeout=FORGET_TIMEOUT_S)
        except (TimedOut, ShuttingDown, WorkerFailure) as problem:
            log.warning("%s may keep beginnings of prompts: %s", entry.spec.name, problem.message)

    def tallies(self) -> dict[str, Tally]:
        """What each model's engine has done so far."""
        for entry in self._loader.entries.values():
            entry.tally.deaths = entry.supervisor.died
        return self.outside.tallies | {name: entry.tally for name, entry in self._loader.entries.items()}

    def memory(self, spec: ModelSpec) -> dict[str, str] | None:
        """The kind of the model's memory as its latest load found it, now or earlier; None before the first."""
        entry = self._loader.entries.get(spec.name)
        return (entry.memory if entry is not None else None) or self._memory.kind(spec)

    async def generate(self, spec: ModelSpec, request: Request) -> AsyncGenerator[Event, None]:
        """Stream one generation: its events, then Done. Raises LocalmindError."""
        async with contextlib.aclosing(self.generate_with_progress(spec, request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    yield event

    async def generate_with_progress(
        self, spec: ModelSpec, request: Request, brake: Brake | None = None
    ) -> AsyncGenerator[Event, None]:
        """The same, saying first what it waits for when the model is not in memory yet. `brake` ends it."""
        await self.outside.permit_images(spec, request.messages)
        if isinstance(spec, RemoteModel):
            async with contextlib.aclosing(self.outside.generate(spec, request)) as answers:
                async for answer in answers:
                    yield answer
            return
        entry = self._loader.entry(spec)
        watch = Watch(entry.tally)
        try:
            ticket = self.residence.ask(spec.name, await self._loader.lay(entry), request.keep_alive)
            try:
                with self._hold():
                    async with contextlib.aclosing(self.residence.admitted(ticket)) as steps:
                        async for step in steps:
                            yield step
                    await self._kept.used(spec.name)
                    async with contextlib.aclosing(
                        entry.supervisor.stream("generate", request.params(), brake)
                    ) as answers:
                        async for answer in answers:
                            if isinstance(answer, StreamResult):
                                done = _done(answer.value, spec.name)
                                watch.done(done)
                                yield done
                            else:
                                watch.piece()
                                yield decode(answer)
            finally:
                self.residence.end(ticket)
        except Cancelled as ended:
            if brake is None or not brake.pulled:
                raise
            done = _cancelled(ended, spec.name)
            watch.done(done)
            yield done
        except LocalmindError as problem:
            watch.failed(problem.code)
            if isinstance(problem, QueueFull):
                entry.tally.refused(problem)
            raise
        finally:
            watch.end()

    async def ask(self, spec: ModelSpec, method: str, **params: Any) -> Any:
        """The answer to one of the worker's short calls: embed, rerank, apply_template, tokenize, adapters…"""
        if isinstance(spec, RemoteModel):
            raise InvalidRequest(f"{spec.name} lives elsewhere: {method} is only for models of this machine")
        entry = self._loader.entry(spec)
        async with self.residence.using(spec.name, await self._loader.lay(entry)):
            with self._hold():
                return await entry.supervisor.call(method, params)

    async def count(self, spec: ModelSpec, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that these messages become; a high guess for a model elsewhere."""
        await self.outside.permit_images(spec, messages)
        if isinstance(spec, RemoteModel):
            return self.outside.count(messages)
        return int(await self.ask(spec, "count", messages=msgspec.to_builtins(messages)))

    async def embed(self, spec: ModelSpec, texts: Sequence[str]) -> tuple[list[bytes], int]:
        """A unit vector a text, float32 little-endian, and how many tokens they had together."""
        if isinstance(spec, RemoteModel):
            return await self.outside.embed(spec, texts)
        answer = await self.ask(spec, "embed", texts=list(texts), normalize=True)
        return answer["vectors"], int(answer["tokens"])

    async def rerank(self, spec: ModelSpec, query: str, documents: Sequence[str]) -> list[float]:
        """How well each document fits the query; higher is better."""
        if isinstance(spec, RemoteModel):
            return await self.outside.rerank(spec, query, documents)
        answer = await self.ask(spec, "rerank", query=query, documents=list(documents))
        return [float(score) for score in answer["scores"]]

    def context(self, spec: ModelSpec) -> int:
        """Tokens that one prompt and its answer may have together; 0 before the model is loaded."""
        if isinstance(spec, RemoteModel):
            return spec.context
        report = self._loader.entry(spec).report
        return report.n_ctx_seq if report is not None else 0

    async def unload(self, spec: ModelSpec) -> None:
        """Take a model out of memory. Raises InvalidRequest while it is answering."""
        if spec.name not in self._loader.entries:
            return
        account = self.residence.ledger.account(spec.name)
        if account.users or account.waiting:
            raise InvalidRequest(
                f"{spec.name} is answering {account.users + account.waiting} requests", hint="try again when it is done"
            )
        await self._kept.pin(spec.name, False)
        await self.residence.unload(spec.name)

    def _guests(self) -> list[int]:
        return [pid for each in self.guests for pid in each()]

    async def stop(self) -> None:
        self.residence.close()
        for entry in self._loader.entries.values():
            await entry.supervisor.stop()
        await self.residence.closed()


def _cancelled(ended: Cancelled, model: str) -> Done:
    """What was there until the brake was pulled, as `engine.report.so_far` tells it."""
    numbers = ended.numbers
    usage, timings = msgspec.convert(numbers, Usage), msgspec.convert(numbers, Timings)
    return Done("cancelled", usage, timings, model)


def _done(result: dict[str, Any], model: str) -> Done:
    return Done(
        result["finish_reason"],
        msgspec.convert(result["usage"], Usage),
        msgspec.convert(result["timings"], Timings),
        model,
        msgspec.convert(result.get("cache") or {}, CacheReport),
        result.get("stop", ""),
    )
