"""The ledger against every order of events that hypothesis thinks of, and single decisions one by one."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from localmind.machine.amounts import RAM, Bytes, overdrawn
from localmind.machine.booking import Admit, Cool, Laid, Lay, Leave, Load, Open, Refuse, Step
from localmind.machine.ledger import Ledger

NAMES = ("a", "b", "c", "d", "huge")
SIZES = {"a": (3, 2), "b": (4, 1), "c": (2, 4), "d": (6, 3), "huge": (40, 1)}


def rigid(weights: int, context: int, device: str = RAM) -> Lay:
    return lambda room: Laid({device: weights}, {device: context})


def elastic(weights: int, least: int, most: int) -> Lay:
    """A model that takes as much context as there is room for, and is the better for it."""

    def lay(room: Bytes) -> Laid:
        context = max(least, min(most, room.get(RAM, 0) - weights))
        return Laid({RAM: weights}, {RAM: context}, score=context)

    return lay


def steps(ledger: Ledger, now: float) -> list[Step]:
    found: list[Step] = []
    while (step := ledger.step(now)) is not None:
        found.append(step)
    return found


def served(ledger: Ledger, name: str, lay: Lay, now: float) -> None:
    """Bring a model in and leave it idle."""
    assert not ledger.enter(name, lay, now)
    assert any(isinstance(step, Load) for step in steps(ledger, now))
    ledger.loaded(name, now)
    assert steps(ledger, now) == [Admit(name, 1)]
    ledger.leave(name, now)


class Shell(RuleBasedStateMachine):
    """What the daemon does with a ledger, in any order and with any delay."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger({RAM: 10}, turn_s=3)
        self.now = 0.0
        self.under_way: list[Step] = []
        self.asked = dict.fromkeys(NAMES, 0)
        self.begun = dict.fromkeys(NAMES, 0)
        self.ended = dict.fromkeys(NAMES, 0)
        self.left = dict.fromkeys(NAMES, 0)
        self.refused = dict.fromkeys(NAMES, 0)

    def lay(self, name: str) -> Lay:
        return elastic(3, 1, 6) if name == "a" else rigid(*SIZES[name])

    def pump(self) -> None:
        for _ in range(100):
            users = {name: account.users for name, account in self.ledger.accounts.items()}
            stages = {name: account.stage for name, account in self.ledger.accounts.items()}
            pins = {name: account.pinned for name, account in self.ledger.accounts.items()}
            waiting = {name: account.waiting for name, account in self.ledger.accounts.items()}
            step = self.ledger.step(self.now)
            match step:
                case None:
                    return
                case Admit(name, count):
                    assert stages[name] == "hot"
                    self.begun[name] += count
                    continue
                case Refuse(name, count):
                    self.refused[name] += count
                    continue
                case Load(name):
                    assert stages[name] == "cold", "never loaded twice"
                case Open(name):
                    assert stages[name] == "warm"
                case Cool(name):
                    assert stages[name] == "hot"
                case Leave(name):
                    assert stages[name] in ("hot", "warm")
            if isinstance(step, Cool | Leave):
                assert users[name] == 0, "a busy model is never evicted"
                assert not pins[name] or waiting[name], "nor a pinned one"
            self.under_way.append(step)
        raise AssertionError("the ledger never comes to rest")

    @rule(name=st.sampled_from(NAMES))
    def ask(self, name: str) -> None:
        self.asked[name] += 1
        if self.ledger.enter(name, self.lay(name), self.now):
            assert self.ledger.account(name).stage == "hot"
            self.begun[name] += 1
        self.pump()

    @rule(name=st.sampled_from(NAMES))
    def end(self, name: str) -> None:
        if self.begun[name] > self.ended[name]:
            self.ended[name] += 1
            self.ledger.leave(name, self.now)
            self.pump()

    @rule(name=st.sampled_from(NAMES))
    def go_away(self, name: str) -> None:
        if self.waiting(name):
            self.left[name] += 1
            self.ledger.give_up(name)
            self.pump()

    @rule(which=st.integers(0, 9), well=st.booleans())
    def finish(self, which: int, well: bool) -> None:
        if not self.under_way:
            return
        match self.under_way.pop(which % len(self.under_way)):
            case Load(name) | Open(name) if well:
                self.ledger.loaded(name, self.now)
            case Load(name) | Open(name) as step:
                # The load failed: all who wait for it hear so.
                for _ in range(self.waiting(name)):
                    self.left[name] += 1
                    self.ledger.give_up(name)
                self.ledger.gone(name)
                assert step
            case Cool(name):
                self.ledger.cooled(name)
            case Leave(name):
                self.ledger.gone(name)
        self.pump()

    @rule(seconds=st.sampled_from((1.0, 4.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.pump()

    @rule(name=st.sampled_from(NAMES), keep=st.sampled_from((0.0, 2.0, float("inf"))), pinned=st.booleans())
    def set_keep(self, name: str, keep: float, pinned: bool) -> None:
        account = self.ledger.account(name)
        account.keep_s, account.pinned = keep, pinned and account.stage == "hot"
        self.pump()

    @rule(name=st.sampled_from(NAMES))
    def unload(self, name: str) -> None:
        self.ledger.account(name)
        self.ledger.depart(name)
        self.pump()

    def waiting(self, name: str) -> int:
        return self.asked[name] - self.begun[name] - self.left[name] - self.refused[name]

    @invariant()
    def books_are_right(self) -> None:
        assert not overdrawn(self.ledger.free), "never over-reserved"
        for name, account in self.ledger.accounts.items():
            assert account.waiting == self.waiting(name) >= 0
            assert account.users == self.begun[name] - self.ended[name] >= 0
            assert not account.users or account.stage == "hot"
            assert (account.stage == "cold") == (not account.held)

    @invariant()
    def there_is_always_a_time_to_look_again(self) -> None:
        if self.ledger.line() and not self.under_way:
            busy = any(account.users for account in self.ledger.accounts.values())
            assert busy, "who waits, waits for somebody who is at work"

    def teardown(self) -> None:
        for account in self.ledger.accounts.values():
            account.pinned = False
        for _ in range(300):
            if not any(self.waiting(name) for name in NAMES):
                return
            self.now += 1
            for name in NAMES:
                self.end(name)
            self.finish(0, True)
            self.pump()
        raise AssertionError(f"somebody waits for ever: {self.ledger}")


TestAnyOrder = Shell.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40)


def test_the_idle_model_used_longest_ago_gives_its_context_first_and_then_its_weights() -> None:
    ledger = Ledger({RAM: 12})
    served(ledger, "old", rigid(3, 2), 0)
    served(ledger, "new", rigid(3, 2), 1)
    ledger.enter("third", rigid(2, 2), 2)
    assert steps(ledger, 2) == [Cool("old")]
    ledger.cooled("old")
    assert [type(step) for step in steps(ledger, 2)] == [Load]
    ledger.loaded("third", 2)
    steps(ledger, 2)
    ledger.enter("fourth", rigid(3, 0), 3)
    assert steps(ledger, 3) == [Leave("old")]


def test_nothing_is_taken_in_vain() -> None:
    ledger = Ledger({RAM: 12})
    served(ledger, "small", rigid(1, 1), 0)
    served(ledger, "large", rigid(9, 1), 1)
    ledger.enter("next", rigid(6, 1), 2)
    assert steps(ledger, 2) == [Leave("large")], "what the older, small one has would not have helped"


def test_a_model_comes_back_from_warm_without_a_load() -> None:
    ledger = Ledger({RAM: 10})
    served(ledger, "a", rigid(3, 2), 0)
    ledger.account("a").keep_s = 10
    assert steps(ledger, 4.9) == []
    assert steps(ledger, 5) == [Cool("a")]
    ledger.cooled("a")
    assert ledger.held == {RAM: 3}
    assert not ledger.enter("a", rigid(3, 2), 6)
    assert steps(ledger, 6) == [Open("a")]
    ledger.loaded("a", 6)
    assert steps(ledger, 6) == [Admit("a", 1)]


def test_keep_alive_of_nothing_ends_with_the_request_and_a_pin_outlives_any() -> None:
    ledger = Ledger({RAM: 20})
    served(ledger, "a", rigid(3, 2), 0)
    served(ledger, "b", rigid(3, 2), 0)
    ledger.account("a").keep_s = 0
    ledger.account("b").keep_s, ledger.account("b").pinned = 0, True
    assert steps(ledger, 1e9) == [Leave("a")]


def test_time_is_told_to_look_again() -> None:
    ledger = Ledger({RAM: 10}, turn_s=3)
    served(ledger, "a", rigid(3, 2), 0)
    assert ledger.next_at() == float("inf")
    ledger.account("a").keep_s = 10
    assert ledger.next_at() == 5
    ledger.enter("a", rigid(3, 2), 1)
    ledger.enter("d", rigid(6, 3), 2)
    assert steps(ledger, 2) == []
    assert ledger.next_at() == 3


def test_who_waits_long_enough_is_not_passed_by_a_stream_of_others() -> None:
    ledger = Ledger({RAM: 10}, turn_s=3)
    served(ledger, "a", rigid(6, 2), 0)
    assert ledger.enter("a", rigid(6, 2), 1)
    ledger.enter("d", rigid(6, 3), 2)
    assert steps(ledger, 2) == []
    assert ledger.enter("a", rigid(6, 2), 4), "within its turn it takes more"
    assert steps(ledger, 5) == []
    assert ledger.draining("a")
    assert not ledger.enter("a", rigid(6, 2), 6), "then others come after those who wait"
    ledger.leave("a", 7)
    assert steps(ledger, 7) == []
    ledger.leave("a", 8)
    assert steps(ledger, 8) == [Leave("a")]
    ledger.gone("a")
    assert [type(step) for step in steps(ledger, 8)] == [Load]


def test_a_small_one_may_pass_only_if_the_first_in_line_loses_nothing() -> None:
    ledger = Ledger({RAM: 10}, turn_s=3)
    served(ledger, "a", rigid(5, 2), 0)
    ledger.enter("a", rigid(5, 2), 1)
    ledger.enter("d", rigid(6, 3), 2)
    ledger.enter("tiny", rigid(1, 0), 3)
    assert [step.name for step in steps(ledger, 3)] == ["tiny"]
    ledger.enter("b", rigid(2, 0), 4)
    assert steps(ledger, 4) == [], "d would not fit beside b when a has gone"


@pytest.mark.parametrize(("pin", "named"), [(False, ()), (True, ("a",))])
def test_what_can_never_fit_is_refused_with_both_numbers(pin: bool, named: tuple[str, ...]) -> None:
    ledger = Ledger({RAM: 10})
    served(ledger, "a", rigid(3, 2), 0)
    ledger.account("a").pinned = pin
    ledger.enter("d", rigid(6, 0) if pin else rigid(11, 0), 1)
    (refused,) = steps(ledger, 1)
    assert refused == Refuse("d", 1, RAM, 6 if pin else 11, 5 if pin else 10, named)


def test_a_better_plan_is_worth_an_idle_model_but_no_busy_one() -> None:
    ledger = Ledger({RAM: 12})
    served(ledger, "b", rigid(4, 2), 0)
    ledger.enter("a", elastic(3, 1, 6), 1)
    assert steps(ledger, 1) == [Leave("b")]
    ledger = Ledger({RAM: 12})
    served(ledger, "b", rigid(4, 2), 0)
    ledger.enter("b", rigid(4, 2), 1)
    ledger.enter("a", elastic(3, 1, 6), 1)
    (step,) = steps(ledger, 1)
    assert isinstance(step, Load)
    assert step.laid.context == {RAM: 3}


def test_memory_that_other_programs_take_is_given_back_by_idle_models() -> None:
    ledger = Ledger({RAM: 20, "GPU": 5})
    served(ledger, "a", rigid(3, 2), 0)
    served(ledger, "b", rigid(3, 2, "GPU"), 1)
    ledger.budget = {RAM: 3, "GPU": 5}
    assert steps(ledger, 2) == [Cool("a")]


def test_devices_are_booked_apart() -> None:
    ledger = Ledger({RAM: 5, "GPU": 5})
    served(ledger, "a", rigid(3, 2, "GPU"), 0)
    ledger.enter("a", rigid(3, 2, "GPU"), 0)
    ledger.enter("b", rigid(3, 2), 1)
    assert [type(step) for step in steps(ledger, 1)] == [Load]
    assert ledger.free == {RAM: 0, "GPU": 0}


def test_what_a_load_really_became_is_booked() -> None:
    ledger = Ledger({RAM: 10})
    ledger.enter("a", rigid(3, 5), 0)
    steps(ledger, 0)
    assert ledger.free == {RAM: 2}
    ledger.loaded("a", 1, Laid({RAM: 3}, {RAM: 1}))
    assert ledger.free == {RAM: 6}


def test_a_warm_model_whose_context_fits_no_more_is_laid_anew() -> None:
    ledger = Ledger({RAM: 10})
    served(ledger, "a", elastic(3, 1, 6), 0)
    ledger.account("a").keep_s = 10
    assert steps(ledger, 5) == [Cool("a")]
    ledger.cooled("a")
    served_lay: Callable[[Bytes], Laid] = rigid(4, 0)
    served(ledger, "b", served_lay, 6)
    ledger.enter("b", served_lay, 6)
    ledger.enter("a", elastic(3, 1, 6), 7)
    assert steps(ledger, 7) == [Leave("a")]
    ledger.gone("a")
    (step,) = steps(ledger, 7)
    assert isinstance(step, Load)
    assert step.laid.context == {RAM: 3}
