"""Who is in memory: the ledger's decisions carried out, and requests that wait for them.

Every use of a model begins with a ticket and ends with it. The ledger (machine/ledger.py) says what to load, cool
and unload, the Mover does it in tasks of their own, so one who gives up waiting ends nothing for the others. What a
ticket waits for is told as Progress. It knows no model and no process.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from localmind.durations import FOREVER
from localmind.errors import InternalError, LocalmindError, NoRoom, ShuttingDown
from localmind.events import Progress
from localmind.machine.amounts import Bytes, plus, total
from localmind.machine.booking import Account, Admit, Cool, Laid, Lay, Leave, Load, Open, Refuse, Step
from localmind.machine.ledger import TURN_S, Ledger
from localmind.machine.plan import GIB, MIB

MEASURED_FOR_S = 1.0
"""So long a measurement of free memory holds."""
LOOK_EVERY_S = 10.0
"""How often free memory is looked at while models are idle: other programs may need what they hold."""

log = logging.getLogger("localmind.workers")


class Mover(Protocol):
    """Brings models into memory and out of it, by name. Only `load` and `open` may fail."""

    async def load(self, name: str, laid: Laid, told: Callable[[float], None]) -> Laid:
        """Load as laid, or as less than that, which is then returned. `told` hears how far it is, 0 to 1."""

    async def open(self, name: str) -> None: ...
    async def cool(self, name: str) -> bool:
        """Free the context. False if the weights are gone as well."""

    async def unload(self, name: str) -> None: ...
    def summary(self, name: str) -> str:
        """What there is to say of a model that has just been loaded."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One use of a model. `admitted` is done when it may begin, or failed."""

    name: str
    admitted: "asyncio.Future[None]"
    begun: bool = False


@dataclass(slots=True)
class _Waiting:
    tickets: list[Ticket] = field(default_factory=list)
    loaded: float = 0.0


