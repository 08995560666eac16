"""What a machine has: cores, memory, processor features, GPUs, within the limits that containers set.

`Machine` is a plain value, so that a test can describe a machine nobody here owns. `Machine.here()`
reads the real one: cgroup limits and CPU affinity count, since llama.cpp sees neither (its CPU device
reports all memory as free). It loads no native inference library; GPUs are the business of gpus.py.
"""

import hashlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from localmind.machine.binding import installed_binding
from localmind.machine.gpus import Gpu, find_gpus, output

__all__ = ["Gpu", "Machine"]

UNLIMITED = 1 << 60
"""cgroup v1 writes "no limit" as a number near 2^63."""

OTHERS, OTHERS_SHARE = 4 << 30, 0.3
"""Main memory that a desktop and its programs usually hold: four gigabytes, less where there is little."""
USUALLY_FREE = 0.95
"""The part of a graphics card's memory that screens usually leave."""


@dataclass(slots=True, frozen=True)
class Machine:
    """Facts of a machine. Memory in bytes."""

    system: str
    """"linux", "darwin" or "windows"."""
    arch: str
    cpu_model: str
    cpu_flags: frozenset[str]
    cores_physical: int
    cores_usable: int
    """Logical cores that this process may use, by affinity and by cgroup quota."""
    memory_total: int
    memory_available: int
    """What could be taken now without swapping, within a cgroup's limit."""
    memory_limit: int | None = None
    """The cgroup's limit; None without one."""
    gpus: tuple[Gpu, ...] = ()
    cores_fast: int | None = None
    """Where cores differ, those of the fast kind: a step waits for its slowest thread."""

    @property
    def cores(self) -> int:
        """Threads that are worth starting: a second thread on one core slows the decoding of a token.

        Two fast cores alone do not reach what the memory gives, so slow ones help them.
        """
        fast = max(self.cores_fast, 4) if self.cores_fast else self.cores_physical
        return max(1, min(fast, self.cores_physical, self.cores_usable))

    @property
    def flags_digest(self) -> str:
        """Short and stable for one kind of processor; code compiled for it is tied to this."""
        text = " ".join((self.arch, self.cpu_model, *sorted(self.cpu_flags)))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def key(self) -> str:
        """Names this kind of machine in the memory of plans; memory and load are not part of it."""
        names = ",".join(gpu.name for gpu in self.gpus)
        gpus = f"-{hashlib.sha256(names.encode()).hexdigest()[:6]}" if names else ""
        return f"{self.system}-{self.arch}-{self.flags_digest}{gpus}"

    @property
    def has_amx(self) -> bool:
        """Matrix tiles of recent Xeons: where a binding built by an old GCC crashes."""
        return "amx_tile" in self.cpu_flags

    def usable_gpus(self, backends: frozenset[str] | None = None) -> tuple[Gpu, ...]:
        """Those that a binding with these backends can use; None means all."""
        return tuple(gpu for gpu in self.gpus if not gpu.problem and (backends is None or gpu.backend in backends))

    def now(self, root: Path = Path("/")) -> "Machine":
        """The same machine with the memory that is available at this moment."""
        available, _, limit = _memory(self.system, root)
        return replace(self, memory_available=available, memory_limit=limit)

    def usual(self) -> "Machine":
        """The same machine with what other programs usually leave, whatever they hold at this moment: for choices that
        outlast it, such as which model to download."""
        whole = min(self.memory_total, self.memory_limit or self.memory_total)
        available = whole - min(OTHERS, int(whole * OTHERS_SHARE))
        gpus = []
        for gpu in self.gpus:
            free = int(gpu.memory_total * USUALLY_FREE)
            gpus.append(replace(gpu, memory_free=min(free, available) if gpu.unified else free))
        return replace(self, memory_available=available, gpus=tuple(gpus))

    def fresh(self, root: Path = Path("/")) -> "Machine":
        """The same with its GPUs asked again, which takes a second where the engine is built for any."""
        machine = self.now(root)
        memory = machine.memory_total, min(machine.memory_available, machine.memory_total)
        return replace(machine, gpus=find_gpus(self.system, self.arch, memory, _backends(), root=root))

    @classmethod
    def here(cls, root: Path = Path("/")) -> "Machine":
        """Read this machine. `root` is where /proc and /sys are looked up."""
        import psutil

        system = platform.system().lower()
        available, total, limit = _memory(system, root)
        model, flags = _processor(system, root)
        usable = _affinity()
        quota = _cpu_quota(root) if system == "linux" else None
        if quota is not None:
            # A quota of 1.5 cores runs two threads better than one and a half.
            usable = max(1, min(usable, int(quota + 0.5)))
        machine = cls(
            system=system,
            arch=platform.machine().lower(),
            cpu_model=model,
            cpu_flags=flags,
            cores_physical=psutil.cpu_count(logical=False) or usable,
            cores_usable=usable,
            memory_total=total,
            memory_available=available,
            memory_limit=limit,
            cores_fast=_fast_cores(system, root),
        )
        return machine.fresh(root)


