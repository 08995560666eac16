"""The memory of which plans worked and which crashed, per machine, build and model; and the load that uses it.

The first load of a build on a machine decodes a real batch in the worker (the canary). A plan under
which the worker dies is written down before the next one is tried, so that neither the same load nor
a restart of everything meets it again. It starts no process itself: the caller hands in `try_load`.
"""

import asyncio
import contextlib
import logging
import re
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from localmind.catalog import ModelSpec
from localmind.errors import DiskFull, PermissionRefused, WorkerDied, WorkerFailure, WorkerHung
from localmind.machine.devices import Machine
from localmind.machine.plan import Plan, ladder
from localmind.paths import private_dir, write_atomic

KEPT = 32
"""Attempts remembered for one key; each plan counts once."""
FORGIVEN_AFTER_S = 24 * 3600.0
"""A death that may have come from outside (SIGKILL: memory, an impatient user) counts for a day."""

log = logging.getLogger("localmind.machine")

Outcome = Literal["ok", "died", "hung"]


class Built(Protocol):
    """What identifies a build of the binding; machine/build.py's Binding has it."""

    @property
    def fingerprint(self) -> str: ...


@dataclass(slots=True, frozen=True)
class LoadReport:
    """What a worker says about a model it has loaded, the canary's figures included."""

    n_ctx: int = 0
    n_ctx_seq: int = 0
    """Tokens that one sequence may have: the pool, or what the model was trained for if that is less."""
    n_ctx_train: int = 0
    n_vocab: int = 0
    n_params: int = 0
    size_bytes: int = 0
    description: str = ""
    architecture: str = ""
    has_template: bool = False
    load_ms: float = 0.0
    prefill_tok_s: float = 0.0
    """Tokens a second in the canary's batch."""
    decode_tok_s: float = 0.0
    canary_tokens: int = 0
    build: str = ""
    """llama.cpp's own line about the processor features it uses."""
    seconds: float = 0.0
    """From the start of the process to the end of the load."""

    @classmethod
    def from_worker(cls, data: Mapping[str, Any], seconds: float = 0.0) -> "LoadReport":
        """From the worker's answer to `load`; what it does not say stays at its default."""
        canary = data.get("canary") or {}
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data and name != "seconds"}
        return cls(
            **known,
            prefill_tok_s=float(canary.get("prefill_tok_s", 0.0)),
            decode_tok_s=float(canary.get("decode_tok_s", 0.0)),
            canary_tokens=int(canary.get("tokens", 0)),
            seconds=seconds,
        )


@dataclass(slots=True, frozen=True)
class PlanKey:
    """What an outcome holds for: another processor, build or file may behave differently."""

    machine: str
    build: str
    model: str

    @classmethod
    def of(cls, machine: Machine, binding: Built, spec: ModelSpec) -> "PlanKey":
        return cls(machine.key, binding.fingerprint, _file_of(spec))

    def __str__(self) -> str:
        return f"{self.machine}|{self.build}|{self.model}"

    @classmethod
    def parse(cls, text: str) -> "PlanKey":
        """The inverse of `str`; parts that are not there are empty."""
        machine, _, rest = text.partition("|")
        build, _, model = rest.partition("|")
        return cls(machine, build, model)

    @property
    def model_name(self) -> str:
        return self.model.rpartition("@")[0] or self.model


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How a plan fared, the last time it was tried."""

    plan: Plan
    outcome: Outcome
    signal: str | None = None
    """E.g. "SIGSEGV"."""
    text: str = ""
    """What the supervisor said."""
    at: float = 0.0
    """Seconds since 1970, of the last time."""
    since_ok: int = 0
    """Deaths in a row."""
    ever_ok: bool = False
    prefill_tok_s: float = 0.0
    decode_tok_s: float = 0.0


class _File(msgspec.Struct):
    schema: Literal[1] = 1
    keys: dict[str, list[Attempt]] = {}
    kinds: dict[str, dict[str, str]] = {}
    """Of each model file what its memory turned out to be: {"kind", "explanation"}."""


@dataclass(slots=True)
class PlanMemory:
    """The attempts in one JSON file. A file that does not parse is set aside by the first write."""

    path: Path
    clock: Callable[[], float] = time.time
    broken: str | None = field(default=None, init=False)
    """Why the file does not parse, until the first write sets it aside."""
    _data: _File | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def attempts(self, key: PlanKey) -> tuple[Attempt, ...]:
        """Oldest first."""
        return tuple(self._load().keys.get(str(key), ()))

    def all(self) -> dict[PlanKey, tuple[Attempt, ...]]:
        return {PlanKey.parse(text): tuple(found) for text, found in self._load().keys.items()}

    def record(
        self,
        key: PlanKey,
        plan: Plan,
        outcome: Outcome,
        *,
        error: WorkerFailure | None = None,
        report: LoadReport | None = None,
    ) -> None:
        """Write down how a plan fared; on the disk when this returns. Raises DiskFull or PermissionRefused.

        Even then it is remembered as long as this object lives.
        """
        with self._lock:
            self._record(key, plan, outcome, error, report)

    def _record(
        self, key: PlanKey, plan: Plan, outcome: Outcome, error: WorkerFailure | None, report: LoadReport | None
    ) -> None:
        data = self._load()
        known = data.keys.setdefault(str(key), [])
        before = next((found for found in known if found.plan == plan), None)
        ok = outcome == "ok"
        attempt = Attempt(
            plan=replace(plan, reasons=(), need=(), short=0, grade=0.0),
            outcome=outcome,
            signal=signal_in(error.message) if error is not None else None,
            text=error.message if error is not None else "",
            at=self.clock(),
            since_ok=0 if ok else (before.since_ok if before else 0) + 1,
            ever_ok=ok or (before is not None and before.ever_ok),
            prefill_tok_s=report.prefill_tok_s if report else 0.0,
            decode_tok_s=report.decode_tok_s if report else 0.0,
        )
        known[:] = [*(found for found in known if found is not before), attempt][-KEPT:]
        self._write(data)

    def forget(self, model: str | None = None) -> int:
        """Drop what is known of a model (by name), or everything; returns how many keys that were."""
        data = self._load()
        gone = [text for text in data.keys if model is None or PlanKey.parse(text).model_name == model]
        for text in gone:
            del data.keys[text]
        if gone:
            self._write(data)
        return len(gone)

    def kind(self, spec: ModelSpec) -> dict[str, str] | None:
        """What the model's memory was at its last load; None if it was never loaded."""
        return self._load().kinds.get(_file_of(spec))

    def remember_kind(self, spec: ModelSpec, kind: Mapping[str, str]) -> None:
        """Write that down, unless it stands there. Raises DiskFull or PermissionRefused."""
        with self._lock:
            data = self._load()
            if kind and data.kinds.get(_file_of(spec)) != kind:
                data.kinds[_file_of(spec)] = dict(kind)
                self._write(data)

    def refuses(self, key: PlanKey, plan: Plan) -> Attempt | None:
        """The remembered death that speaks against this plan, if any.

        A death speaks against every plan that is at least as bold. A plan that has worked before is
        given a second chance, and a death from outside is forgiven after a day.
        """
        for attempt in self.attempts(key):
            if attempt.outcome == "ok" or (attempt.ever_ok and attempt.since_ok < 2):
                continue
            outside = attempt.signal in ("SIGKILL", "SIGTERM", "SIGINT")
            if outside and self.clock() - attempt.at > FORGIVEN_AFTER_S:
                continue
            if _as_bold(plan, attempt.plan, with_context=outside):
                return attempt
        return None

    def _load(self) -> _File:
        if self._data is None:
            self._data = self._read()
        return self._data

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File()
        except (OSError, msgspec.DecodeError) as problem:
            log.warning("%s does not parse: %s", self.path, problem)
            self.broken = str(problem)
            return _File()

    def _write(self, data: _File) -> None:
        private_dir(self.path.parent)
        if self.broken is not None:
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_name(f"{self.path.name}.broken"))
            self.broken = None
        write_atomic(self.path, msgspec.json.format(msgspec.json.encode(data), indent=1))


