"""The chat models that are loaded, each in an engine worker of its own.

Owns which model answers, loading it once however many ask, and the ladder of plans that a load goes
down when native code crashes (machine/probe.py remembers the outcome). It holds no weights and knows
no HTTP: it turns a name and messages into events.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from localmind.catalog import Catalog, ModelSpec
from localmind.errors import EngineMissing, InvalidRequest, ModelNotInstalled
from localmind.events import Done, Event, Progress, decode
from localmind.machine.build import installed_binding
from localmind.machine.devices import Machine
from localmind.machine.plan import Plan, Wishes, make_plan
from localmind.machine.probe import LoadReport, PlanKey, PlanMemory, load_with_canary
from localmind.messages import Message, SamplingParams, Timings, Usage
from localmind.models.gguf import read_facts
from localmind.models.store import Store
from localmind.workers.process import StreamResult, WorkerProcess
from localmind.workers.supervisor import Supervisor, launcher

DEFAULT_NAMES = frozenset({"", "default"})
"""Names by which a client means "whatever you have"."""


@dataclass(slots=True)
class Loaded:
    """A model and its worker. `plan` and `report` are those of the latest load."""

    spec: ModelSpec
    supervisor: Supervisor
    plan: Plan | None = None
    report: LoadReport | None = None
    running: int = 0


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
        queue_limit: int,
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
        self._queue_limit = queue_limit
        self._hold = hold
        self._command = command
        self._loaded: dict[str, Loaded] = {}

    def resolve(self, name: str | None) -> ModelSpec:
        """The installed chat model of that name. Raises ModelNotFound, ModelNotInstalled or InvalidRequest."""
        wanted = self._default if name is None or name.strip().lower() in DEFAULT_NAMES else name
        spec = self._catalog.find(wanted)
        if spec.role != "chat":
            raise InvalidRequest(f"{spec.name} is a model for {spec.role}, not for chat", hint="localmind models list")
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
            }
            for entry in self._loaded.values()
        ]

    async def load(self, spec: ModelSpec) -> None:
        """Make sure the model is in memory. Raises what a load can raise."""
        await self._entry(spec).supervisor.start()

    async def generate(
        self,
        spec: ModelSpec,
        *,
        messages: Sequence[Message] = (),
        prompt: str | None = None,
        sampling: SamplingParams,
        client: str,
    ) -> AsyncGenerator[Event, None]:
        """Stream one generation: TextDelta events, then Done. `prompt` is a raw completion without a template."""
        params = {
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "prompt": prompt,
            "sampling": msgspec.to_builtins(sampling),
            "client": client,
        }
        entry = self._entry(spec)
        entry.running += 1
        try:
            with self._hold():
                async with contextlib.aclosing(entry.supervisor.stream("generate", params)) as answers:
                    async for answer in answers:
                        if isinstance(answer, StreamResult):
                            yield _done(answer.value, spec.name)
                        else:
                            yield decode(answer)
        finally:
            entry.running -= 1

    async def generate_with_progress(self, spec: ModelSpec, **request: Any) -> AsyncGenerator[Event, None]:
        """The same, saying first that the model is being loaded when it is not in memory yet."""
        if self._entry(spec).supervisor.pid is None:
            yield Progress("load", 0.0, 1.0, "", f"loading {spec.name}")
            await self.load(spec)
            yield Progress("load", 1.0, 1.0, "", f"loaded {spec.name}")
        async with contextlib.aclosing(self.generate(spec, **request)) as events:
            async for event in events:
                yield event

    async def count(self, spec: ModelSpec, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that these messages become."""
        asked = [{"role": message.role, "content": message.content} for message in messages]
        return int(await self._entry(spec).supervisor.call("count", {"messages": asked}))

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
        path = self._store.locate(entry.spec.name)
        facts = await asyncio.to_thread(read_facts, path)
        started: list[WorkerProcess] = []

        async def try_load(plan: Plan) -> LoadReport:
            async def load(worker: WorkerProcess) -> None:
                reports.append(await worker.call("load", self._load_params(path, plan)))

            reports: list[dict[str, Any]] = []
            begun = time.monotonic()
            started.append(await launcher("engine", label, load, self._command)())
            return LoadReport.from_worker(reports[0], seconds=time.monotonic() - begun)

        wishes = replace(self._wishes, backends=binding.backends)
        plan = make_plan(self._machine.now(), facts, wishes)
        key = PlanKey.of(self._machine, binding, entry.spec)
        entry.plan, entry.report = await load_with_canary(try_load, plan, self._memory, key)
        return started[-1]

    def _load_params(self, path: Path, plan: Plan) -> dict[str, Any]:
        return {"path": str(path), "plan": plan.to_dict(), "queue_limit": self._queue_limit}


def _done(result: dict[str, Any], model: str) -> Done:
    return Done(
        result["finish_reason"],
        msgspec.convert(result["usage"], Usage),
        msgspec.convert(result["timings"], Timings),
        model,
    )