class Residence:
    def __init__(
        self,
        mover: Mover,
        measure: Callable[[], Bytes],
        *,
        keep_s: float = FOREVER,
        turn_s: float = TURN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`measure` says what all models together may have now; `keep_s` holds for models without an own one."""
        self._mover = mover
        self._movers: dict[str, Mover] = {}
        self._measure = measure
        self._clock = clock
        self._keep_s = keep_s
        self._kept: dict[str, float] = {}
        self.ledger = Ledger(measure(), turn_s)
        self._measured = clock()
        self._waiting: dict[str, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._news: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._one_load = asyncio.Lock()
        self._loading = ""
        """Who has the lock: memory is measured between two loads, and both would find the same room."""
        self._stopped = False

    def host(self, name: str, mover: Mover) -> None:
        """This model is moved by `mover`, in place of the one for all others: it is held in another kind of worker."""
        self._movers[name] = mover

    # --- using

    def ask(self, name: str, lay: Lay, keep_s: float | None = None) -> Ticket:
        """A ticket for one use; give it back with `end`. `keep_s` is how long the model stays after this use."""
        if self._stopped:
            raise ShuttingDown("the daemon is stopping", hint="send the request again in a moment")
        account = self.ledger.account(name)
        account.keep_s = self._kept.get(name, self._keep_s) if keep_s is None else keep_s
        ticket = Ticket(name, asyncio.get_running_loop().create_future())
        if self.ledger.enter(name, lay, self._clock()):
            ticket.begun = True
            ticket.admitted.set_result(None)
        else:
            self._waiting.setdefault(name, _Waiting()).tickets.append(ticket)
            self.pump()
        return ticket

    async def admitted(self, ticket: Ticket) -> AsyncGenerator[Progress, None]:
        """Yield what the ticket waits for, until it may begin. Raises NoRoom, or what the load raised."""
        told: Progress | None = None
        while not ticket.admitted.done():
            now = self._told(ticket.name)
            if now != told:
                told = now
                yield now
            await asyncio.wait({ticket.admitted, self._next_news()}, return_when=asyncio.FIRST_COMPLETED)
        ticket.admitted.result()
        if told is not None:
            yield Progress("load", 1.0, 1.0, "", self._movers.get(ticket.name, self._mover).summary(ticket.name))

    def end(self, ticket: Ticket) -> None:
        """The use is over, or given up."""
        if ticket.begun:
            ticket.begun = False
            self.ledger.leave(ticket.name, self._clock())
        elif not ticket.admitted.done():
            self._waiting[ticket.name].tickets.remove(ticket)
            self.ledger.give_up(ticket.name)
            ticket.admitted.cancel()
        self.pump()

    @contextlib.asynccontextmanager
    async def using(self, name: str, lay: Lay, keep_s: float | None = None) -> AsyncIterator[None]:
        """The same for who does not care what it waits for."""
        ticket = self.ask(name, lay, keep_s)
        try:
            async with contextlib.aclosing(self.admitted(ticket)) as steps:
                async for _ in steps:
                    pass
            yield
        finally:
            self.end(ticket)

    # --- wishes

    def keep(self, name: str, keep_s: float | None) -> None:
        """How long this model stays when a request does not say; None: as all others."""
        if keep_s is None:
            self._kept.pop(name, None)
        else:
            self._kept[name] = keep_s
        self.ledger.account(name).keep_s = self._keep_s if keep_s is None else keep_s
        self.pump()

    def pin(self, name: str, pinned: bool) -> None:
        """A pinned model stays in memory, whatever others need."""
        self.ledger.account(name).pinned = pinned
        self.pump()

    def rebook(self, name: str, laid: Laid) -> None:
        """A model that is in use takes more than was booked, or less. Raises NoRoom, and then nothing is changed."""
        had = total([self.ledger.account(name).held])
        if not self.ledger.rebook(name, laid):
            needs, has = (in_words(sum(each.values())) for each in (plus(laid.weights, laid.context), had))
            raise NoRoom(
                f"{name} has {has} of memory and would need {needs}",
                hint="localmind models unload MODEL, or set `context` lower in settings.toml",
            )
        self.pump()

    def settled(self) -> Bytes | None:
        """What all models hold; None while one is on its way in or out."""
        moving = any(each.stage not in ("cold", "warm", "hot") for each in self.ledger.accounts.values())
        return None if moving else self.ledger.held

    async def unload(self, name: str) -> None:
        """Out of memory now; returns when it is. The caller knows that nobody uses it."""
        self.ledger.depart(name)
        self.pump()
        while (account := self.ledger.account(name)).stage != "cold" and account.departs:
            await asyncio.wait({self._next_news()})

    def lost(self, name: str) -> None:
        """The model's process has died. Whoever uses it starts another in its place; else its bytes are free."""
        account = self.ledger.account(name)
        if account.idle:
            self.ledger.gone(name)
            self.pump()

    def close(self) -> None:
        """Nobody is let in any more; those who wait hear so."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for name in list(self._waiting):
            self._fail(name, ShuttingDown("the daemon is stopping", hint="send the request again in a moment"))

    async def closed(self) -> None:
        """What was under way has ended."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- telling

    def accounts(self) -> list[dict[str, Any]]:
        """For people: every model that is in memory, on its way or waited for."""
        now = self._clock()
        return [self._account(account, now) for account in self.ledger.accounts.values()]

    def devices(self) -> list[dict[str, Any]]:
        """Bytes that models may have, have booked and could still book, by device."""
        self._look(self._clock())
        held, free = self.ledger.held, self.ledger.free
        return [
            {"device": device, "budget": size, "reserved": held.get(device, 0), "free": max(0, free[device])}
            for device, size in self.ledger.budget.items()
        ]

    def _account(self, account: Account, now: float) -> dict[str, Any]:
        expires = account.expires_at()
        return {
            "model": account.name,
            "stage": account.stage,
            "running": account.users,
            "waiting": account.waiting,
            "reserved": dict(account.held),
            "pinned": account.pinned,
            "keep_alive_s": _finite(account.keep_s),
            "expires_in_s": None if math.isinf(expires) else round(max(0.0, expires - now), 1),
            "draining": self.ledger.draining(account.name),
        }

    def _told(self, name: str) -> Progress:
        account = self.ledger.account(name)
        match account.stage:
            case "loading" | "opening" if self._loading not in ("", name):
                return Progress("wait", 0.0, None, "", f"{name} waits while {self._loading} is loaded")
            case "loading":
                done = self._waiting[name].loaded if name in self._waiting else 0.0
                return Progress("load", round(done, 2), 1.0, "", f"loading {name}")
            case "opening":
                return Progress("load", 0.0, 1.0, "", f"{name} gets its context back")
        others = [each for each in self.ledger.accounts.values() if each.users and each is not account]
        busy = ", ".join(f"{each.name} answers {each.users}" for each in others)
        first = next((each.name for each in self.ledger.line()), name)
        behind = f" (after {first})" if first != name else ""
        because = f": {busy}" if busy else ": idle models make room"
        return Progress("wait", 0.0, None, "", f"{name} waits for memory{behind}{because}")

    def _next_news(self) -> "asyncio.Future[None]":
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # --- doing

    def pump(self) -> None:
        """Do whatever can be done now."""
        if self._stopped:
            return
        now = self._clock()
        self._look(now)
        while (step := self.ledger.step(now)) is not None:
            match step:
                case Admit(name):
                    for ticket in self._waiting.pop(name).tickets:
                        ticket.begun = True
                        ticket.admitted.set_result(None)
                case Refuse(name):
                    self._answer(name, _no_room(step))
                case _:
                    task = asyncio.create_task(self._do(step), name=f"{type(step).__name__} {step.name}")
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        self._tell()
        self._set_timer(now)

    def _look(self, now: float) -> None:
        if now - self._measured >= MEASURED_FOR_S:
            self.ledger.budget, self._measured = self._measure(), now

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.ledger.accounts or not any(account.held for account in self.ledger.accounts.values()):
            return
        wait = max(0.02, min(self.ledger.next_at() - now, LOOK_EVERY_S))
        self._timer = asyncio.get_running_loop().call_later(wait, self.pump)

    async def _do(self, step: Step) -> None:
        name = step.name
        mover = self._movers.get(name, self._mover)
        try:
            match step:
                case Load():
                    async with self._alone(name):
                        laid = self.ledger.laid_anew(name)
                        became = await mover.load(name, laid, lambda done: self._moved(name, done))
                        self.ledger.loaded(name, self._clock(), became)
                case Open():
                    async with self._alone(name):
                        await mover.open(name)
                        self.ledger.loaded(name, self._clock())
                case Cool():
                    if await mover.cool(name):
                        self.ledger.cooled(name)
                    else:
                        self.ledger.gone(name)
                case Leave():
                    await mover.unload(name)
                    self.ledger.gone(name)
        except LocalmindError as problem:
            self.ledger.gone(name)
            self._fail(name, problem)
        except Exception as problem:
            log.exception("%s failed", step)
            self.ledger.gone(name)
            self._fail(name, InternalError(f"{type(problem).__name__}: {problem}", hint="localmind doctor"))
        finally:
            self.pump()

    @contextlib.asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        """While no other model is loaded, and with memory as it is when none is."""
        async with self._one_load:
            if self._stopped:
                raise ShuttingDown("the daemon is stopping", hint="send the request again in a moment")
            self._loading = name
            self.ledger.budget, self._measured = self._measure(), self._clock()
            try:
                self._tell()
                yield
            finally:
                self._loading = ""

    def _moved(self, name: str, done: float) -> None:
        if name in self._waiting:
            self._waiting[name].loaded = done
            self._tell()

    def _fail(self, name: str, problem: LocalmindError) -> None:
        for _ in range(self.ledger.account(name).waiting):
            self.ledger.give_up(name)
        self._answer(name, problem)

    def _answer(self, name: str, problem: LocalmindError) -> None:
        for ticket in self._waiting.pop(name, _Waiting()).tickets:
            ticket.admitted.set_exception(problem)
            ticket.admitted.exception()  # whoever has gone meanwhile does not ask


def _no_room(refused: Refuse) -> NoRoom:
    needs, room = in_words(refused.needs), in_words(refused.room)
    where = "models may have" if refused.device == "RAM" else f"{refused.device} has for models"
    beside = f" beside {', '.join(refused.pinned)}, pinned" if refused.pinned else ""
    hint = (
        f"localmind models unload {refused.pinned[0]}"
        if refused.pinned
        else "choose a smaller model, or set `context` lower or `models_memory_mb` higher in settings.toml"
    )
    return NoRoom(
        f"{refused.name} needs {needs} of memory, and {where} {room}{beside}",
        hint=hint,
        numbers={"needed_bytes": refused.needs, "available_bytes": refused.room},
    )


def in_words(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"


def _finite(number: float) -> float | None:
    """JSON has no infinity: None is for ever."""
    return None if math.isinf(number) else number