async def load_with_canary(
    try_load: Callable[[Plan], Awaitable[LoadReport]], plan: Plan, memory: PlanMemory, key: PlanKey
) -> tuple[Plan, LoadReport]:
    """Load by the boldest plan that is not known to crash here, going down the ladder until one holds.

    Only deaths and hangs of the worker count; any other error is the caller's. Raises WorkerDied when
    no plan is left, at once if all of them died before.
    """
    last: WorkerFailure | None = None
    remembered: Attempt | None = None
    for rung in (plan, *ladder(plan)):
        while True:
            refused = await asyncio.to_thread(memory.refuses, key, rung)
            if refused is not None:
                remembered = refused
                break
            try:
                report = await try_load(rung)
            except (WorkerDied, WorkerHung) as problem:
                last = problem
                outcome: Outcome = "hung" if isinstance(problem, WorkerHung) else "died"
                log.warning("%s; the plan was %s", problem.message, rung)
                await _note(memory, key, rung, outcome, error=problem)
                continue
            await _note(memory, key, rung, "ok", report=report)
            return rung, report
    if last is not None:
        raise WorkerDied(
            f"{key.model_name} cannot be loaded: every plan ended the engine; the last one: {last.message}",
            hint="localmind doctor",
        ) from last
    text = remembered.text if remembered is not None else "unknown"
    raise WorkerDied(
        f"{key.model_name} is not loaded: every plan ended the engine before, the last time with: {text}",
        hint="localmind doctor; `localmind engine build` makes a new engine, which is tried afresh",
    )


async def _note(memory: PlanMemory, key: PlanKey, plan: Plan, outcome: Outcome, **facts: Any) -> None:
    """Record off the loop, since it syncs the disk. A disk that refuses does not keep a model from loading."""
    try:
        await asyncio.to_thread(memory.record, key, plan, outcome, **facts)
    except (DiskFull, PermissionRefused) as problem:
        log.warning("the outcome of a plan is not kept: %s", problem.message)


def _file_of(spec: ModelSpec) -> str:
    # A model that was never here has no files yet.
    return f"{spec.name}@{spec.files[0].sha256[:12] if spec.files else ''}"


def signal_in(text: str) -> str | None:
    """The signal that a supervisor's sentence names, e.g. "SIGSEGV"."""
    return next((word for word in re.findall(r"\bSIG[A-Z0-9]+\b", text) if word in signal.Signals.__members__), None)


def _as_bold(plan: Plan, dead: Plan, *, with_context: bool) -> bool:
    """Whether `plan` risks at least what the dead one did. Context is a risk only where memory may have killed."""
    return (
        plan.use_extra_bufts >= dead.use_extra_bufts
        and plan.n_gpu_layers >= dead.n_gpu_layers
        and (not with_context or plan.n_ctx >= dead.n_ctx)
    )
