"""One engine worker a model: started by the best plan that holds here, with less when memory runs out.

It carries out what the ledger decides (residence.py's Mover): load, cool, open, unload. Native crashes go down the
canary's ladder (machine/probe.py), which is remembered; a want of memory goes down a ladder of its own
(machine/giving_up.py), which is told and forgotten with the model. It decides nothing about who is in memory.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from localmind.catalog import Catalog, ModelSpec
from localmind.errors import (
    DiskFull,
    EngineMissing,
    InvalidRequest,
    LocalmindError,
    ModelFileBroken,
    ModelNotInstalled,
    NoRoom,
    NotFound,
    PermissionRefused,
    WorkerDied,
)
from localmind.events import Progress, decode
from localmind.machine.booking import Laid, Lay
from localmind.machine.build import installed_binding
from localmind.machine.devices import Machine
from localmind.machine.giving_up import given_up, lesser, oom_kills
from localmind.machine.plan import Plan, Wishes
from localmind.machine.probe import LoadReport, PlanKey, PlanMemory, load_with_canary, signal_in
from localmind.machine.sizes import MIB, ModelFacts
from localmind.models.adapted import adapted
from localmind.models.gguf import GgufFacts, Header, read_facts
from localmind.models.store import Store
from localmind.paths import private_dir
from localmind.workers.laying import Laying, lay, repriced
from localmind.workers.process import Death, StreamResult, WorkerProcess
from localmind.workers.supervisor import Supervisor, launcher
from localmind.workers.tally import Tally

log = logging.getLogger("localmind.workers")

ENCODER_CELLS = 2048
"""An embedder keeps nothing between two texts: it needs room for the longest only (engine/embed.py)."""


async def nothing_to_see() -> None:
    """Where there are no GPUs."""


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
    laid: Laid | None = None
    """As it was booked."""
    facts: tuple[GgufFacts, GgufFacts | None] | None = None
    """Its own and its draft model's, as their files have them."""
    lay: Lay | None = None
    rung: int = 0
    """How often memory has run out: so far down its ladder the next load begins."""
    gave_up: str = ""
    """What it lacks of what was booked, in words."""
    oom_kills: int | None = None
    told: Callable[[float], None] = lambda done: None
    adapters: dict[str, str] = field(default_factory=dict)
    """Paths of the LoRA adapters by name: a worker that takes the place of a dead one loads them again."""
    weighed: dict[str, Header] = field(default_factory=dict)
    """Of each adapter what its file says: their bytes are planned and booked with the model's."""
    memory: dict[str, str] = field(default_factory=dict)
    """What kind of memory the model has, and what that means: {"kind", "explanation"}."""
    tally: Tally = field(default_factory=Tally)

    def planned(self) -> tuple[ModelFacts, ModelFacts | None]:
        """What a plan is made for: the model with its adapters, and its draft model."""
        assert self.facts is not None  # read before anything is laid
        own, draft = self.facts
        return adapted(own, self.weighed.values()), draft


