"""What GPUs have for models, asked anew before a model is loaded: other programs come and go there too.

The list is made by a process of its own and takes a second, so it is not made for every request, and never where no
GPU is used. What it calls free lacks what our own models hold, which is known by booking alone; so while one of them
is on its way in or out, the figures before that are the better ones.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from localmind.machine.amounts import Bytes
from localmind.machine.build import installed_binding
from localmind.machine.devices import Gpu, Machine

HOLDS_S = 2.0
"""So long a list is as good as new."""


def installed_backends() -> frozenset[str]:
    binding = installed_binding()
    return binding.backends if binding is not None else frozenset()


@dataclass(slots=True)
class GpuRoom:
    machine: Machine
    """As it was when the daemon started."""
    settled: Callable[[], Bytes | None]
    """What our models hold; None while one is on its way."""
    find: Callable[[], Sequence[Gpu]]
    backends: Callable[[], frozenset[str]] = installed_backends
    """What the engine is built with."""
    clock: Callable[[], float] = time.monotonic
    free: dict[str, int] = field(default_factory=dict)
    """By device: bytes that would be free without our models. Empty until the first look."""
    _looked: float = float("-inf")
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> None:
        """Ask again, if there is a GPU to ask about. A device that is gone has nothing."""
        used = self.machine.usable_gpus(await asyncio.to_thread(self.backends)) if self.machine.gpus else ()
        if not used:
            return
        async with self._lock:
            if self.clock() - self._looked < HOLDS_S:
                return
            before = self.settled()
            found = {gpu.id: gpu.memory_free for gpu in await asyncio.to_thread(self.find) if not gpu.problem}
            held = self.settled()
            if held is None or held != before:
                return
            self._looked = self.clock()
            for gpu in used:
                self.free[gpu.id] = found[gpu.id] + held.get(gpu.id, 0) if gpu.id in found else 0
