"""Which GPUs a machine has: as ggml lists them, where the engine is built for any, and as drivers and the system do.

Only ggml's own list says what llama.cpp will use, under which name and in which order; but it is native code, so a
process of its own is asked, which may crash. What that list cannot show, a card that the engine is not built for, is
found by what every system tells without a library: nvidia-smi, sysfs, macOS on Apple silicon.
"""

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

LISTING = ("-P", "-m", "localmind.engine.devices")
LISTING_S = 20.0
"""Drivers start in a second or two, and one that hangs must not hang the daemon."""
NAMES = {"MTL": "Metal", "HIP": "ROCm"}
"""ggml's names of backends where ours are others."""
VENDORS = {
    "0x10de": ("NVIDIA graphics", "CUDA"),
    "0x1002": ("AMD graphics", "ROCm"),
    "0x8086": ("Intel graphics", "Vulkan"),
}
WINDOWS_QUERY = (
    "powershell", "-NoProfile", "-Command",
    "Get-CimInstance Win32_VideoController | Select-Object Name,AdapterRAM | ConvertTo-Json",
)  # fmt: skip
CARVED = 1 << 30
"""A card with less memory of its own than this is part of the processor and borrows main memory."""

log = logging.getLogger("localmind.machine")


@dataclass(slots=True, frozen=True)
class Gpu:
    """One device that may take layers. Memory in bytes."""

    name: str
    backend: str
    """"CUDA", "Metal", "ROCm", "Vulkan" …; a binding must be built with it to use the device."""
    memory_total: int
    memory_free: int
    unified: bool = False
    """Shares the main memory (Apple, integrated graphics), so its room is not in addition to it."""
    id: str = ""
    """Its name in ggml's list, "CUDA0"; the engine is told by it what to use."""
    driver: str = ""
    """What its driver can do, "12.4" for CUDA; empty if that does not matter."""
    problem: str = ""
    """Why it cannot be used although the engine is built for it."""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", f"{'MTL' if self.backend == 'Metal' else self.backend}0")


Run = Callable[[Sequence[str], float], str]
"""The output of a command; empty when it fails. The seam for tests."""


def find_gpus(
    system: str,
    arch: str,
    memory: tuple[int, int],
    backends: frozenset[str],
    *,
    root: Path = Path("/"),
    run: Run | None = None,
) -> tuple[Gpu, ...]:
    """All there are: first those of ggml's list, then those that the engine cannot use.

    `memory` is the main memory, (total, available); `backends` are those that the engine is built with.
    """
    run = run or output
    listed = listed_by_ggml(run(_listing(), LISTING_S), memory) if backends else ()
    found = list(listed or ())
    known = {gpu.backend for gpu in found}
    for gpu in _present(system, arch, memory, root, run):
        if gpu.backend in known or "Vulkan" in known:
            continue
        if gpu.backend in backends:
            gpu = replace(
                gpu, problem="the engine does not find it" if listed is not None else "its list cannot be read"
            )
        found.append(gpu)
    return tuple(found)


def listed_by_ggml(text: str, memory: tuple[int, int]) -> tuple[Gpu, ...] | None:
    """From what `localmind.engine.devices` prints; None if that is not a list of devices."""
    try:
        rows = json.loads(text.strip().splitlines()[-1])
        return tuple(_listed(row, memory) for row in rows)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as problem:
        log.warning("ggml's list of devices cannot be read: %s", problem)
        return None


def _listed(row: dict[str, object], memory: tuple[int, int]) -> Gpu:
    backend, name = NAMES.get(str(row["backend"]), str(row["backend"])), str(row["name"])
    total, free = int(str(row["memory_total"])), int(str(row["memory_free"]))
    # Mesa's software drivers compute on the processor and call it a card.
    shared = bool(row["integrated"]) or backend == "Metal" or "llvmpipe" in name
    if not total:  # a device that does not tell has what the machine has
        total, free = memory
    if shared:
        free = min(free, memory[1])
    return Gpu(name, backend, total, min(free, total), shared, str(row["id"]))


