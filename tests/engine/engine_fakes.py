"""A backend without a model, and a sink that can be waited for."""

import threading
from array import array
from collections.abc import Callable, Sequence

from localmind.engine.loop import Outcome
from localmind.engine.sequence import Row
from localmind.errors import LocalmindError
from localmind.messages import SamplingParams

END = 256
"""The fake vocabulary: 256 bytes, and this token that ends an answer."""

WAIT = 10.0


class FakeSampler:
    def __init__(self, answer: bytes) -> None:
        self._tokens = iter([*answer, END])
        self.closed = False

    def sample(self, index: int) -> int:
        return next(self._tokens)

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class FakeBackend:
    """Answers every request with `answer`, a byte a token; `before_step` may look, wait or raise."""

    def __init__(self, answer: bytes = b"hello", *, n_ctx: int = 256, n_batch: int = 32, n_slots: int = 4) -> None:
        self.n_ctx, self.n_batch, self.n_slots = n_ctx, n_batch, n_slots
        self.n_ctx_seq = n_ctx
        self.answer = answer
        self.before_step: Callable[[Sequence[Row]], int] = lambda rows: 0
        self.memory: dict[int, list[int]] = {}
        self.samplers: list[FakeSampler] = []
        self.steps: list[list[tuple[int, int]]] = []
        self.closed = False

    def evaluate(self, rows: Sequence[Row]) -> tuple[int, list[int]]:
        code = self.before_step(rows)
        if code:
            return code, []
        indices, index = [], -1
        for row in rows:
            cells = self.memory.setdefault(row.sequence.slot, [])
            assert len(cells) == row.start, "a row must continue what its slot holds"
            cells.extend(row.sequence.tokens[row.start : row.start + row.count])
            index += row.count
            indices.append(index)
        self.steps.append([(row.sequence.number, row.count) for row in rows])
        assert sum(map(len, self.memory.values())) <= self.n_ctx
        return 0, indices

    def clear(self, slot: int) -> None:
        self.memory.pop(slot, None)

    def sampler(self, params: SamplingParams) -> FakeSampler:
        self.samplers.append(FakeSampler(self.answer))
        return self.samplers[-1]

    def piece(self, token: int) -> bytes:
        return bytes([token])

    def ends(self, token: int) -> bool:
        return token == END

    def close(self) -> None:
        self.closed = True


class FakeSink:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.outcome: Outcome | None = None
        self.error: LocalmindError | None = None
        self.first = threading.Event()
        self.ended = threading.Event()

    def text(self, text: str) -> None:
        self.texts.append(text)
        self.first.set()

    def done(self, outcome: Outcome) -> None:
        assert not self.ended.is_set()
        self.outcome = outcome
        self.ended.set()

    def failed(self, error: LocalmindError) -> None:
        assert not self.ended.is_set()
        self.error = error
        self.ended.set()

    def wait(self) -> "FakeSink":
        assert self.ended.wait(WAIT), "the request did not end"
        return self

    @property
    def answer(self) -> str:
        return "".join(self.texts)


def prompt(length: int) -> "array[int]":
    return array("i", [ord("p")] * length)
