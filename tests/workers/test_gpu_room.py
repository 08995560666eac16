"""Room on GPUs as it is when a model is loaded, not as it was when the daemon started."""

from dataclasses import replace

from localmind.machine.amounts import RAM, Bytes
from localmind.machine.devices import Gpu, Machine
from localmind.machine.sizes import GIB
from localmind.workers.gpu_room import HOLDS_S, GpuRoom
from localmind.workers.laying import measuring

CARD = Gpu("RTX", "CUDA", 8 * GIB, 7 * GIB)
MACHINE = Machine("linux", "x86_64", "", frozenset(), 4, 4, 16 * GIB, 10 * GIB, gpus=(CARD,))


class Bench:
    """A card of 8 GiB whose free memory, and what our models hold there, a test sets."""

    def __init__(self, machine: Machine = MACHINE) -> None:
        self.now = 0.0
        self.free = 7 * GIB
        self.held: Bytes | None = {}
        self.asked = 0
        self.there = True
        self.room = GpuRoom(machine, lambda: self.held, self.find, lambda: frozenset({"CUDA"}), lambda: self.now)
        self.measure = measuring(machine, None, 4096, tuple, self.room.free)

    def find(self) -> list[Gpu]:
        self.asked += 1
        return [replace(CARD, memory_free=self.free)] if self.there else []

    async def budget(self) -> int:
        self.now += HOLDS_S
        await self.room.look()
        return self.measure().get("CUDA0", 0)


async def test_what_another_program_takes_is_missing_at_the_next_load_and_comes_back() -> None:
    bench = Bench()
    at_first = await bench.budget()
    bench.free -= 5 * GIB
    assert await bench.budget() == at_first - 5 * GIB
    bench.free += 5 * GIB
    assert await bench.budget() == at_first
    assert bench.measure()[RAM] == 4096 << 20


async def test_what_our_own_models_hold_is_not_taken_for_another_programs() -> None:
    bench = Bench()
    at_first = await bench.budget()
    bench.free, bench.held = 4 * GIB, {"CUDA0": 3 * GIB, RAM: GIB}
    assert await bench.budget() == at_first


async def test_while_a_model_is_on_its_way_the_figures_before_that_hold() -> None:
    bench = Bench()
    at_first = await bench.budget()
    bench.free, bench.held = 5 * GIB, None
    assert await bench.budget() == at_first
    bench.held = {"CUDA0": 2 * GIB}
    assert await bench.budget() == at_first


async def test_a_card_that_is_gone_has_nothing() -> None:
    bench = Bench()
    await bench.budget()
    bench.there, bench.held = False, {"CUDA0": GIB}
    assert await bench.budget() == 0


async def test_it_is_asked_once_in_a_while_and_never_without_a_card_that_the_engine_can_use() -> None:
    bench = Bench()
    await bench.room.look()
    await bench.room.look()
    assert bench.asked == 1
    for machine in (replace(MACHINE, gpus=()), replace(MACHINE, gpus=(replace(CARD, backend="ROCm"),))):
        other = Bench(machine)
        await other.room.look()
        assert other.asked == 0
