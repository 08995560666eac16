"""A KV memory and a model that are fakes but strict, and a sink that can be waited for.

The memory counts cells as llama.cpp's unified one does and remembers what each was computed from, so
that a row over wrong, missing or foreign cells is an assertion and not a subtly different answer.
"""

import threading
from array import array
from collections.abc import Callable, Hashable, Sequence

import numpy

from localmind.engine.generation import Ask, Outcome
from localmind.engine.loop import Loop
from localmind.engine.sequence import Row
from localmind.errors import LocalmindError
from localmind.events import Logprob, TokenLogprob
from localmind.messages import SamplingParams

END = 256
"""The fake vocabulary: 256 bytes, and this token that ends an answer."""

WAIT = 60.0

Cell = tuple[int, Hashable, bool]
"""The token that a cell was computed from, the adapters that it was computed with, and whether all layers have it:
what a copy brings back beyond the window is missing in the layers that have one."""


class FakeMemory:
    """Slots are lists of cell numbers; a cell is free when no slot lists it."""

    def __init__(self, capacity: int, kind: str = "any_prefix") -> None:
        self.capacity = capacity
        self.kind = kind
        self.window = 0
        self.slots: dict[int, list[int]] = {}
        self._cells: dict[int, Cell] = {}
        self._references: dict[int, int] = {}
        self._next = 0

    @property
    def used(self) -> int:
        return len(self._cells)

    def length(self, slot: int) -> int:
        return len(self.slots.get(slot, ()))

    def content(self, slot: int) -> list[Cell]:
        return [self._cells[cell] for cell in self.slots.get(slot, ())]

    def clear(self, slot: int, start: int) -> None:
        cells = self.slots.get(slot, [])
        assert self.kind != "whole" or start == 0 or start >= len(cells), "this memory cannot drop a tail"
        for cell in cells[start:]:
            self._references[cell] -= 1
            if not self._references[cell]:
                del self._references[cell], self._cells[cell]
        del cells[start:]
        if not cells:
            self.slots.pop(slot, None)

    def share(self, source: int, target: int, end: int) -> None:
        """As llama_memory_seq_cp: what is not there is not shared, without complaint."""
        assert self.kind != "whole" or end == self.length(source), "this memory can only be copied whole"
        assert not self.slots.get(target), "the target of a share must be empty"
        shared = self.slots.get(source, [])[:end]
        for cell in shared:
            self._references[cell] += 1
        if shared:
            self.slots[target] = list(shared)

    def add(self, slot: int, cells: Sequence[Cell]) -> bool:
        """New cells at the end of a slot. False, and nothing has changed, when there is no room."""
        if self.used + len(cells) > self.capacity:
            return False
        chain = self.slots.setdefault(slot, [])
        for cell in cells:
            self._cells[self._next] = cell
            self._references[self._next] = 1
            chain.append(self._next)
            self._next += 1
        return True


