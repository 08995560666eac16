"""The loop's memory over a fake backend: prefixes found again, parked requests, and states on disk."""

import threading
from array import array
from collections.abc import Callable, Hashable

import pytest
from engine_fakes import WAIT, FakeBackend, FakeSink, Gate, ask, assert_settled, prompt, state_of

from localmind.engine.loop import Limits, Loop
from localmind.engine.sequence import State
from localmind.errors import Cancelled, QueueFull, ShuttingDown


def test_a_prompt_that_was_there_before_is_not_evaluated_again_and_says_so(loops):
    backend = FakeBackend(n_ctx=1024)
    loops.append(loop := Loop(backend))
    sinks = [FakeSink(), FakeSink()]
    for sink in sinks:
        loop.submit(ask(100), sink)
        sink.wait()
    assert [sink.outcome.usage.cached_tokens for sink in sinks] == [0, 99]
    assert [sink.outcome.sequence.source for sink in sinks] == ["none", "pool"]
    assert [sink.answer for sink in sinks] == ["hello"] * 2


def test_background_is_parked_for_a_person_goes_on_afterwards_and_reports_the_time(loops):
    backend = FakeBackend(b"x" * 60, n_ctx=100)
    gate = Gate(backend)
    loops.append(loop := Loop(backend, Limits(ram_bytes=1000)))
    indexer, person = FakeSink(), FakeSink()
    loop.submit(ask(30, ord("i"), client="indexer", background=True, max_tokens=60), indexer)
    for _ in range(3):
        gate.await_step()
        gate.let_one_pass()
    gate.await_step()
    loop.submit(ask(30, ord("p"), client="person", max_tokens=20), person)
    gate.open()
    assert person.wait().answer == "x" * 20
    assert indexer.wait().answer == "x" * 60
    assert person.outcome.timings.parked_ms == 0 < indexer.outcome.timings.parked_ms
    assert indexer.outcome.timings.parked_ms <= indexer.outcome.timings.decode_ms
    assert state_of(loop)["parkings"] == 1
    evaluated = sum(count for step in backend.steps for number, count in step if number == 1)
    assert evaluated == 30 + 59, "it went on where it was"


def test_cancelling_a_parked_request_forgets_its_copy(loops):
    backend = FakeBackend(b"x" * 60, n_ctx=100)
    gate = Gate(backend)
    loops.append(loop := Loop(backend, Limits(ram_bytes=1000)))
    indexer, person = FakeSink(), FakeSink()
    parked = loop.submit(ask(30, ord("i"), background=True, max_tokens=60), indexer)
    gate.await_step()
    gate.let_one_pass()
    gate.await_step()
    loop.submit(ask(30, ord("p"), max_tokens=20), person)
    gate.let_one_pass()
    gate.await_step()
    seen = parked.state
    loop.cancel(parked)
    gate.open()
    assert seen is State.PARKED
    assert isinstance(indexer.wait().error, Cancelled)
    assert person.wait().answer == "x" * 20
    assert_settled(loop, backend)
    assert state_of(loop)["cells_in_ram"] == 0


class FakeShelf:
    """Knows one prefix; gives it when the test says so."""

    def __init__(self, length: int = 0, state: object = None) -> None:
        self.tokens, self.state = prompt(length), state
        self.group: Hashable = ()
        self.asked = threading.Event()
        self.stored: list[list[int]] = []
        self.groups: list[Hashable] = []
        self.closed = False
        self._then: Callable | None = None

    def find(self, tokens: "array[int]", group: Hashable) -> tuple[str, int]:
        common = 0
        while (
            group == self.group
            and common < min(len(tokens), len(self.tokens))
            and tokens[common] == self.tokens[common]
        ):
            common += 1
        return ("kept", common) if common else ("", 0)

    def load(self, name: str, then: Callable) -> None:
        assert name == "kept"
        self._then = then
        self.asked.set()

    def give(self) -> None:
        self._then(self.tokens, self.state)

    def store(self, tokens: "array[int]", state: object, then: Callable[[str], None], group: Hashable) -> None:
        assert state is not None
        self.stored.append(list(tokens))
        self.groups.append(group)
        then(f"stored{len(self.stored)}")

    def clear(self, then: Callable[[], None]) -> None:
        self.stored.clear()
        then()

    def close(self, timeout: float) -> None:
        self.closed = True


def kept_state(length: int) -> object:
    """What a backend saves of a prompt of so many tokens."""
    other = FakeBackend(n_ctx=1024)
    other.memory.add(0, [(token, (), True) for token in prompt(length)])
    return other.save(0)


