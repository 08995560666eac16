"""The chat models that are loaded, each in an engine worker of its own.

Owns which model answers, loading it once however many ask, and the ladder of plans that a load goes
down when native code crashes (machine/probe.py remembers the outcome). It holds no weights and knows
no HTTP: it turns a name and messages into events.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from localmind.catalog import Catalog, ModelSpec
from localmind.errors import (
    DiskFull,
    EngineMissing,
    InvalidRequest,
    LocalmindError,
    ModelFileBroken,
    ModelNotInstalled,
    NotFound,
    PermissionRefused,
    QueueFull,
    ShuttingDown,
    TimedOut,
    WorkerFailure,
)
from localmind.events import Done, Event, Progress, decode
from localmind.machine.build import installed_binding
from localmind.machine.devices import Machine
from localmind.machine.plan import Plan, Wishes, make_plan
from localmind.machine.probe import LoadReport, PlanKey, PlanMemory, load_with_canary
from localmind.messages import CacheReport, Message, Timings, Usage
from localmind.models.gguf import read_facts
from localmind.models.store import Store
from localmind.paths import private_dir
from localmind.workers.process import StreamResult, WorkerProcess
from localmind.workers.request import Request
from localmind.workers.supervisor import Supervisor, launcher
from localmind.workers.tally import Tally, Watch

log = logging.getLogger("localmind.workers")

DEFAULT_NAMES = frozenset({"", "default"})
"""Names by which a client means "whatever you have"."""

STATE_TIMEOUT_S = 2.0
"""A worker answers between two steps; whoever looks at it from outside does not wait for a long one."""


@dataclass(slots=True, frozen=True)
class Options:
    """What the user set about engines, as every worker is told it."""

    queue_limit: int
    cache_dir: Path | None = None
    """Where prefixes are kept over a restart; None keeps none."""
    prefix_ram_mb: int = 512
    prefix_disk_mb: int = 2048
    speculation: bool = True
    draft_model: str | None = None
    """Guesses ahead for the default model; others have other vocabularies."""


@dataclass(slots=True)
class Loaded:
    """A model and its worker. `plan` and `report` are those of the latest load."""

    spec: ModelSpec
    supervisor: Supervisor
    plan: Plan | None = None
    report: LoadReport | None = None
    running: int = 0
    adapters: dict[str, str] = field(default_factory=dict)
    """Paths of the LoRA adapters by name: a worker that takes the place of a dead one loads them again."""
    memory: dict[str, str] = field(default_factory=dict)
    """What kind of memory the model has, and what that means: {"kind", "explanation"}."""
    tally: Tally = field(default_factory=Tally)


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
    ) -> None:
        """`hold` is entered while anything is generated: background work makes room inside it."""
        self._catalog = catalog
        self._store = store
        self._memory = memory
        self._machine = machine
        self._default = default_model
        self._wishes = wishes
        self._options = options
        self._hold = hold
        self._command = command
        self._loaded: dict[str, Loaded] = {}

    def resolve(self, name: str | None) -> ModelSpec:
        """The installed chat model of that name. Raises ModelNotFound, ModelNotInstalled or InvalidRequest."""
        wanted = self._default if name is None or name.strip().lower() in DEFAULT_NAMES else name
        spec = self._catalog.find(wanted)
        if spec.role != "chat":
            raise InvalidRequest(f"{spec.name} is a model for {spec.role}, not for chat", hint="localmind models list")
        return self._here(spec)

    def embedder(self, name: str | None) -> ModelSpec:
        """The installed model of that name that can turn text into vectors; without a name the first there is."""
        if name is None or name.strip().lower() in DEFAULT_NAMES:
            of_role = self._catalog.of_role("embed")
            return self._here(next((spec for spec in of_role if self._store.get(spec.name) is not None), of_role[0]))
        spec = self._catalog.find(name)
        if spec.role not in ("embed", "chat"):
            raise InvalidRequest(f"{spec.name} is a model for {spec.role}", hint="localmind models list")
        return self._here(spec)

    def _here(self, spec: ModelSpec) -> ModelSpec:
        if self._store.get(spec.name) is None:
            raise ModelNotInstalled(
                f"{spec.name} is not on this machine yet", hint=f"localmind models pull {spec.name}"
            )
        return spec

    def installed(self) -> list[str]:
        """Ids of the chat models whose files are here."""
        return [spec.name for spec in self._catalog.of_role("chat") if self._store.get(spec.name) is not None]

    def status(self) -> list[dict[str, Any]]:
        """One entry a model that has been asked for: state, worker, plan, the canary's figures, deaths."""
        return [
            {
                "model": entry.spec.name,
                "state": "quarantined" if entry.supervisor.quarantine else "loaded" if entry.supervisor.pid else "cold",
                "pid": entry.supervisor.pid,
                "running": entry.running,
                "quarantine": entry.supervisor.quarantine,
                "deaths": [death.reason for death in entry.supervisor.deaths],
                "plan": entry.plan.to_dict() if entry.plan else None,
                "load": asdict(entry.report) if entry.report else None,
                "memory": entry.memory or None,
                "prefill_tok_s": entry.tally.prefill_tok_s,
                "decode_tok_s": entry.tally.decode_tok_s,
            }
            for entry in self._loaded.values()
        ]

    async def load(self, spec: ModelSpec) -> None:
        """Make sure the model is in memory. Raises what a load can raise."""
        await self._entry(spec).supervisor.start()

    async def states(self) -> dict[str, dict[str, Any]]:
        """Of every live worker what it says of itself: sequences, cells, queue. One too busy to say it is left out."""
        live = [entry for entry in self._loaded.values() if entry.supervisor.pid is not None]
        told = await asyncio.gather(*(self._state(entry) for entry in live))
        return {entry.spec.name: state for entry, state in zip(live, told, strict=True) if state is not None}

    async def _state(self, entry: Loaded) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = await entry.supervisor.call("state", timeout=STATE_TIMEOUT_S)
        except (TimedOut, ShuttingDown, WorkerFailure):
            return None
        return state

    def tallies(self) -> dict[str, Tally]:
        """What each model's engine has done so far."""
        for entry in self._loaded.values():
            entry.tally.deaths = entry.supervisor.died
        return {name: entry.tally for name, entry in self._loaded.items()}

    def memory(self, spec: ModelSpec) -> dict[str, str] | None:
        """The kind of the model's memory as its latest load found it, now or earlier; None before the first."""
        entry = self._loaded.get(spec.name)
        return (entry.memory if entry is not None else None) or self._memory.kind(spec)

    async def generate(self, spec: ModelSpec, request: Request) -> AsyncGenerator[Event, None]:
        """Stream one generation: its events, then Done. Raises LocalmindError."""
        entry = self._entry(spec)
        watch = Watch(entry.tally)
        entry.running += 1
        try:
            with self._hold():
                async with contextlib.aclosing(entry.supervisor.stream("generate", request.params())) as answers:
                    async for answer in answers:
                        if isinstance(answer, StreamResult):
                            done = _done(answer.value, spec.name)
                            watch.done(done)
                            yield done
                        else:
                            watch.piece()
                            yield decode(answer)
        except LocalmindError as problem:
            watch.failed(problem.code)
            if isinstance(problem, QueueFull):
                entry.tally.refused(problem)
            raise
        finally:
            watch.end()
            entry.running -= 1

    async def generate_with_progress(self, spec: ModelSpec, request: Request) -> AsyncGenerator[Event, None]:
        """The same, saying first that the model is being loaded when it is not in memory yet."""
        if self._entry(spec).supervisor.pid is None:
            yield Progress("load", 0.0, 1.0, "", f"loading {spec.name}")
            await self.load(spec)
            yield Progress("load", 1.0, 1.0, "", f"loaded {spec.name}")
        async with contextlib.aclosing(self.generate(spec, request)) as events:
            async for event in events:
                yield event

    async def ask(self, spec: ModelSpec, method: str, **params: Any) -> Any:
        """The answer to one of the worker's short calls: embed, rerank, apply_template, tokenize, adapters…"""
        entry = self._entry(spec)
        entry.running += 1  # a model that is at work is not taken out of memory
        try:
            with self._hold():
                return await entry.supervisor.call(method, params)
        finally:
            entry.running -= 1

    async def count(self, spec: ModelSpec, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that these messages become."""
        return int(await self.ask(spec, "count", messages=msgspec.to_builtins(messages)))

    async def embed(self, spec: ModelSpec, texts: Sequence[str]) -> tuple[list[bytes], int]:
        """A unit vector a text, float32 little-endian, and how many tokens they had together."""
        answer = await self.ask(spec, "embed", texts=list(texts), normalize=True)
        return answer["vectors"], int(answer["tokens"])

    async def rerank(self, spec: ModelSpec, query: str, documents: Sequence[str]) -> list[float]:
        """How well each document fits the query; higher is better."""
        answer = await self.ask(spec, "rerank", query=query, documents=list(documents))
        return [float(score) for score in answer["scores"]]

    async def adapters(self, spec: ModelSpec) -> list[dict[str, Any]]:
        """The LoRA adapters that requests may choose, in the order of their numbers. Wakes no engine."""
        entry = self._loaded.get(spec.name)
        if entry is None or entry.supervisor.pid is None:
            return [{"name": name, "path": path} for name, path in (entry.adapters if entry else {}).items()]
        found: list[dict[str, Any]] = await self.ask(spec, "adapters", action="list")
        return found

    async def load_adapter(self, spec: ModelSpec, name: str, path: Path) -> dict[str, Any]:
        """Make a file choosable as `name`, now and after each restart of the worker."""
        entry = self._entry(spec)
        loaded: dict[str, Any] = await self.ask(spec, "adapters", action="load", name=name, path=str(path))
        entry.adapters[name] = str(path)
        return loaded

    async def unload_adapter(self, spec: ModelSpec, name: str) -> None:
        """Forget an adapter. Raises NotFound."""
        entry = self._entry(spec)
        if entry.supervisor.pid is None and entry.adapters.pop(name, None) is not None:
            return
        await self.ask(spec, "adapters", action="unload", name=name)
        entry.adapters.pop(name, None)

    def context(self, spec: ModelSpec) -> int:
        """Tokens that one prompt and its answer may have together; 0 before the model is loaded."""
        report = self._entry(spec).report
        return report.n_ctx_seq if report is not None else 0

    async def unload(self, spec: ModelSpec) -> None:
        """Take a model out of memory. Raises InvalidRequest while it is answering."""
        entry = self._loaded.get(spec.name)
        if entry is None:
            return
        if entry.running:
            raise InvalidRequest(f"{spec.name} is answering {entry.running} requests", hint="try again when it is done")
        del self._loaded[spec.name]
        await entry.supervisor.stop()

    async def stop(self) -> None:
        for entry in self._loaded.values():
            await entry.supervisor.stop()

    def _entry(self, spec: ModelSpec) -> Loaded:
        if spec.name not in self._loaded:
            label = f"the engine of {spec.name}"

            async def launch() -> WorkerProcess:
                return await self._launch(entry, label)

            entry = Loaded(spec, Supervisor(label, launch))
            self._loaded[spec.name] = entry
        return self._loaded[spec.name]

    async def _launch(self, entry: Loaded, label: str) -> WorkerProcess:
        """A worker with the model in it, by the best plan that does not crash here."""
        binding = await asyncio.to_thread(installed_binding)
        if binding is None:
            raise EngineMissing("llama-cpp-python is not installed", hint="localmind engine build")
        path = await asyncio.to_thread(self._store.locate, entry.spec.name)
        facts = await asyncio.to_thread(read_facts, path)
        started: list[WorkerProcess] = []

        async def try_load(plan: Plan) -> LoadReport:
            async def load(worker: WorkerProcess) -> None:
                reports.append(
                    await worker.call("load", await asyncio.to_thread(self._load_params, entry.spec, path, plan))
                )
                for name, adapter in entry.adapters.items():
                    try:
                        await worker.call("adapters", {"action": "load", "name": name, "path": adapter})
                    except (NotFound, InvalidRequest, ModelFileBroken) as problem:
                        log.warning("the adapter %s of %s is not loaded again: %s", name, label, problem.message)

            reports: list[dict[str, Any]] = []
            begun = time.monotonic()
            entry.tally.launches += 1
            started.append(await launcher("engine", label, load, self._command)())
            entry.memory = dict(reports[0].get("memory") or {})
            try:
                await asyncio.to_thread(self._memory.remember_kind, entry.spec, entry.memory)
            except (DiskFull, PermissionRefused) as problem:
                log.warning("the kind of a model's memory is not kept: %s", problem.message)
            return LoadReport.from_worker(reports[0], seconds=time.monotonic() - begun)

        wishes = replace(self._wishes, backends=binding.backends)
        plan = make_plan(self._machine.now(), facts, wishes)
        key = PlanKey.of(self._machine, binding, entry.spec)
        entry.plan, entry.report = await load_with_canary(try_load, plan, self._memory, key)
        return started[-1]

    def _load_params(self, spec: ModelSpec, path: Path, plan: Plan) -> dict[str, Any]:
        options = self._options
        drafted = options.draft_model is not None and spec == self._catalog.get(self._default)
        if options.cache_dir is not None:
            private_dir(options.cache_dir)
        return {
            "path": str(path),
            "plan": plan.to_dict(),
            "queue_limit": options.queue_limit,
            "cache_dir": str(options.cache_dir) if options.cache_dir is not None else None,
            "prefix_ram_mb": options.prefix_ram_mb,
            "prefix_disk_mb": options.prefix_disk_mb,
            "speculation": options.speculation,
            "draft_model": str(self._draft_path()) if drafted else None,
        }

    def _draft_path(self) -> Path:
        return self._store.locate(self._here(self._catalog.find(self._options.draft_model or "")).name)


def _done(result: dict[str, Any], model: str) -> Done:
    return Done(
        result["finish_reason"],
        msgspec.convert(result["usage"], Usage),
        msgspec.convert(result["timings"], Timings),
        model,
        msgspec.convert(result.get("cache") or {}, CacheReport),
        result.get("stop", ""),
    )