class FakeSampler:
    """Chooses by what the row's cells were computed from, so that wrong cells give a wrong answer."""

    def __init__(self, backend: "FakeBackend", params: SamplingParams, prompt_length: int) -> None:
        self._backend = backend
        self._params = params
        self._prompt_length = prompt_length
        self.finished = self.hurried = False
        self.ahead = array("i")
        self.closed = False

    def sample(self, index: int) -> int:
        assert not self.closed
        history = self._backend.outputs[index]
        return self._backend.next_token(history, len(history) - self._prompt_length)

    def logprobs(self, index: int, token: int) -> TokenLogprob | None:
        if self._params.logprobs is None:
            return None
        data = bytes([token]) if token < END else b""
        return TokenLogprob(Logprob(data.decode(errors="replace"), data, -1.0 - token, token))

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class FakeBackend:
    """Answers every request with `answer`, a byte a token; `before_step` may look, wait, raise or give a code."""

    def __init__(
        self,
        answer: bytes = b"hello",
        *,
        n_ctx: int = 256,
        n_batch: int = 32,
        n_slots: int = 8,
        max_running: int = 4,
        n_outputs: int = 16,
        kind: str = "any_prefix",
        idle_cells: int = 1 << 20,
        free_drafts: bool = False,
    ) -> None:
        self.n_ctx, self.n_ctx_seq, self.n_batch = n_ctx, n_ctx, n_batch
        self.n_slots, self.max_running, self.n_outputs = n_slots, max_running, n_outputs
        self.n_threads = 1
        self.kind = kind
        self.cell_bytes = 1
        self.window = 0
        self.can_fill = False
        self.idle_cells = idle_cells
        self.decode_costs = {1: 1.0, 16: 1.0} if free_drafts else {}
        self.answer = answer
        self.memory = FakeMemory(n_ctx, kind)
        self.before_step: Callable[[Sequence[Row]], int] = lambda rows: 0
        self.refuse_save: Callable[[], bool] = lambda: False
        self.refuse_restore: Callable[[], bool] = lambda: False
        self.outputs: dict[int, list[int]] = {}
        """By index in the batch: all tokens up to there, as the memory has them."""
        self.samplers: list[FakeSampler] = []
        self.steps: list[list[tuple[int, int]]] = []
        self.threads: list[int] = []
        self.closed = False
        self.interrupted = threading.Event()
        self._adapters: Hashable = ()
        self._known_adapters: list[Hashable] = [()]

    def interrupt(self, now: bool) -> None:
        if now:
            self.interrupted.set()
        else:
            self.interrupted.clear()

    def next_token(self, history: Sequence[int], place: int) -> int:
        return self.answer[place] if place < len(self.answer) else END

    def evaluate(self, rows: Sequence[Row], fill: int = 0) -> tuple[int, list[int]]:
        assert rows
        assert not fill
        n_tokens = sum(row.n_tokens for row in rows)
        assert n_tokens <= self.n_batch
        assert sum(1 + len(row.draft) for row in rows if row.samples) <= self.n_outputs
        assert len({row.sequence.slot for row in rows}) == len(rows)
        for row in rows:
            tokens = row.sequence.tokens
            assert row.count > 0
            assert row.sequence.group == self._adapters
            assert row.samples == (row.start + row.count == len(tokens)), "logits of the last token, and only of it"
            assert row.samples or not row.draft
        code = self.before_step(rows)
        if code in (2, -3):  # parts of the batch may have been evaluated
            self.memory.add(rows[0].sequence.slot, [(0, "unfinished", True)])
        if code:
            return code, []
        if self.memory.used + n_tokens > self.memory.capacity:
            return 1, []
        if any(self.memory.length(row.sequence.slot) != row.start for row in rows):
            return -1, []
        self.outputs, indices, index = {}, [], -1
        for row in rows:
            tokens = row.sequence.tokens
            content = self.memory.content(row.sequence.slot)
            expected = [(token, self._adapters) for token in tokens[: row.start]]
            assert [cell[:2] for cell in content] == expected, "a slot holds its sequence's beginning"
            seen = content[max(0, row.start - self.window + 1) :] if self.window else content
            assert all(complete for _, _, complete in seen), "no row looks back on what a copy did not bring"
            new = [*tokens[row.start : row.start + row.count], *row.draft]
            assert self.memory.add(row.sequence.slot, [(token, self._adapters, True) for token in new])
            index += row.count
            indices.append(index)
            if row.samples:
                for drafted in range(len(row.draft) + 1):
                    self.outputs[index + drafted] = [*tokens, *row.draft[:drafted]]
            index += len(row.draft)
        self.steps.append([(row.sequence.number, row.n_tokens) for row in rows])
        return 0, indices

    def clear(self, slot: int, start: int) -> None:
        self.memory.clear(slot, start)

    def share(self, source: int, target: int, end: int) -> None:
        self.memory.share(source, target, end)

    def save(self, slot: int) -> "numpy.ndarray":
        if self.refuse_save():
            raise MemoryError
        known = self._known_adapters
        cells = [(token, known.index(group), complete) for token, group, complete in self.memory.content(slot)]
        return numpy.array(cells, dtype=numpy.int32).reshape(-1).view(numpy.uint8)

    def restore(self, slot: int, state: "numpy.ndarray") -> bool:
        assert not self.memory.slots.get(slot), "a state goes into an empty slot"
        if self.refuse_restore():
            return False
        cells = state.view(numpy.int32).reshape(-1, 3).tolist()
        first = len(cells) - self.window if self.window else 0
        return self.memory.add(
            slot,
            [
                (token, self._known_adapters[group], bool(complete) and place >= first)
                for place, (token, group, complete) in enumerate(cells)
            ],
        )

    def length(self, slot: int) -> int:
        return self.memory.length(slot)

    def set_threads(self, count: int) -> None:
        self.threads.append(count)

    def use_adapters(self, adapters: Hashable) -> None:
        self._adapters = adapters
        if adapters not in self._known_adapters:
            self._known_adapters.append(adapters)

    def sampler(self, params: SamplingParams, constraint: object, prompt: "array[int]", room: int) -> FakeSampler:
        self.samplers.append(FakeSampler(self, params, len(prompt)))
        return self.samplers[-1]

    def piece(self, token: int, shown: frozenset[str]) -> bytes:
        return bytes([token])

    def ends(self, token: int) -> bool:
        return token == END

    def close(self) -> None:
        self.closed = True