def _backends() -> frozenset[str]:
    binding = installed_binding()
    return binding.backends if binding is not None else frozenset()


def _fast_cores(system: str, root: Path) -> int | None:
    """Cores of the fast kind where there are two; None where all are alike."""
    if system == "darwin":
        fast, slow = (output(("sysctl", "-n", f"hw.perflevel{n}.physicalcpu"), 5.0).strip() for n in (0, 1))
        return int(fast) if fast.isdigit() and slow.isdigit() else None
    if system != "linux":
        return None
    if _text(root / "sys/devices/cpu_atom/cpus").strip():  # Intel; its fast cores run two threads each
        threads = _listed(_text(root / "sys/devices/cpu_core/cpus"))
        kin = {
            _text(root / f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list").strip() or n for n in threads
        }
        return len(kin) or None
    speeds = [_number(path) or 0 for path in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpu_capacity")]  # ARM
    most = max(speeds, default=0)
    fast_ones = sum(2 * speed > most for speed in speeds)
    return fast_ones if 0 < fast_ones < len(speeds) else None


def _listed(text: str) -> list[int]:
    """The numbers in "0-3,8"."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found += range(int(first), min(int(last or first), int(first) + 4096) + 1)
    return found


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(system: str, root: Path) -> tuple[int, int, int | None]:
    """Available, total and limit in bytes."""
    total, available = 0, 0
    if system == "linux":
        facts = dict(_colon_lines(root / "proc/meminfo"))
        total = _kilobytes(facts.get("MemTotal", ""))
        available = _kilobytes(facts.get("MemAvailable", ""))
    if not total:
        import psutil

        memory = psutil.virtual_memory()
        total, available = memory.total, memory.available
    if system != "linux":
        return available, total, None
    limit: int | None = None
    for directory, limit_names, used_name, cache_name in _cgroup_dirs(root, "memory"):
        bounds = [_number(directory / name) for name in limit_names]
        bound = min((found for found in bounds if found is not None), default=UNLIMITED)
        if bound >= UNLIMITED:
            continue
        used = _number(directory / used_name) or 0
        cache = next((int(v) for k, v in _space_lines(directory / "memory.stat") if k == cache_name), 0)
        available = min(available, max(0, bound - used + cache))
        limit = bound if limit is None else min(limit, bound)
    return available, total, limit


def _cpu_quota(root: Path) -> float | None:
    """Cores' worth of time that cgroups allow; None without a limit."""
    quotas: list[float] = []
    for directory, *_ in _cgroup_dirs(root, "cpu"):
        words = _text(directory / "cpu.max").split()
        if not words:
            words = [_text(directory / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _cgroup_dirs(root: Path, controller: str) -> Iterator[tuple[Path, tuple[str, ...], str, str]]:
    """Our cgroup and all above it, version 2 or 1, with the names of limits, usage and reclaimable cache.

    Above `memory.high` a process is not ended but slowed down to a crawl, which is no better.
    """
    names: tuple[tuple[str, ...], str, str]
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base, names = root / "sys/fs/cgroup", (("memory.max", "memory.high"), "memory.current", "inactive_file")
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controller
            names = (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for depth in range(len(parts), -1, -1):
            yield base.joinpath(*parts[:depth]), *names


def _processor(system: str, root: Path) -> tuple[str, frozenset[str]]:
    if system == "linux":
        facts: dict[str, str] = {}
        for key, value in _colon_lines(root / "proc/cpuinfo"):
            facts.setdefault(key, value)
        model = facts.get("model name") or facts.get("CPU part") or platform.processor()
        return model, frozenset((facts.get("flags") or facts.get("Features") or "").split())
    if system == "darwin":
        return output(("sysctl", "-n", "machdep.cpu.brand_string"), 5.0).strip(), frozenset()
    return platform.processor(), frozenset()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _colon_lines(path: Path) -> Iterator[tuple[str, str]]:
    for line in _text(path).splitlines():
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip(), value.strip()


def _space_lines(path: Path) -> Iterator[tuple[str, str]]:
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if value.strip().isdigit():
            yield key, value.strip()


def _kilobytes(text: str) -> int:
    number = text.partition(" ")[0]
    return int(number) << 10 if number.isdigit() else 0
