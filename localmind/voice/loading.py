"""One voice worker a speech model: brought into memory and out of it as the ledger decides (residence.py's Mover).

It owns the processes and where a model is laid: on a CUDA device with room, else on the CPU. A GPU whose libraries
bring the worker down, or are missing, is not tried again until the daemon restarts. It decides nothing about who is in
memory, and knows no recording.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from localmind.catalog import ModelSpec
from localmind.errors import WorkerDied
from localmind.machine.amounts import RAM, Bytes
from localmind.machine.booking import Laid as Booked
from localmind.machine.booking import Lay
from localmind.machine.devices import Machine
from localmind.models.store import Store
from localmind.voice import choice
from localmind.voice.choice import Laid
from localmind.workers.process import Death
from localmind.workers.supervisor import Supervisor, launcher

log = logging.getLogger("localmind.voice")

LOAD_TIMEOUT_S = 120.0


@dataclass(slots=True)
class Hearer:
    """A speech model and its worker. `laid` is that of the latest load."""

    spec: ModelSpec
    supervisor: Supervisor
    laid: Laid
    recordings: int = 0
    """Being heard now, or waiting for the model to be in memory."""
    hearing: int = 0
    """Those for which it is: a load is never held still."""
    told_to_yield: bool = False
    keys: set[str] = field(default_factory=set)
    """Live listenings."""


class Hearers:
    """All speech models that are or were in memory, by name. A Mover."""

    def __init__(
        self,
        store: Store,
        machine: Machine,
        *,
        threads: int | None = None,
        command: Sequence[str] | None = None,
        died: Callable[[str], None] = lambda name: None,
    ) -> None:
        """`died` hears the name of a model whose worker has ended unasked."""
        self._store = store
        self._machine = machine
        self._threads = threads
        self._command = command
        self._died = died
        self.entries: dict[str, Hearer] = {}

    def entry(self, spec: ModelSpec) -> Hearer:
        if spec.name not in self.entries:
            label = f"the speech recogniser {spec.name}"

            def died(death: Death) -> None:
                self.entries[spec.name].told_to_yield = False
                self._died(spec.name)

            supervisor = Supervisor(label, launcher("voice", label, None, self._command), died=died)
            self.entries[spec.name] = Hearer(spec, supervisor, self._on_cpu(spec))
        return self.entries[spec.name]

    def pids(self) -> list[int]:
        return [entry.supervisor.pid for entry in self.entries.values() if entry.supervisor.pid is not None]

    def lay(self, spec: ModelSpec) -> Lay:
        """How the model would be laid in so much room: on a GPU that has it, else in main memory."""

        def laid(offered: Bytes) -> Booked:
            gpus = tuple(
                replace(gpu, memory_free=offered.get(gpu.id, 0))
                for gpu in self._machine.gpus
                if offered.get(gpu.id, 0) > 0
            )
            return booked(choice.lay(spec, replace(self._machine, gpus=gpus), threads=self._threads))

        return laid

    def params(self, entry: Hearer) -> dict[str, Any]:
        """What every call of its worker says, so that one that was restarted needs no ceremony."""
        laid = entry.laid
        return {
            "model": entry.spec.name,
            "place": {
                "directory": str(self._store.locate(entry.spec.name)),
                "device": laid.device,
                "compute_type": laid.compute_type,
                "threads": laid.threads,
            },
        }

    # --- the Mover

    async def load(self, name: str, laid: Booked, told: Callable[[float], None]) -> Booked:
        entry = self.entries[name]
        entry.laid = laid.plan
        try:
            answer = await self._load(entry)
        except WorkerDied:
            if entry.laid.device == "cpu":
                raise
            log.warning("a GPU brought the speech recogniser down: it stays on the CPU")
            answer = {"stepped_down": True}
        if answer.get("stepped_down"):
            self._machine = replace(self._machine, gpus=())
            entry.laid = self._on_cpu(entry.spec)
            await self._load(entry)
        return booked(entry.laid)

    async def _load(self, entry: Hearer) -> dict[str, Any]:
        answer: dict[str, Any] = await entry.supervisor.call("load", self.params(entry), timeout=LOAD_TIMEOUT_S)
        return answer

    async def open(self, name: str) -> None:
        """Nothing was given back by `cool`."""

    async def cool(self, name: str) -> bool:
        """A speech model has no context that it could give back alone."""
        return self.entries[name].supervisor.pid is not None

    async def unload(self, name: str) -> None:
        entry = self.entries[name]
        entry.told_to_yield = False
        await entry.supervisor.rest()

    def summary(self, name: str) -> str:
        return f"loaded {name}, {self.entries[name].laid.reasons[0]}"

    def _on_cpu(self, spec: ModelSpec) -> Laid:
        return choice.lay(spec, replace(self._machine, gpus=()), threads=self._threads)


def booked(laid: Laid) -> Booked:
    """A layout in the ledger's terms: a GPU is worth taking from idle models, main memory is what there always is."""
    weights: dict[str, int] = {RAM: laid.memory}
    if laid.device != "cpu":
        weights = {laid.gpu: laid.memory, RAM: choice.BESIDE_A_GPU}
    return Booked(weights, {}, 1.0 if laid.device != "cpu" else 0.0, laid)
