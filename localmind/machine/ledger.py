"""The ledger of memory: which models hold how many bytes on which device, who waits, and what is to be done next.

Pure: it knows no clock, no process and no file. Times are passed in, `step` says what to do and books it as
begun, and whoever did it reports the end (`loaded`, `cooled`, `gone`). Its promises: bytes are booked before a
load begins, one load a model however many wait, a model that is answering is never touched, the idle one used
longest ago goes first (its context before its weights), and whoever waits is served or refused, not forgotten.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from localmind.durations import FOREVER
from localmind.machine.amounts import NOTHING, Bytes, fits, minus, overdrawn, plus, total
from localmind.machine.booking import Account, Admit, Cool, Laid, Lay, Leave, Load, Open, Refuse, Step
from localmind.machine.making_room import Idle, choose

TURN_S = 3.0
"""A model that others wait for goes on taking requests this long; then it only finishes those it has."""


@dataclass(slots=True)
class Ledger:
    """`budget` is what all models may have together, by device; it may change at any time."""

    budget: Bytes
    turn_s: float = TURN_S
    accounts: dict[str, Account] = field(default_factory=dict)
    _draining: set[str] = field(default_factory=set)

    # --- what happens to it

    def account(self, name: str) -> Account:
        return self.accounts.setdefault(name, Account(name))

    def enter(self, name: str, lay: Lay, now: float) -> bool:
        """A request comes. True: it may begin. False: it waits until an Admit, a Refuse or its own `give_up`."""
        account = self.account(name)
        account.lay = lay
        if account.stage == "hot" and name not in self._draining and not account.waiting:
            account.users += 1
            account.departs = False
            return True
        if not account.waiting:
            account.since = now
        account.waiting += 1
        return False

    def give_up(self, name: str) -> None:
        """One of those who wait goes away."""
        self.accounts[name].waiting -= 1

    def leave(self, name: str, now: float) -> None:
        """A request that had begun has ended."""
        account = self.accounts[name]
        account.users -= 1
        account.used_at = now

    def depart(self, name: str) -> None:
        """Out of memory as soon as nobody uses it, whatever keep_alive says; a pin is lifted."""
        account = self.accounts[name]
        account.departs, account.pinned = account.stage != "cold", False

    def loaded(self, name: str, now: float, laid: Laid | None = None) -> None:
        """A Load or an Open ended well. `laid` is what it became, if that is less than was booked."""
        account = self.accounts[name]
        if laid is not None:
            account.laid = laid
        assert account.laid is not None
        account.held = plus(account.laid.weights, account.laid.context)
        account.stage, account.used_at, account.ready_at = "hot", now, now

    def rebook(self, name: str, laid: Laid) -> bool:
        """A hot model takes more than was booked, or less. False, and nothing is changed, if that is more than there
        is when all idle models have gone."""
        account = self.accounts[name]
        new = plus(laid.weights, laid.context)
        idle = total(each.held for each in self._idle() if each is not account)
        if not fits(minus(new, account.held), plus(plus(self.free, self._coming()), idle)):
            return False
        account.laid, account.held = laid, new
        return True

    def laid_anew(self, name: str) -> Laid:
        """How a model that is about to be loaded is laid now, when less is free than when it was booked; booked."""
        account = self.accounts[name]
        assert account.laid is not None
        assert account.lay is not None
        room = plus(self.free, account.held)
        if not fits(account.held, room):
            account.laid = account.lay(room)
            account.held = plus(account.laid.weights, account.laid.context)
        return account.laid

    def cooled(self, name: str) -> None:
        account = self.accounts[name]
        assert account.laid is not None
        account.stage, account.held = "warm", account.laid.weights

    def gone(self, name: str) -> None:
        """It holds nothing any more: unloaded, dead, or its load failed."""
        account = self.accounts[name]
        account.stage, account.held, account.laid, account.departs = "cold", NOTHING, None, False
        self._draining.discard(name)

    # --- what it says

    @property
    def held(self) -> Bytes:
        return total(account.held for account in self.accounts.values())

    @property
    def free(self) -> Bytes:
        """By device; below zero when the budget has shrunk."""
        return minus(self.budget, self.held)

    def line(self) -> list[Account]:
        """Models that somebody waits for and that are not on their way yet, in the order they are served."""
        waiting = [each for each in self.accounts.values() if each.waiting and each.stage in ("cold", "warm")]
        return sorted(waiting, key=lambda each: each.since)

    def draining(self, name: str) -> bool:
        """It takes no new requests, since others wait for its room."""
        return name in self._draining

    def next_at(self) -> float:
        """When time alone will change something; infinite if never."""
        times = [FOREVER]
        for account in self.accounts.values():
            if account.idle and not account.pinned:
                times += account.expires_at(), account.cools_at()
            if account.waiting:
                times.append(account.since + self.turn_s)
                times += (each.ready_at + self.turn_s for each in self.accounts.values() if each.users)
        return min(times)

    def step(self, now: float) -> Step | None:
        """What to do now, booked as begun; None when nothing can be done before something ends. Ask until None."""
        found = self._serve_line(now)
        if found is not None:
            return found
        for account in self.accounts.values():
            if account.stage == "hot" and account.waiting and account.name not in self._draining:
                count, account.waiting = account.waiting, 0
                account.users += count
                account.departs = False
                return Admit(account.name, count)
        idle = self._idle()
        for account in idle:
            if account.waiting:
                continue
            if account.departs or now >= account.expires_at():
                return self._leave(account)
            if now >= account.cools_at():
                return self._cool(account)
        if overdrawn(plus(self.free, self._coming())):
            # As much as is missing, or all there is: another program has taken the memory.
            return self._make_room(lambda room: not overdrawn(room), self.free, idle) or self._first(idle)
        return None

    # --- the line

    def _serve_line(self, now: float) -> Step | None:
        line = self.line()
        if not line:
            self._draining.clear()
            return None
        head, *rest = line
        found, waits = self._serve(head, now)
        if found is not None:
            return found
        if not waits:  # room is on its way
            self._draining.clear()
            return None
        leaving = self._drain(head, now)
        for other in rest:
            laid = _laid(other, self.free)
            need = _need(other, laid)
            after = minus(self._room_without(leaving), need)
            good = laid.score >= _laid(other, self._room_without(())).score
            if good and fits(need, self.free) and fits(_need(head, _laid(head, after)), after):
                return self._grant(other, laid)
        return None

    def _serve(self, head: Account, now: float) -> tuple[Step | None, bool]:
        """What is to be done for the first in the line; and whether it has to wait for models that are answering."""
        coming = plus(self.free, self._coming())
        idle = [each for each in self._idle() if each is not head]
        most = plus(coming, total(each.held for each in idle))
        best = _laid(head, most)
        if not fits(_need(head, best), most):
            if head.stage == "warm":
                return self._leave(head), False  # laid anew, it may fit
            return self._refuse(head), True

        def enough(room: Bytes) -> bool:
            laid = _laid(head, room)
            return fits(_need(head, laid), room) and laid.score >= best.score

        if enough(self.free):
            return self._grant(head, _laid(head, self.free)), False
        if enough(coming):
            return None, False
        return self._make_room(enough, coming, idle), False

    def _refuse(self, head: Account) -> Refuse | None:
        others = [each for each in self.accounts.values() if each.pinned and each is not head]
        for room, pinned in (
            (self.budget, ()),
            (minus(self.budget, total(each.held for each in others)), tuple(each.name for each in others if each.held)),
        ):
            need = _need(head, _laid(head, room))
            if not fits(need, room):
                device = max(need, key=lambda each: need[each] - room.get(each, 0))
                count, head.waiting = head.waiting, 0
                return Refuse(head.name, count, device, need[device], max(0, room.get(device, 0)), pinned)
        return None

    def _drain(self, head: Account, now: float) -> list[Account]:
        """Models whose going would let the first in the line in; after a turn they take no new requests."""
        busy = [each for each in self.accounts.values() if each.stage == "hot" and each.users and not each.pinned]
        busy.sort(key=lambda each: (each.name not in self._draining, each.used_at))
        chosen: list[Account] = []
        for account in busy:
            room = self._room_without(chosen)
            if fits(_need(head, _laid(head, room)), room):
                break
            chosen.append(account)
        waited = now - head.since >= self.turn_s
        self._draining = {each.name for each in chosen if waited and now - each.ready_at >= self.turn_s}
        return chosen

    def _room_without(self, leaving: Iterable[Account]) -> Bytes:
        going = total(each.held for each in (*self._idle(), *leaving))
        return plus(plus(self.free, self._coming()), going)

    def _coming(self) -> Bytes:
        """What will be free when all that is under way has ended."""
        going = [each.held for each in self.accounts.values() if each.stage == "leaving"]
        going += [each.laid.context for each in self.accounts.values() if each.stage == "cooling" and each.laid]
        return total(going)

    def _idle(self) -> list[Account]:
        """What may be taken out of memory, the one used longest ago first."""
        found = [
            each
            for each in self.accounts.values()
            if each.idle and not each.pinned and (not each.waiting or each.name in self._draining)
        ]
        return sorted(found, key=lambda each: each.used_at)

    # --- booking

    def _make_room(self, enough: Callable[[Bytes], bool], room: Bytes, idle: list[Account]) -> Step | None:
        choice = choose(enough, room, [_as_idle(each) for each in idle])
        for account, how in zip(idle, choice or (), strict=False):
            if how:
                return self._cool(account) if how == "context" else self._leave(account)
        return None

    def _first(self, idle: list[Account]) -> Step | None:
        return self._leave(idle[0]) if idle else None

    def _grant(self, account: Account, laid: Laid) -> Step:
        account.held = plus(account.held, _need(account, laid))
        if account.stage == "warm":
            account.stage = "opening"
            return Open(account.name)
        account.stage, account.laid = "loading", laid
        return Load(account.name, laid)

    def _cool(self, account: Account) -> Cool:
        account.stage = "cooling"
        return Cool(account.name)

    def _leave(self, account: Account) -> Leave:
        account.stage = "leaving"
        return Leave(account.name)


def _as_idle(account: Account) -> Idle:
    context = account.laid.context if account.laid is not None and account.stage == "hot" else NOTHING
    return Idle(context, minus(account.held, context))


def _laid(account: Account, room: Bytes) -> Laid:
    """A warm model keeps the plan it has; a cold one is laid in the room there is."""
    if account.stage == "warm" and account.laid is not None:
        return account.laid
    assert account.lay is not None
    return account.lay(room)


def _need(account: Account, laid: Laid) -> Bytes:
    return laid.context if account.stage == "warm" else plus(laid.weights, laid.context)
