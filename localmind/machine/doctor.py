"""What `localmind doctor` tells: findings in words that a user understands, each with the command that helps.

It looks and changes nothing, needs no daemon and loads no library. What a running daemon knows beyond
that (quarantined models, folders) comes in as its /status answer.
"""

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from localmind.counted import counted
from localmind.machine.binding import Binding, installed_binding
from localmind.machine.build import VERSION
from localmind.machine.devices import Machine
from localmind.machine.flags import find_compiler, install_hint, needs_healing
from localmind.machine.gpu_build import wanted_build
from localmind.machine.plan import GIB
from localmind.machine.probe import Attempt, PlanKey, PlanMemory
from localmind.paths import Paths

Level = Literal["ok", "note", "warning", "problem"]
LOW_DISK = 2 * GIB
LOW_MEMORY = GIB
FASTER = 3.5
"""How many times faster a healed build reads a prompt with AMX than the same build without it (DESIGN, measured)."""


@dataclass(slots=True, frozen=True)
class Finding:
    """One thing that is so. Only a "problem" makes the command fail."""

    level: Level
    title: str
    text: str = ""
    hint: str | None = None


def findings(
    paths: Paths,
    state: Mapping[str, Any] | None = None,
    *,
    machine: Machine | None = None,
    binding: Binding | Literal["look"] | None = "look",
    memory: PlanMemory | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Everything worth knowing, the machine first. `state` is the daemon's status; None if it does not run."""
    machine = machine or Machine.here()
    found = installed_binding() if binding == "look" else binding
    memory = memory or PlanMemory(paths.plans_file)
    return [
        *_python(machine),
        *_room(paths, machine),
        *_engine(machine, found, environ),
        *_models(paths),
        *_plans(memory, machine, found),
        *_daemon(state),
    ]


def _python(machine: Machine) -> Iterator[Finding]:
    cores = f"{machine.cores_usable} of {machine.cores_physical} cores usable"
    gpus = ", ".join(f"{gpu.name} ({gpu.backend})" for gpu in machine.gpus) or "no GPU"
    text = (
        f"{machine.cpu_model or machine.arch}, {cores}, {gpus}; Python {platform.python_version()} at {sys.executable}"
    )
    yield Finding("ok", f"{machine.system} on {machine.arch}", text)


def _room(paths: Paths, machine: Machine) -> Iterator[Finding]:
    limit = f", limited to {machine.memory_limit / GIB:.1f} GiB by a cgroup" if machine.memory_limit else ""
    text = (
        f"{machine.memory_available / GIB:.1f} of {machine.memory_total / GIB:.1f} GiB of memory are available{limit}"
    )
    if machine.memory_available < LOW_MEMORY:
        yield Finding("warning", "Little memory", text, "close programs, or choose a smaller model")
    else:
        yield Finding("ok", "Memory", text)
    place = next((path for path in (paths.models, *paths.models.parents) if path.exists()), Path("/"))
    free = shutil.disk_usage(place).free
    text = f"{free / GIB:.1f} GiB are free where models are kept ({paths.models})"
    if free < LOW_DISK:
        yield Finding(
            "warning", "Little disk space", text, "localmind models rm NAME, or set LOCALMIND_HOME to a larger disk"
        )
    else:
        yield Finding("ok", "Disk", text)


def _engine(machine: Machine, binding: Binding | None, environ: Mapping[str, str] | None) -> Iterator[Finding]:
    if binding is None:
        yield Finding(
            "problem", "No engine", "llama-cpp-python is not installed, so no model can run", "localmind engine build"
        )
        return
    compiled = f"compiled by {binding.compiler}" if binding.compiler else "how it was compiled is not recorded"
    text = f"llama-cpp-python {binding.version}, {compiled}, for {', '.join(sorted(binding.backends | {'CPU'}))}"
    if binding.version != VERSION:
        yield Finding("warning", "Another engine version", f"{text}; expected {VERSION}", "localmind engine build")
        return
    environ = os.environ if environ is None else environ
    compiler = find_compiler(machine.system, environ)
    suspect = needs_healing(machine.system, machine.arch, compiler) and not binding.healed
    if suspect and machine.has_amx:
        yield Finding(
            "warning",
            "The engine was built in the plain way",
            f"{text}. Your processor has AMX, and {compiler} compiles that part wrongly: the engine crashes when it "
            f"uses AMX, so localmind does without. Built again it is about {FASTER:g} times faster at reading",
            "localmind engine build",
        )
    elif suspect:
        yield Finding(
            "note",
            "The engine was built in the plain way",
            f"{text}. That is fine on this processor; on one with AMX this build would crash",
            "localmind engine build",
        )
    else:
        yield Finding("ok", "Engine", text)
    yield from _gpus(machine, binding, environ)
    if compiler is None:
        yield Finding(
            "note", "No C++ compiler", "`localmind engine build` would need one", install_hint(machine.system, environ)
        )


def _gpus(machine: Machine, binding: Binding, environ: Mapping[str, str]) -> Iterator[Finding]:
    """What the engine was built for against what the machine has."""
    for gpu in machine.usable_gpus(binding.backends):
        shared = ", of the main memory" if gpu.unified else ""
        free = f"{gpu.memory_free / GIB:.1f} of {gpu.memory_total / GIB:.1f} GiB free{shared}"
        yield Finding("ok", "GPU", f"{gpu.name} as {gpu.id}, {free}")
    for gpu in machine.gpus:
        if gpu.problem:
            yield Finding(
                "warning",
                "A GPU does not answer",
                f"{gpu.name}: the engine is built for {gpu.backend}, but {gpu.problem}",
                "nvidia-smi" if gpu.backend == "CUDA" else "update its driver, then restart",
            )
    wanted = wanted_build(machine, binding.backends, environ, VERSION)
    if wanted is not None:
        built = ", ".join(sorted(binding.backends)) or "no GPU at all"
        yield Finding(
            "note",
            "A GPU is not used",
            f"the engine is built for {built}, and {wanted.gpu} needs {wanted.backend}",
            wanted.command,
        )


def _models(paths: Paths) -> Iterator[Finding]:
    """By the manifests that models/store.py writes; sizes only, since hashing takes minutes."""
    names: list[str] = []
    for manifest in sorted((paths.models / "manifests").glob("*.json")):
        try:
            data = json.loads(manifest.read_bytes())
            name, files = str(data["name"]), [(f["name"], f["sha256"], f["size"]) for f in data["files"]]
        except (OSError, ValueError, KeyError, TypeError):
            yield Finding(
                "warning", "A note about a model is broken", str(manifest), f"rm {manifest}, then pull the model again"
            )
            continue
        bad = [file for file, sha256, size in files if _size(paths.models / "blobs" / sha256) != size]
        names.append(name)
        if bad:
            yield Finding(
                "problem",
                f"{name} is damaged",
                f"missing or cut short: {', '.join(bad)}",
                f"localmind models pull {name}",
            )
    if names:
        yield Finding("ok", "Models", ", ".join(names))
    else:
        yield Finding("note", "No models yet", f"nothing in {paths.models}", "localmind models pull --starter")


def _plans(memory: PlanMemory, machine: Machine, binding: Binding | None) -> Iterator[Finding]:
    known = memory.all()
    if memory.broken is not None:
        yield Finding(
            "warning",
            "The memory of plans is broken",
            f"{memory.path} does not parse ({memory.broken}); it will be set aside and crashes learnt anew",
        )
    for key, attempts in known.items():
        if key.machine == machine.key and binding is not None and key.build == binding.fingerprint:
            yield from _story(key, attempts, machine, binding)


def _story(key: PlanKey, attempts: Sequence[Attempt], machine: Machine, binding: Binding) -> Iterator[Finding]:
    """What the canary saw, for one model on this machine with this build."""
    deaths = [attempt for attempt in attempts if attempt.outcome != "ok"]
    good = max((attempt for attempt in attempts if attempt.outcome == "ok"), key=lambda a: a.at, default=None)
    speed = f"{good.prefill_tok_s:.0f} tokens/s reading, {good.decode_tok_s:.0f} writing" if good else ""
    if not deaths:
        if good is not None:
            yield Finding("ok", f"{key.model_name} loads", f"at its first load: {speed}")
        return
    first = min(deaths, key=lambda attempt: attempt.at)
    what = "hung" if first.outcome == "hung" else f"died with {first.signal}" if first.signal else "died"
    text = f"On {_day(first.at)} a load of {key.model_name} {what}"
    if good is None:
        yield Finding(
            "problem",
            f"{key.model_name} cannot be loaded",
            f"{text}, and so did every tamer plan ({len(deaths)} tried)",
            "localmind engine build --force",
        )
        return
    tamer = good.plan.differences(first.plan)
    text += f"; localmind stepped down to a load {tamer or 'that holds'} and has used that since ({speed})"
    amx = first.plan.use_extra_bufts and not good.plan.use_extra_bufts
    if amx and not binding.healed:
        yield Finding(
            "warning",
            f"{key.model_name} was healed",
            f"{text}. `localmind engine build` makes it about {FASTER:g} times faster at reading",
            "localmind engine build",
        )
    else:
        yield Finding("note", f"{key.model_name} was healed", text)


def _daemon(state: Mapping[str, Any] | None) -> Iterator[Finding]:
    if state is None:
        yield Finding("note", "The daemon is not running", "the first command that needs it starts it")
        return
    yield Finding("ok", "The daemon is running", f"version {state.get('version')}, process {state.get('pid')}")
    if state.get("tcp_problem"):
        yield Finding(
            "warning", "No TCP port", str(state["tcp_problem"]), "localmind stop, then LOCALMIND_PORT=N localmind serve"
        )
    for entry in (*state.get("models", ()), *state.get("workers", ())):
        if entry.get("quarantine"):
            name = entry.get("model") or entry.get("name")
            yield Finding(
                "problem",
                f"{name} is in quarantine",
                str(entry["quarantine"]),
                "localmind stop lifts it; localmind engine build, if it comes back",
            )
    for folder in state.get("folders", ()):
        errors = folder.get("errors") or ()
        if errors:
            yield Finding(
                "note",
                f"{counted(len(errors), 'file')} in {folder.get('path')} could not be read",
                _first_error(errors),
            )


def _first_error(errors: Sequence[Any]) -> str:
    first = errors[0]
    return ": ".join(map(str, first)) if isinstance(first, list | tuple) else str(first)


def _day(at: float) -> str:
    return time.strftime("%d %b", time.localtime(at)).lstrip("0")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
