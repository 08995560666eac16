"""Exceptions in the middle of a step's changes to the memory: the ledger never differs from what is there."""

from array import array

import pytest
from engine_fakes import FakeBackend
from fake_machine import Machine, alone, next_token

from localmind.engine.memory import MOST_FRESH_STARTS
from localmind.engine.sequence import State, Step

DOCUMENT = [next_token([place]) for place in range(60)]


class FakeBrokenBackend(FakeBackend):
    """Raises in the call after so many others, once; before or after having done what it was asked for."""

    fuse = -1
    broken = ""
    after = False

    def _may(self, name: str) -> bool:
        self.fuse -= 1
        if self.fuse == -1:
            self.broken = name
            return False
        return True

    def _done(self, name: str, call, *given):
        if self._may(name):
            return call(*given)
        if self.after:
            call(*given)
        raise RuntimeError(f"{name} failed")

    def clear(self, slot: int, start: int) -> None:
        self._done("clear", super().clear, slot, start)

    def share(self, source: int, target: int, end: int) -> None:
        self._done("share", super().share, source, target, end)

    def save(self, slot: int) -> object:
        return self._done("save", super().save, slot)

    def restore(self, slot: int, state: object) -> bool:
        return self._done("restore", super().restore, slot, state)


class FakeBrokenMachine(Machine):
    failures = 0

    def step(self) -> Step:
        backend = self.backend
        backend.after = self.chance.random() < 0.5
        backend.fuse = self.chance.randrange(4) if self.failures < MOST_FRESH_STARTS else -1
        backend.broken = ""
        try:
            return super().step()
        finally:
            self.failures += bool(backend.broken)
            self.seen.add(backend.broken)
            backend.fuse = -1

    def __init__(self, seed: int, kind: str) -> None:
        super().__init__(
            200, n_slots=5, kind=kind, ram_cells=300, idle_cells=20, seed=seed, trouble=1e-9, backend=FakeBrokenBackend
        )
        self.seen: set[str] = set()


def test_whatever_fails_in_between_nobody_gets_another_answer_and_the_ledger_holds() -> None:
    seen: set[str] = set()
    for seed in range(30):
        machine = FakeBrokenMachine(seed, "whole" if seed % 3 == 0 else "any_prefix")
        prompts = [
            [*DOCUMENT[: machine.chance.randrange(5, 60)], machine.chance.randrange(5)]
            for _ in range(machine.chance.randrange(3, 12))
        ]
        asked = {}
        for prompt in prompts:
            sequence = machine.submit(prompt, 12)
            asked[sequence.number] = alone(prompt, len(prompt) + 12)
            for _ in range(machine.chance.randrange(6)):
                machine.step()
        machine.run(3000)  # the machine checks ledger against memory after each step
        assert machine.answers == asked
        seen |= machine.seen
    assert seen >= {"clear", "share", "save", "restore"}


def test_a_memory_that_fails_again_and_again_fails_requests_but_leaves_no_cell_behind() -> None:
    machine = Machine(200, backend=FakeBrokenBackend)
    backend, running = machine.backend, machine.submit(DOCUMENT, 20)
    machine.step()
    for number in range(MOST_FRESH_STARTS + 1):
        machine.scheduler.pool.trim(running)
        backend.fuse = 0
        step = machine.scheduler.step()
        if number < MOST_FRESH_STARTS:
            assert machine.memory.apply(step) == ()
        else:
            with pytest.raises(RuntimeError, match="clear failed"):
                machine.memory.apply(step)
        assert backend.memory.used == machine.scheduler.pool.cells.used == 0
        assert (running.state, running.stored) == (State.PREFILL, 0)
    assert running.tokens[: len(DOCUMENT)] == array("i", DOCUMENT)