def _present(system: str, arch: str, memory: tuple[int, int], root: Path, run: Run) -> list[Gpu]:
    if system == "darwin":
        if arch != "arm64":
            return []
        # macOS lets the GPU wire about three quarters of the memory (recommendedMaxWorkingSetSize).
        room = memory[0] * 3 // 4
        return [Gpu("Apple GPU", "Metal", room, min(room, memory[1]), unified=True)]
    nvidia: tuple[Gpu, ...] = ()
    if shutil.which("nvidia-smi") is not None:
        query = ("nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
        version = re.search(r"CUDA Version:\s*(\d+\.\d+)", run(("nvidia-smi",), 5.0))
        nvidia = tuple(replace(gpu, driver=version[1] if version else "") for gpu in parse_nvidia(run(query, 5.0)))
    present = windows_cards(run(WINDOWS_QUERY, 15.0), memory) if system == "windows" else cards(root, memory)
    others = [gpu for gpu in present if not (nvidia and gpu.backend == "CUDA")]
    return [*nvidia, *others]


def cards(root: Path, memory: tuple[int, int]) -> list[Gpu]:
    """Cards that Linux knows, in /sys/class/drm; without a driver's library only AMD's tell their memory."""
    found: list[Gpu] = []
    for device in sorted(root.glob("sys/class/drm/card[0-9]*/device")):
        if "-" in device.parent.name:  # a connector: card0-HDMI-A-1
            continue
        vendor = VENDORS.get(_text(device / "vendor"))
        if vendor is None:
            continue
        name, backend = vendor
        total, used = (_number(device / f"mem_info_vram_{key}") for key in ("total", "used"))
        shared = backend == "Vulkan" or (backend == "ROCm" and 0 < total < CARVED)
        if shared:
            total, used = memory[0] // 2, 0
        number = sum(gpu.backend == backend for gpu in found)
        found.append(
            Gpu(
                _text(device / "product_name") or name,
                backend,
                total,
                max(0, total - used),
                shared,
                f"{backend}{number}",
            )
        )
    return found


def windows_cards(text: str, memory: tuple[int, int]) -> list[Gpu]:
    """Cards that Windows names, as JSON. Sizes end at 4 GiB there, which serves for saying that a card is there."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    rows = [row for row in (found if isinstance(found, list) else [found]) if isinstance(row, dict)]
    gpus: list[Gpu] = []
    for row in rows:
        name, ram = str(row.get("Name") or ""), row.get("AdapterRAM")
        maker = re.search(r"NVIDIA|AMD|Radeon|Intel", name)
        if maker is None:
            continue
        backend = "CUDA" if maker[0] == "NVIDIA" else "Vulkan"
        number = sum(gpu.backend == backend for gpu in gpus)
        size = ram if isinstance(ram, int) and ram > 0 else memory[0] // 2
        gpus.append(Gpu(name, backend, size, size, maker[0] == "Intel", f"{backend}{number}"))
    return gpus


def parse_nvidia(text: str) -> tuple[Gpu, ...]:
    """The devices of `nvidia-smi`'s CSV, whose numbers are MiB."""
    found: list[Gpu] = []
    for line in text.splitlines():
        words = [word.strip() for word in line.rsplit(",", 2)]
        if len(words) == 3 and words[1].isdigit() and words[2].isdigit():
            sizes = int(words[1]) << 20, int(words[2]) << 20
            found.append(Gpu(words[0], "CUDA", *sizes, id=f"CUDA{len(found)}"))
    return tuple(found)


def output(command: Sequence[str], timeout: float) -> str:
    """Standard output of a command; empty when it fails, takes too long or is not there."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _listing() -> tuple[str, ...]:
    return (sys.executable, *LISTING)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdigit() else 0