class FakeSink:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.logprobs: list[tuple[str, tuple[TokenLogprob, ...]]] = []
        """Every text with what came along with it."""
        self.outcome: Outcome | None = None
        self.error: LocalmindError | None = None
        self.first = threading.Event()
        self.ended = threading.Event()
        self.ends = 0

    def text(self, text: str, logprobs: Sequence[TokenLogprob]) -> None:
        assert not self.ends, "text after the end"
        self.texts.append(text)
        self.logprobs.append((text, tuple(logprobs)))
        self.first.set()

    def done(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.ends += 1
        self.ended.set()

    def failed(self, error: LocalmindError) -> None:
        self.error = error
        self.ends += 1
        self.ended.set()

    def wait(self) -> "FakeSink":
        assert self.ended.wait(WAIT), "the request did not end"
        return self

    @property
    def answer(self) -> str:
        return "".join(self.texts)


def prompt(length: int, first: int = ord("p")) -> "array[int]":
    """`length` tokens that all differ from those of a prompt with another `first`."""
    return array("i", [first] * length)


def ask(length: int, first: int = ord("p"), *, client: str = "", background: bool = False, **params: object) -> Ask:
    return Ask(prompt(length, first), SamplingParams(**params), client=client, background=background)


class Gate:
    """Stops the loop before each step until the test lets it go on."""

    def __init__(self, backend: FakeBackend) -> None:
        self.arrived = threading.Semaphore(0)
        self._permits = threading.Semaphore(0)
        self._open = False
        backend.before_step = self._wait

    def _wait(self, rows) -> int:
        self.arrived.release()
        if not self._open:
            assert self._permits.acquire(timeout=WAIT)
        return 0

    def await_step(self) -> None:
        """Return once the loop is inside a step (its rows are chosen)."""
        assert self.arrived.acquire(timeout=WAIT)

    def let_one_pass(self) -> None:
        self._permits.release()

    def open(self) -> None:
        self._open = True
        self._permits.release(1000)


def state_of(loop: Loop) -> dict:
    found, came = {}, threading.Event()

    def then(state: dict) -> None:
        found.update(state)
        came.set()

    loop.inspect(then)
    assert came.wait(WAIT)
    return found


def assert_settled(loop: Loop, backend: FakeBackend) -> None:
    """Nothing runs, and the ledger counts what the memory has."""
    state_of(loop)
    state = state_of(loop)  # the second answer comes after the step that cleared
    assert (state["running"], state["parked"], state["queued"]) == (0, 0, 0)
    assert state["cells_used"] == backend.memory.used
    assert all(sampler.closed for sampler in backend.samplers)
