"""Workers that run out of memory, by a refusal, by the system's or by the kernel's hand: less is loaded, and told."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from localmind import catalog
from localmind.catalog import Catalog
from localmind.errors import NoRoom
from localmind.events import Done, Progress
from localmind.machine.amounts import RAM
from localmind.machine.devices import Machine
from localmind.machine.plan import Wishes
from localmind.machine.probe import PlanMemory
from localmind.messages import Message
from localmind.models.store import Store
from localmind.workers.engines import Engines, Options
from localmind.workers.loading import Loaded, Loader
from localmind.workers.request import Request

HUNGRY = str(Path(__file__).with_name("hungry_engine.py"))
HELLO = Request(messages=(Message("user", "hi"),))

Make = Callable[..., Engines]


@pytest.fixture
async def make(starter_store: Store, tmp_path: Path) -> AsyncIterator[Make]:
    async with contextlib.AsyncExitStack() as stack:

        def engines(**options: Any) -> Engines:
            made = Engines(
                Catalog(catalog.bundled()),
                starter_store,
                PlanMemory(tmp_path / "plans.json"),
                Machine.here(),
                default_model="smollm2:135m",
                wishes=Wishes(n_ctx=8192),
                options=Options(7, prefix_ram_mb=0),
                command=[sys.executable, HUNGRY, json.dumps(options)],
                limit_mb=4096,
            )
            stack.push_async_callback(made.stop)
            return made

        yield engines


class FakeKernel:
    """Counts what it has ended for want of memory, one more each time that it is asked."""

    def __init__(self) -> None:
        self.count = 0

    def kills(self) -> int:
        self.count += 1
        return self.count

    def ends(self, entry: Loaded) -> None:
        assert entry.supervisor.pid is not None
        os.kill(entry.supervisor.pid, signal.SIGKILL)


def made_loader(store: Store, place: Path, kernel: FakeKernel, **options: Any) -> Loader:
    return Loader(
        Catalog(catalog.bundled()),
        store,
        PlanMemory(place / "plans.json"),
        Machine.here(),
        default_model="smollm2:135m",
        wishes=Wishes(n_ctx=8192),
        options=Options(7, prefix_ram_mb=0),
        command=[sys.executable, HUNGRY, json.dumps(options)],
        kills=kernel.kills,
    )


async def loaded(engines: Engines) -> tuple[dict[str, Any], str]:
    """The status of the model after a load, and the last that the load told."""
    steps = [step async for step in engines.loading(engines.resolve(None))]
    return engines.status()[0], steps[-1].text


@pytest.mark.parametrize("how", ["refuse", "exhaust"])
async def test_the_next_rungs_are_loaded_and_what_was_given_up_is_told(make: Make, how: str) -> None:
    engines = make(cells=2048, kv_type="q8_0", how=how)
    status, told = await loaded(engines)
    assert (status["plan"]["n_ctx"], status["plan"]["kv_type"]) == (2048, "q8_0")
    gave_up = "2048 cells of context instead of 8192, keys and values in q8_0 instead of f16"
    assert status["gave_up"] == gave_up
    assert told == f"loaded smollm2:135m, with {gave_up}: memory ran out"
    assert engines.context(engines.resolve(None)) == 2048
    assert status["deaths"] == []


async def test_only_what_it_became_stays_booked(make: Make) -> None:
    whole = (await loaded(make(cells=8192, how="refuse")))[0]
    less = (await loaded(make(cells=2048, how="refuse")))[0]
    assert whole["gave_up"] is None
    cells = (8192 - 2048) * 2 * 30 * 3 * 64 * 2  # keys and values, 30 layers, 3 heads of 64 numbers of 2 bytes
    assert whole["reserved"][RAM] - less["reserved"][RAM] >= cells


async def test_a_worker_that_the_kernel_ends_for_memory_is_tried_with_less(
    starter_store: Store, tmp_path: Path
) -> None:
    kernel = FakeKernel()
    loader = made_loader(starter_store, tmp_path, kernel, cells=2048, how="kill")
    spec = Catalog(catalog.bundled()).find("smollm2:135m")
    entry = loader.entry(spec)
    became = await loader.load(spec.name, (await loader.lay(entry))({RAM: 4 << 30}), lambda done: None)
    assert became.plan.plan.n_ctx == 2048
    assert loader.summary(spec.name).endswith("with 2048 cells of context instead of 8192: memory ran out")
    assert entry.plan is not None
    assert entry.plan.use_extra_bufts, "it was no crash: what the processor can do stays in use"
    await entry.supervisor.stop()


async def test_a_model_that_the_kernel_ended_at_work_comes_back_with_less(starter_store: Store, tmp_path: Path) -> None:
    kernel = FakeKernel()
    loader = made_loader(starter_store, tmp_path, kernel, cells=8192, how="kill")
    spec = Catalog(catalog.bundled()).find("smollm2:135m")
    entry = loader.entry(spec)
    laid = (await loader.lay(entry))({RAM: 4 << 30})
    await loader.load(spec.name, laid, lambda done: None)
    kernel.ends(entry)
    worker = await entry.supervisor.call("state")
    assert worker == {"n_ctx": 4096}
    assert entry.gave_up == "4096 cells of context instead of 8192"
    await entry.supervisor.stop()


async def test_where_the_least_does_not_fit_either_the_reason_is_told_and_nothing_stays_booked(make: Make) -> None:
    engines = make(cells=0, how="refuse")
    with pytest.raises(NoRoom, match="no room for a context of 2048 tokens"):
        await engines.load(engines.resolve(None))
    assert not any(engines.status()[0]["reserved"].values())
    assert engines.status()[0]["pid"] is None


async def test_a_context_that_finds_no_room_again_after_a_rest_is_smaller_then(make: Make) -> None:
    engines = make(cells=8192, warm_cells=4096, how="refuse")
    spec = engines.resolve(None)
    await engines.load(spec)
    name = spec.name
    mover = engines._loader
    assert await mover.cool(name)
    await mover.open(name)
    assert mover.entries[name].gave_up == "4096 cells of context instead of 8192"
    await mover.unload(name)
    assert mover.entries[name].gave_up == "", "the next load asks for all again"


async def test_an_answer_that_finds_no_room_is_an_error_with_its_reason(make: Make) -> None:
    engines = make(cells=8192, busy_cells=0, how="exhaust")
    with pytest.raises(NoRoom, match="memory ran out"):
        async for _ in engines.generate(engines.resolve(None), HELLO):
            pass
    assert engines.status()[0]["running"] == 0


async def test_what_was_given_up_is_told_to_who_waits_for_an_answer(make: Make) -> None:
    engines = make(cells=4096, how="refuse")
    events = [event async for event in engines.generate_with_progress(engines.resolve(None), HELLO)]
    assert isinstance(events[-1], Done)
    told = [event.text for event in events if isinstance(event, Progress)]
    assert "loaded smollm2:135m, with 4096 cells of context instead of 8192: memory ran out" in told