def test_a_prefix_from_disk_is_fetched_before_the_request_starts_and_counts_as_cached(loops):
    backend = FakeBackend(n_ctx=1024)
    shelf = FakeShelf(300, kept_state(300))
    loops.append(loop := Loop(backend, Limits(ram_bytes=1000), shelf=shelf))
    sink, other = FakeSink(), FakeSink()
    loop.submit(ask(320), sink)
    assert shelf.asked.wait(WAIT)
    loop.submit(ask(20, ord("o")), other)
    assert other.wait().answer == "hello", "who needs nothing from disk does not wait for it"
    assert state_of(loop)["queued"] == 1
    assert not sink.first.is_set()
    shelf.give()
    assert sink.wait().answer == "hello"
    assert sink.outcome.usage.cached_tokens == 300
    assert sink.outcome.sequence.source == "disk"
    assert_settled(loop, backend)


def test_a_prefix_that_is_gone_or_damaged_costs_the_request_only_time(loops):
    backend = FakeBackend(n_ctx=1024)
    shelf = FakeShelf(300)
    loops.append(loop := Loop(backend, Limits(ram_bytes=1000), shelf=shelf))
    sink = FakeSink()
    loop.submit(ask(320), sink)
    assert shelf.asked.wait(WAIT)
    shelf.give()
    assert sink.wait().answer == "hello"
    assert sink.outcome.usage.cached_tokens == 0


def test_cancelling_while_the_prefix_comes_from_disk_ends_at_once_and_evaluates_nothing(loops):
    backend = FakeBackend(n_ctx=1024)
    shelf = FakeShelf(300, kept_state(300))
    loops.append(loop := Loop(backend, Limits(ram_bytes=1000), shelf=shelf))
    sink = FakeSink()
    sequence = loop.submit(ask(320), sink)
    assert shelf.asked.wait(WAIT)
    loop.cancel(sequence)
    assert isinstance(sink.wait().error, Cancelled)
    shelf.give()
    assert_settled(loop, backend)
    assert backend.steps == []
    assert sequence.state is State.FREE


def test_waiting_for_the_disk_counts_for_the_bound_of_the_queue(loops):
    backend = FakeBackend(n_ctx=1024)
    shelf = FakeShelf(300, kept_state(300))
    loops.append(loop := Loop(backend, Limits(max_queued=1, ram_bytes=1000), shelf=shelf))
    sink = FakeSink()
    loop.submit(ask(320), sink)
    assert shelf.asked.wait(WAIT)
    with pytest.raises(QueueFull):
        loop.submit(ask(320), FakeSink())
    shelf.give()
    sink.wait()


def test_stopping_writes_the_prefixes_of_what_ran_and_of_what_was_kept(loops):
    backend = FakeBackend(b"x" * 100, n_ctx=2048)
    shelf = FakeShelf()
    gate = Gate(backend)
    loop = Loop(backend, shelf=shelf)
    done, running = FakeSink(), FakeSink()
    loop.submit(ask(300, ord("d"), max_tokens=1), done)
    gate.open()
    done.wait()
    gate = Gate(backend)
    sequence = loop.submit(ask(400, ord("r")), running)
    while sequence.state is not State.DECODE:
        gate.await_step()
        gate.let_one_pass()
    gate.open()
    assert loop.stop(WAIT)
    assert isinstance(running.wait().error, ShuttingDown) or running.answer == "x" * 100
    assert sorted(tokens[0] for tokens in shelf.stored) == [ord("d"), ord("r")]
    assert all(len(tokens) >= 300 for tokens in shelf.stored)
    assert shelf.closed
    assert backend.closed


def test_forgetting_spares_the_answer_under_way_but_its_prompt_is_not_written_either(loops):
    backend = FakeBackend(b"x" * 100, n_ctx=2048)
    shelf = FakeShelf()
    gate = Gate(backend)
    loop = Loop(backend, shelf=shelf)
    done, running = FakeSink(), FakeSink()
    loop.submit(ask(300, ord("d"), max_tokens=1), done)
    gate.open()
    done.wait()
    gate = Gate(backend)
    sequence = loop.submit(ask(400, ord("r")), running)
    while sequence.state is not State.DECODE:
        gate.await_step()
        gate.let_one_pass()
    forgotten = threading.Event()
    loop.call_soon(lambda: loop.memory.forget(forgotten.set))
    gate.open()
    assert forgotten.wait(WAIT)
    assert running.wait().answer == "x" * 100
    assert loop.stop(WAIT)
    assert shelf.stored == []
