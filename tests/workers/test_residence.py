"""The residence over a mover that loads nothing: who is let in when, and what the others hear meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from localmind.errors import LocalmindError, ModelFileBroken, NoRoom, ShuttingDown
from localmind.events import Progress
from localmind.machine.amounts import RAM, Bytes
from localmind.machine.booking import Laid, Lay
from localmind.workers.residence import Residence, Ticket

MB = 1 << 20


class FakeMover:
    """Every step takes as long as a test likes: `gate` holds loads back while it is closed."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails: LocalmindError | None = None
        self.inside: set[str] = set()
        self._news = asyncio.Event()

    def _note(self, step: str) -> None:
        self.did.append(step)
        self._news.set()

    async def has_done(self, *steps: str) -> None:
        while self.did != list(steps):
            self._news.clear()
            await self._news.wait()

    async def load(self, name: str, laid: Laid, told: Callable[[float], None]) -> Laid:
        assert name not in self.inside, "loaded twice"
        self.inside.add(name)
        self._note(f"load {name}")
        told(0.5)
        await self.gate.wait()
        if self.fails is not None:
            self.inside.discard(name)
            raise self.fails
        return laid

    async def open(self, name: str) -> None:
        self._note(f"open {name}")

    async def cool(self, name: str) -> bool:
        self._note(f"cool {name}")
        return True

    async def unload(self, name: str) -> None:
        self._note(f"unload {name}")
        self.inside.discard(name)

    def summary(self, name: str) -> str:
        return f"loaded {name}"


def lay(weights: int, context: int) -> Lay:
    return lambda room: Laid({RAM: weights * MB}, {RAM: context * MB})


class Bench:
    """A residence of 10 MB and its mover."""

    def __init__(self, keep_s: float = float("inf"), turn_s: float = 0.05) -> None:
        self.budget: Bytes = {RAM: 10 * MB}
        self.mover = FakeMover()
        self.residence = Residence(self.mover, lambda: self.budget, keep_s=keep_s, turn_s=turn_s)

    async def told(self, ticket: Ticket) -> list[Progress]:
        return [step async for step in self.residence.admitted(ticket)]

    async def use(self, name: str, weights: int = 4, context: int = 2) -> None:
        async with self.residence.using(name, lay(weights, context)):
            assert self.residence.ledger.account(name).stage == "hot"


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.mover.gate.set()
    made.residence.close()
    await made.residence.closed()


async def test_many_who_ask_at_once_share_one_load_and_hear_how_far_it_is(bench: Bench) -> None:
    bench.mover.gate.clear()
    tickets = [bench.residence.ask("a", lay(4, 2)) for _ in range(5)]
    listening = [asyncio.create_task(bench.told(ticket)) for ticket in tickets]
    await bench.mover.has_done("load a")
    bench.mover.gate.set()
    for steps in await asyncio.gather(*listening):
        assert steps[0].text == "loading a"
        assert steps[-1] == Progress("load", 1.0, 1.0, "", "loaded a")
    assert bench.mover.did == ["load a"]
    assert bench.residence.ledger.account("a").users == 5


async def test_one_who_gives_up_ends_nothing_for_the_others(bench: Bench) -> None:
    bench.mover.gate.clear()
    first = asyncio.create_task(bench.use("a"))
    second = asyncio.create_task(bench.use("a"))
    await bench.mover.has_done("load a")
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    bench.mover.gate.set()
    await second
    assert bench.residence.ledger.account("a").users == 0