class Loader:
    """All that are or were in memory, by name."""

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
        command: Sequence[str] | None = None,
        died: Callable[[str], None] = lambda name: None,
        kills: Callable[[], int | None] = oom_kills,
        look: Callable[[], Awaitable[None]] = nothing_to_see,
    ) -> None:
        """`died` hears the name of a model whose worker has ended unasked; `kills` are the kernel's, for memory;
        `look` brings what is known of GPUs up to date, before a model is laid that is not in memory."""
        self._catalog = catalog
        self._store = store
        self._memory = memory
        self._machine = machine
        self._default = default_model
        self._wishes = wishes
        self._options = options
        self._command = command
        self._died = died
        self._kills = kills
        self._look = look
        self.entries: dict[str, Loaded] = {}

    def entry(self, spec: ModelSpec) -> Loaded:
        if spec.name not in self.entries:
            label = f"the engine of {spec.name}"

            async def launch() -> WorkerProcess:
                return await self._launch(entry, label)

            entry = Loaded(spec, Supervisor(label, launch, died=lambda death: self._note_death(entry, death)))
            self.entries[spec.name] = entry
        return self.entries[spec.name]

    def pids(self) -> list[int]:
        return [entry.supervisor.pid for entry in self.entries.values() if entry.supervisor.pid is not None]

    async def lay(self, entry: Loaded) -> Lay:
        """How it would be laid. Raises what reading its file can raise."""
        if entry.supervisor.pid is None:
            await self._look()
        if entry.lay is not None:
            return entry.lay
        if entry.facts is None:
            path = await asyncio.to_thread(self._store.locate, entry.spec.name)
            draft = await asyncio.to_thread(self._draft_path) if self._drafted(entry.spec) else None
            entry.facts = (
                await asyncio.to_thread(read_facts, path),
                await asyncio.to_thread(read_facts, draft) if draft is not None else None,
            )
        binding = await asyncio.to_thread(installed_binding)
        if binding is None:
            raise EngineMissing("llama-cpp-python is not installed", hint="localmind engine build")
        facts, drafts = entry.planned()
        wishes = replace(self._wishes, backends=binding.backends)
        if entry.spec.role != "chat":
            wishes = replace(wishes, n_ctx=min(ENCODER_CELLS, facts.ctx_train), n_ctx_seq=None)
        entry.lay = lay(self._machine, facts, wishes, self._options.prefix_ram_mb, drafts)
        return entry.lay

    def weigh(self, entry: Loaded, adapters: dict[str, Header]) -> Laid | None:
        """These are its adapters from now on; what its plan takes with them, None if it has none yet."""
        entry.weighed, entry.lay = adapters, None
        if entry.laid is not None and entry.plan is not None:
            entry.laid = repriced(entry.laid.plan, entry.plan, self._machine, *entry.planned())
        return entry.laid

    # --- the Mover

    async def load(self, name: str, laid: Laid, told: Callable[[float], None]) -> Laid:
        entry = self.entries[name]
        entry.laid, entry.told, entry.gave_up = laid, told, ""
        await entry.supervisor.start()
        return entry.laid

    async def open(self, name: str) -> None:
        entry = self.entries[name]
        try:
            await entry.supervisor.call("warm")
        except NoRoom:
            entry.rung += 1
            await entry.supervisor.rest()
            await entry.supervisor.start()

    async def cool(self, name: str) -> bool:
        entry = self.entries[name]
        if entry.supervisor.pid is None:
            return False
        try:
            await entry.supervisor.call("cool")
        except LocalmindError as problem:
            log.warning("%s did not free its context: %s", name, problem.message)
            await self.unload(name)
            return False
        return True

    async def unload(self, name: str) -> None:
        entry = self.entries[name]
        await entry.supervisor.rest()
        entry.rung, entry.gave_up = 0, ""

    def summary(self, name: str) -> str:
        entry = self.entries[name]
        return f"loaded {name}, with {entry.gave_up}: memory ran out" if entry.gave_up else f"loaded {name}"

    # --- one worker

    def _note_death(self, entry: Loaded, death: Death) -> None:
        if death.signal_name == "SIGKILL" and death.hung is None and self._for_memory(entry.oom_kills):
            entry.rung += 1
        self._died(entry.spec.name)

    async def _launch(self, entry: Loaded, label: str) -> WorkerProcess:
        """A worker with the model in it, by the best plan that neither crashes nor runs out of memory here."""
        binding = await asyncio.to_thread(installed_binding)
        if binding is None or entry.laid is None or entry.facts is None:
            raise EngineMissing("llama-cpp-python is not installed", hint="localmind engine build")
        path = await asyncio.to_thread(self._store.locate, entry.spec.name)
        laying: Laying = entry.laid.plan
        key = PlanKey.of(self._machine, binding, entry.spec)
        started: list[WorkerProcess] = []

        async def try_load(plan: Plan) -> LoadReport:
            entry.oom_kills = self._kills()
            try:
                worker, report = await self._try(entry, label, path, replace(laying, plan=plan))
            except WorkerDied as problem:
                if signal_in(problem.message) == "SIGKILL" and self._for_memory(entry.oom_kills):
                    raise NoRoom(f"{label} was ended by the kernel for want of memory") from problem
                raise
            started.append(worker)
            return report

        rungs = (laying.plan, *lesser(laying.plan))
        entry.rung = min(entry.rung, len(rungs) - 1)
        while True:
            try:
                plan, entry.report = await load_with_canary(try_load, rungs[entry.rung], self._memory, key)
                break
            except NoRoom as problem:
                log.warning("%s; the plan was %s", problem.message, rungs[entry.rung])
                if entry.rung == len(rungs) - 1:
                    raise
                entry.rung += 1
        entry.plan, entry.gave_up = replace(plan, reasons=laying.plan.reasons), given_up(laying.plan, plan)
        if plan != laying.plan:
            entry.laid = repriced(laying, plan, self._machine, *entry.planned())
        return started[-1]

    async def _try(self, entry: Loaded, label: str, path: Path, laying: Laying) -> tuple[WorkerProcess, LoadReport]:
        reports: list[dict[str, Any]] = []

        async def load(worker: WorkerProcess) -> None:
            params = await asyncio.to_thread(self._load_params, entry.spec, path, laying)
            async for answer in worker.stream("load", params):
                if isinstance(answer, StreamResult):
                    reports.append(answer.value)
                elif isinstance(event := decode(answer), Progress):
                    entry.told(event.done)
            for name, adapter in entry.adapters.items():
                try:
                    await worker.call("adapters", {"action": "load", "name": name, "path": adapter})
                except (NotFound, InvalidRequest, ModelFileBroken) as problem:
                    log.warning("the adapter %s of %s is not loaded again: %s", name, label, problem.message)

        begun = time.monotonic()
        entry.tally.launches += 1
        worker = await launcher("engine", label, load, self._command)()
        entry.memory = dict(reports[0].get("memory") or {})
        try:
            await asyncio.to_thread(self._memory.remember_kind, entry.spec, entry.memory)
        except (DiskFull, PermissionRefused) as problem:
            log.warning("the kind of a model's memory is not kept: %s", problem.message)
        return worker, LoadReport.from_worker(reports[0], seconds=time.monotonic() - begun)

    def _load_params(self, spec: ModelSpec, path: Path, laying: Laying) -> dict[str, Any]:
        options = self._options
        if options.cache_dir is not None:
            private_dir(options.cache_dir)
        return {
            "path": str(path),
            "plan": laying.plan.to_dict(),
            "queue_limit": options.queue_limit,
            "cache_dir": str(options.cache_dir) if options.cache_dir is not None else None,
            "prefix_ram_mb": laying.prefix_bytes // MIB,
            "prefix_disk_mb": options.prefix_disk_mb,
            "speculation": options.speculation,
            "draft_model": str(self._draft_path()) if self._drafted(spec) else None,
        }

    def _for_memory(self, before: int | None) -> bool:
        """Whether a SIGKILL was the kernel's for want of memory; where it keeps no count, that is the likeliest."""
        now = self._kills()
        return before is None or now is None or now > before

    def _drafted(self, spec: ModelSpec) -> bool:
        return self._options.draft_model is not None and spec == self._catalog.get(self._default)

    def _draft_path(self) -> Path:
        return self._store.locate(here(self._store, self._catalog.find(self._options.draft_model or "")).name)


def here(store: Store, spec: ModelSpec) -> ModelSpec:
    """The same, if its files are on this machine. Raises ModelNotInstalled."""
    if store.get(spec.name) is None:
        raise ModelNotInstalled(f"{spec.name} is not on this machine yet", hint=f"localmind models pull {spec.name}")
    return spec
