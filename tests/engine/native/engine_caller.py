"""Calls an EngineWorker inside this process as the daemon would, and waits for its answers."""

import contextlib
import threading
from typing import Any

from localmind.engine.worker import EngineWorker
from localmind.errors import LocalmindError

WAIT = 240.0
PLAN = {
    "n_ctx": 512,
    "n_batch": 64,
    "n_ubatch": 64,
    "n_threads": 1,  # other tests run beside; two threads that wait for each other are slow where a third takes a core
    "n_threads_batch": 1,
    "n_gpu_layers": 0,
    "use_extra_bufts": False,
    "flash_attn": None,
    "kv_type": "f16",
    "use_mmap": True,
}


class FakeReply:
    """A Reply that keeps what it is told."""

    def __init__(self, number: int) -> None:
        self.id = number
        self.cancelled = False
        self.items: list[Any] = []
        self.value: Any = None
        self.error: LocalmindError | None = None
        self.first = threading.Event()
        self.ended = threading.Event()

    def together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def item(self, value: Any) -> None:
        self.items.append(value)
        self.first.set()

    def result(self, value: Any = None) -> None:
        assert not self.ended.is_set()
        self.value = value
        self.ended.set()

    def fail(self, error: LocalmindError) -> None:
        assert not self.ended.is_set()
        self.error = error
        self.ended.set()

    @property
    def text(self) -> str:
        return "".join(item["text"] for item in self.items)

    @property
    def chosen(self) -> list[dict[str, Any]]:
        """A token each, with its alternatives; of requests that asked for logprobs."""
        return [token for item in self.items for token in item.get("logprobs", ())]

    def wait(self) -> "FakeReply":
        assert self.ended.wait(WAIT), "the call did not end"
        return self


ROUNDING = 0.6
"""Natural logarithms: how far apart two evaluations of the same tokens may be. Activations are rounded to 8 bits for
the starter model's Q4_1 weights, and sums run in another order for other numbers of rows or threads: 0.21 was seen."""


def assert_same_answer(one: FakeReply, other: FakeReply) -> None:
    """Both chose greedily from the same distributions: the texts may only part where two tokens were almost equally
    likely. Wrong cells anywhere in the context put the logprobs several units apart."""
    pairs = list(zip(one.chosen, other.chosen, strict=True))
    assert pairs
    for place, (here, there) in enumerate(pairs):
        mine, its = here["chosen"], there["chosen"]
        if mine["id"] != its["id"]:
            for top, taken in ((here["top"], its["id"]), (there["top"], mine["id"])):
                near = {entry["id"]: entry["logprob"] for entry in top}
                assert near.get(taken, -1e9) >= top[0]["logprob"] - ROUNDING, f"token {place}: {here} beside {there}"
            return
        assert abs(mine["logprob"] - its["logprob"]) < ROUNDING, f"token {place}: {here} beside {there}"


class Caller:
    def __init__(self, worker: EngineWorker) -> None:
        self.worker = worker
        self._number = 0

    def start(self, method: str, **params: Any) -> FakeReply:
        self._number += 1
        reply = FakeReply(self._number)
        self.worker.call(method, params, reply)
        return reply

    def ask(self, method: str, **params: Any) -> Any:
        reply = self.start(method, **params).wait()
        if reply.error is not None:
            raise reply.error
        return reply.value

    def generate(self, content: str, **sampling: Any) -> FakeReply:
        return self.start("generate", messages=[{"role": "user", "content": content}], sampling=sampling, client="test")

    def cancel(self, reply: FakeReply) -> None:
        reply.cancelled = True
        self.worker.cancel(reply.id)

    def until(self, wanted: str) -> dict[str, Any]:
        """Ask for the state, step by step, until a sequence is in the wanted one."""
        self.ask("tokenize", text="")  # answered in turn: the desk has passed on everything asked before
        while True:
            state = self.ask("state")
            if any(sequence["state"] == wanted and sequence["cells"] for sequence in state["sequences"]):
                return state
            assert state["sequences"], f"everything ended before anything was in {wanted}"

    def assert_settled(self) -> None:
        """Nothing runs or waits; what is left is idle and counted."""
        state = self.ask("state")
        state = self.ask("state")  # the second answer comes after the step that cleared
        assert (state["running"], state["parked"], state["queued"]) == (0, 0, 0)
        assert {sequence["state"] for sequence in state["sequences"]} <= {"cached"}
        assert state["cells_used"] <= sum(sequence["cells"] for sequence in state["sequences"])