async def test_a_failed_load_is_told_to_all_who_wait_and_leaves_nothing_booked(bench: Bench) -> None:
    bench.mover.fails = ModelFileBroken("it is cut short")
    found = await asyncio.gather(*(bench.use("a") for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [ModelFileBroken] * 3
    assert bench.residence.ledger.held == {}
    bench.mover.fails = None
    await bench.use("a")


async def test_who_has_to_wait_hears_for_whom_and_comes_in_when_they_have_ended(bench: Bench) -> None:
    ticket = bench.residence.ask("a", lay(6, 2))
    await bench.told(ticket)
    waiting = bench.residence.ask("b", lay(6, 2))
    steps = bench.residence.admitted(waiting)
    first = await anext(steps)
    assert (first.stage, first.text) == ("wait", "b waits for memory: a answers 1")
    bench.residence.end(ticket)
    assert [step.text async for step in steps][-1] == "loaded b"
    assert bench.mover.did == ["load a", "unload a", "load b"]
    bench.residence.end(waiting)


async def test_what_can_never_fit_is_refused_at_once_with_both_numbers(bench: Bench) -> None:
    with pytest.raises(NoRoom, match=r"huge needs 12 MiB of memory, and models may have 10 MiB") as caught:
        await bench.use("huge", 11, 1)
    assert caught.value.numbers == {"needed_bytes": 12 * MB, "available_bytes": 10 * MB}
    await bench.use("a", 5, 1)
    bench.residence.pin("a", True)
    with pytest.raises(NoRoom, match="beside a, pinned") as caught:
        await bench.use("b", 5, 1)
    assert caught.value.hint == "localmind models unload a"


async def test_an_idle_model_gives_its_context_back_first_and_then_all(bench: Bench) -> None:
    await bench.use("a")
    bench.residence.keep("a", 0.2)
    await bench.mover.has_done("load a", "cool a", "unload a")
    assert bench.residence.accounts()[0]["stage"] in ("leaving", "cold")


async def test_keep_alive_of_a_request_holds_until_the_next_request(bench: Bench) -> None:
    bench.residence.keep("a", 100)
    async with bench.residence.using("a", lay(4, 2), 0.0):
        assert bench.residence.accounts()[0]["keep_alive_s"] == 0.0
    await bench.mover.has_done("load a", "unload a")
    await bench.use("a")
    assert bench.residence.accounts()[0]["keep_alive_s"] == 100


async def test_unload_returns_when_it_is_out_and_lifts_the_pin(bench: Bench) -> None:
    await bench.use("a")
    bench.residence.pin("a", True)
    await bench.residence.unload("a")
    account = bench.residence.accounts()[0]
    assert (account["stage"], account["pinned"], account["reserved"]) == ("cold", False, {})
    assert bench.residence.devices() == [{"device": RAM, "budget": 10 * MB, "reserved": 0, "free": 10 * MB}]


async def test_a_dead_idle_model_frees_its_bytes_and_a_dead_busy_one_keeps_them(bench: Bench) -> None:
    ticket = bench.residence.ask("a", lay(4, 2))
    await bench.told(ticket)
    bench.residence.lost("a")
    assert bench.residence.ledger.account("a").stage == "hot", "whoever uses it starts it again"
    bench.residence.end(ticket)
    bench.residence.lost("a")
    assert bench.residence.ledger.held == {}


async def test_those_who_wait_at_the_end_are_told(bench: Bench) -> None:
    bench.mover.gate.clear()
    waiting = asyncio.create_task(bench.use("a"))
    await bench.mover.has_done("load a")
    bench.residence.close()
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        bench.residence.ask("a", lay(4, 2))


async def test_twelve_clients_and_four_models_where_two_fit(bench: Bench) -> None:
    answered = 0

    async def client(number: int) -> None:
        nonlocal answered
        for turn in range(6):
            name = "abcd"[(number + turn) % 4]
            async with bench.residence.using(name, lay(3, 2)):
                assert name in bench.mover.inside, "nobody is in a model that is not there"
                assert len(bench.mover.inside) <= 2
                await asyncio.sleep(0.001)
                assert name in bench.mover.inside
                answered += 1

    await asyncio.gather(*(client(number) for number in range(12)))
    assert answered == 72


async def test_loads_take_turns_and_each_finds_the_memory_that_the_one_before_left() -> None:
    bench = Bench()
    bench.mover.gate.clear()
    given: list[Bytes] = []

    def modest(room: Bytes) -> Laid:
        given.append(room)
        return Laid({RAM: 2 * MB}, {RAM: min(2 * MB, max(0, room[RAM] - 2 * MB))})

    first = asyncio.create_task(bench.use("first", 5, 1))
    await bench.mover.has_done("load first")
    ticket = bench.residence.ask("second", modest)
    waits = bench.residence.admitted(ticket)
    assert (await anext(waits)).text == "second waits while first is loaded"
    await waits.aclose()
    assert bench.residence.ledger.held == {RAM: 10 * MB}
    bench.budget = {RAM: 9 * MB}  # the first took more than was booked, or another program did
    bench.mover.gate.set()
    await first
    await bench.mover.has_done("load first", "load second")
    await ticket.admitted
    assert bench.residence.ledger.account("second").held == {RAM: 3 * MB}
    bench.residence.end(ticket)


async def test_a_model_that_is_in_use_can_take_more_if_idle_ones_give_it_up() -> None:
    bench = Bench()
    await bench.use("idle", 3, 1)
    async with bench.residence.using("busy", lay(4, 1)):
        bench.residence.rebook("busy", Laid({RAM: 7 * MB}, {RAM: 1 * MB}))
        await bench.mover.has_done("load idle", "load busy", "unload idle")
        with pytest.raises(NoRoom, match="busy has 8 MiB of memory and would need 11 MiB"):
            bench.residence.rebook("busy", Laid({RAM: 10 * MB}, {RAM: 1 * MB}))
        assert bench.residence.ledger.held == {RAM: 8 * MB}
        bench.residence.rebook("busy", Laid({RAM: 2 * MB}, {RAM: 1 * MB}))
        assert bench.residence.ledger.free == {RAM: 7 * MB}


async def test_a_load_that_waits_for_its_turn_does_not_begin_while_all_is_being_stopped() -> None:
    bench = Bench()
    bench.mover.gate.clear()
    first = bench.residence.ask("first", lay(3, 1))
    second = bench.residence.ask("second", lay(3, 1))
    await bench.mover.has_done("load first")
    bench.residence.close()
    bench.mover.gate.set()
    await bench.residence.closed()
    assert bench.mover.did == ["load first"]
    for ticket in (first, second):
        with pytest.raises(ShuttingDown):
            await ticket.admitted
