"""A machine described in a TOML file: for plans of a computer that is not here, and for the table of plans in tests.

Sizes are GiB. Only what a plan depends on is asked for; `EXAMPLE` shows all of it. What is not understood is refused
with its name, since a misspelt key would silently describe another machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from localmind.errors import InvalidRequest
from localmind.machine.devices import Gpu, Machine
from localmind.machine.sizes import GIB

EXAMPLE = """\
name = "my desktop"
system = "linux"        # linux, darwin or windows
arch = "x86_64"         # or aarch64, arm64
cores = 8               # real ones
cores_fast = 4          # where cores differ
threads = 16            # logical ones that may be used
memory = 32             # GiB
free = 24               # GiB that could be taken now
limit = 16              # GiB, of a container
backends = ["CUDA"]     # that the engine is built with; left out: all
gpus = [{ name = "RTX 4070", backend = "CUDA", memory = 12, free = 11, shared = false }]
"""


class _Gpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    backend: str
    memory: float
    free: float | None = None
    shared: bool = False
    id: str = ""


class _Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cores: int
    memory: float
    name: str = "described"
    system: str = "linux"
    arch: str = "x86_64"
    cores_fast: int | None = None
    threads: int | None = None
    free: float | None = None
    limit: float | None = None
    backends: frozenset[str] | None = None
    gpus: tuple[_Gpu, ...] = ()


@dataclass(slots=True, frozen=True)
class Described:
    name: str
    machine: Machine
    backends: frozenset[str] | None
    """Of its engine; None for one that knows all devices."""


def described(data: Mapping[str, Any], label: str = "the description") -> Described:
    """From the table of one machine. Raises InvalidRequest for one that describes none."""
    try:
        found = msgspec.convert(data, _Machine, strict=False)
    except msgspec.ValidationError as problem:
        raise InvalidRequest(
            f"{label} of a machine is not understood: {problem}", hint=f"an example:\n{EXAMPLE}"
        ) from problem
    sizes = [found.memory, found.free, found.limit]
    sizes += [size for gpu in found.gpus for size in (gpu.memory, gpu.free)]
    if found.cores < 1 or not all(0 <= size < 1 << 20 for size in sizes if size is not None):
        raise InvalidRequest(f"{label} of a machine is not understood: sizes and cores must be positive", hint=EXAMPLE)
    top = found.memory if found.limit is None else min(found.memory, found.limit)
    counts: dict[str, int] = {}
    gpus = []
    for gpu in found.gpus:
        prefix = "MTL" if gpu.backend == "Metal" else gpu.backend
        number = counts[prefix] = counts.get(prefix, -1) + 1
        free = gpu.memory if gpu.free is None else gpu.free
        name = gpu.id or f"{prefix}{number}"
        gpus.append(Gpu(gpu.name, gpu.backend, _bytes(gpu.memory), _bytes(free), gpu.shared, name))
    machine = Machine(
        system=found.system,
        arch=found.arch,
        cpu_model=found.name,
        cpu_flags=frozenset(),
        cores_physical=found.cores,
        cores_usable=found.threads or found.cores,
        memory_total=_bytes(found.memory),
        memory_available=_bytes(top if found.free is None else min(found.free, top)),
        memory_limit=None if found.limit is None else _bytes(found.limit),
        gpus=tuple(gpus),
        cores_fast=found.cores_fast,
    )
    return Described(found.name, machine, found.backends)


def _bytes(gib: float) -> int:
    return int(gib * GIB)
