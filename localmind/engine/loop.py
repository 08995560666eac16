"""The one thread that owns the context: it takes commands, runs steps, and hands out text.

Everybody else posts a command and is answered through the request's Sink. Templates and tokenising
happen before a request gets here; parsing and encoding happen behind the sink, on the outbox's
thread. A native failure ends the sequences whose rows were in that call and nobody else's; a mistake
in one sequence ends that one.
"""

import logging
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from localmind.engine import report
from localmind.engine.backend import Backend
from localmind.engine.commands import Commands, UnderWay
from localmind.engine.drafting import Drafting
from localmind.engine.generation import Ask, Generation, Sink
from localmind.engine.given import GivenSampler
from localmind.engine.memory import Memory
from localmind.engine.native_thread import NativeThread
from localmind.engine.outbox import Delivery, Outbox, Text
from localmind.engine.scheduler import Scheduler
from localmind.engine.sequence import Row, State, new_sequence
from localmind.engine.sequence import Sequence as TokenSequence
from localmind.engine.shelf import Shelf
from localmind.engine.speculate import Cost, Speculator, prompt_lookup
from localmind.engine.timing import Timing
from localmind.errors import (
    Cancelled,
    ContextTooLong,
    InternalError,
    InvalidRequest,
    LocalmindError,
    QueueFull,
    ShuttingDown,
)

MAX_QUEUED = 256
"""Requests that may wait. Beyond it, telling a client to come back later is more honest than a queue of minutes."""

ABORTED = 2
"""What it returns when it was interrupted."""

NO_CELLS = 1
"""What llama_decode returns when the KV memory is full."""

INVALID_BATCH = -1

IDLE_S = 3.0
"""Quiet time after which what is worth keeping is written to disk."""

DELIVERY_S = 1.0

log = logging.getLogger("localmind.engine")


@dataclass(slots=True, frozen=True)
class Limits:
    """What the loop may use."""

    max_queued: int = MAX_QUEUED
    ram_bytes: int = 0
    """For copies of KV cells in main memory."""
    speculate: bool = True
    stall_s: float = 0.25


class Loop:
    def __init__(
        self,
        backend: Backend,
        limits: Limits = Limits(),
        *,
        shelf: Shelf | None = None,
        thread: NativeThread | None = None,
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
        speculator: Callable[["array[int]", Cost], Speculator] = prompt_lookup,
    ) -> None:
        """`thread` is where the backend was made; it ends with the loop. `together` is entered round a step's answers.
        `speculator` makes one for each sequence."""
        self._backend = backend
        self._limits = limits
        self._timing = Timing(backend, limits.stall_s)
        self._scheduler = Scheduler(
            n_cells=backend.n_ctx,
            n_slots=backend.n_slots,
            n_batch=backend.n_batch,
            n_outputs=backend.n_outputs,
            max_running=backend.max_running,
            kind=backend.kind,
            ram_cells=limits.ram_bytes // max(backend.cell_bytes, 1),
            idle_cells=backend.idle_cells,
            window=backend.window,
            prefill_budget=lambda rows: self._timing.budget(rows, self._scheduler.cells_used),
        )
        self.memory = Memory(backend, self._scheduler, shelf, self.call_soon)
        self.drafting = Drafting(backend, speculator, speculate=limits.speculate)
        self._generations: dict[int, Generation] = {}
        self._outbox = Outbox(together)
        self._deliveries: list[Delivery] = []
        self._wake = threading.Condition()
        self._commands = Commands()
        self._under_way = UnderWay(backend)
        self._stopping = False
        self._numbers = self._failures = 0
        self._totals = report.Totals()
        self._step_started = 0.0
        self._ended = threading.Event()
        if thread is None:
            NativeThread().end_with(self._run)
        else:
            thread.post(self._run)  # it stays for whoever comes after us

    # --- for other threads

    def submit(self, ask: Ask, sink: Sink) -> TokenSequence:
        """Queue a request. Raises InvalidRequest for an empty prompt, ContextTooLong, QueueFull or ShuttingDown; then
        the sink hears nothing."""
        if not ask.prompt:
            raise InvalidRequest("the prompt is empty")
        n_ctx, length, most = self._backend.n_ctx_seq, len(ask.prompt) + len(ask.given), ask.params.max_tokens
        if length >= n_ctx:
            raise ContextTooLong(
                f"the prompt has {length} tokens and the context holds {n_ctx}, the answer included",
                hint="shorten the prompt, or choose a model with a longer context",
                numbers={"n_prompt_tokens": length, "n_ctx": n_ctx},
            )
        speculator = self.drafting.speculator(ask.prompt)
        with self._wake:
            if self._stopping:
                raise ShuttingDown("the engine is stopping")
            begun = self._scheduler.away
            waiting = self._scheduler.queued + begun + self.memory.fetching + len(self._commands.submits)
            if waiting >= self._limits.max_queued:
                raise QueueFull(f"{waiting} requests are waiting already", hint="localmind status")
            self._numbers += 1
            sequence = new_sequence(
                self._numbers,
                ask.client,
                ask.prompt[:],
                max_tokens=most if most is None else most + len(ask.given),
                n_ctx=n_ctx,
                background=ask.background,
                group=ask.adapters,
            )
            self._commands.submits.append(Generation(sequence, ask, sink, time.monotonic(), speculator))
            self._wake.notify()
        return sequence

    def cancel(self, sequence: TokenSequence) -> None:
        """End a request before the next step, wherever it is, and the step under way when it is nobody else's; its sink
        gets Cancelled unless it has ended."""
        with self._wake:
            self._commands.cancels.append(sequence)
            self._under_way.give_up_unless_needed(self._commands, stopping=False)
            self._wake.notify()

    def end(self, sequence: TokenSequence) -> None:
        """End a request well before the next step: its answer is complete, whatever the model would add."""
        with self._wake:
            self._commands.endings.append(sequence)
            self._wake.notify()

    def inspect(self, then: Callable[[dict[str, Any]], None]) -> None:
        """Call `then` with the state, between two steps and on the loop's thread."""
        args = self._scheduler, self._backend, self._totals, self._timing
        self.call_soon(lambda: then(report.state(*args, self.memory.fetching)))

    def call_soon(self, call: Callable[[], None]) -> None:
        """Make a call on the loop's thread between two steps."""
        with self._wake:
            self._commands.calls.append(call)
            self._wake.notify()

    def busy_seconds(self) -> float:
        """How long the step under way has run; 0.0 between steps."""
        started = self._step_started
        return time.monotonic() - started if started else 0.0

    def stop(self, timeout: float) -> bool:
        """End everything with ShuttingDown, the step under way too, and close the backend. False if still running."""
        with self._wake:
            self._stopping = True
            self._under_way.give_up_unless_needed(self._commands, stopping=True)
            self._wake.notify()
        return self._ended.wait(timeout)

    # --- on the loop's thread

    def _run(self) -> None:
        while self._take_commands():
            try:
                self._step()
            except Exception as problem:
                log.exception("a step failed")
                for sequence in self._scheduler.active:
                    self._fail(
                        sequence,
                        InternalError(f"{type(problem).__name__}: {problem}", hint="localmind doctor"),
                        keep=False,
                    )
            finally:
                self._step_started = 0.0
                self._deliver()
        for number in list(self._generations):
            self._fail(self._generations[number].sequence, ShuttingDown("the engine is stopping"))
        self._deliver()
        self._outbox.close(DELIVERY_S)
        self.memory.apply(self._scheduler.step())  # nobody is left to evaluate, but copies may still be due
        self.memory.close()
        self._backend.close()
        self._ended.set()

    def _take_commands(self) -> bool:
        with self._wake:
            while not (self._commands or self._stopping) and self._scheduler.idle:
                if not self._wake.wait(IDLE_S if self.memory.unwritten else None):
                    self._commands.calls.append(self.memory.write_one)
            commands, self._commands = self._commands, Commands()
            # Submitted under the same lock that `submit` counts with, so the bound of the queue is exact.
            for generation in commands.submits:
                self._generations[generation.sequence.number] = generation
                self.memory.admit(generation.sequence)
            stopping = self._stopping
        for sequence in commands.cancels:
            if (given_up := self._generations.get(sequence.number)) is not None:
                numbers = report.so_far(given_up, time.monotonic())
                self._fail(sequence, Cancelled("the request was cancelled", numbers=numbers))
        for sequence in commands.endings:
            if (ended := self._generations.get(sequence.number)) is not None:
                self._finish(ended, "stop")
        for call in commands.calls:
            try:
                call()
            except Exception:  # who asks for the state must not be able to end the loop
                log.exception("a call on the engine's thread failed")
        return not stopping

    def _step(self) -> None:
        self.drafting.draft(self._scheduler.running, self._generations)
        step = self._scheduler.step()
        began = time.monotonic()
        for sequence in self._scheduler.active:
            self._generations[sequence.number].watch_parking(began)
        rows = self.memory.apply(step)
        if not rows:
            return
        self._step_started = began
        for row in rows:
            generation = self._generations[row.sequence.number]
            generation.started = generation.started or began
        self._backend.use_adapters(step.group)
        with self._wake:
            self._under_way.begin(rows)
            self._under_way.give_up_unless_needed(self._commands, stopping=self._stopping)
        code, indices = self._timing.evaluate(rows, self._scheduler.pool.cells)
        with self._wake:
            given_up = self._under_way.end()
        if code:
            self._recover(code, rows, given_up=given_up)
            return
        self._failures = 0
        self._totals.steps += 1
        self._totals.prefilled += sum(row.count for row in rows if row.sequence.state is State.PREFILL)
        self._scheduler.evaluated(rows)
        for row, index in zip(rows, indices, strict=True):
            if row.samples:
                self._sample(self._generations[row.sequence.number], row, index)

    def _sample(self, generation: Generation, row: Row, index: int) -> None:
        """Take one token for one sequence, and those drafted ones that it agrees with.

        Whatever goes wrong here is that sequence's affair alone.
        """
        sequence = generation.sequence
        draft = row.draft
        guessed = len(draft) if generation.guesses else 0
        agreed = 0
        reason: Literal["stop", "length"] | None = None
        try:
            for place in range(len(draft) + 1):
                reason = self._take(generation, index + place)
                if reason is not None or place == len(draft) or sequence.tokens[-1] != draft[place]:
                    break
                agreed += 1
            if guessed:
                generation.drafted += guessed
                generation.accepted += agreed
                assert generation.speculator is not None
                generation.speculator.observe(guessed, agreed)
            self._scheduler.accepted(sequence, agreed)
            if reason is not None:
                self._finish(generation, reason)
        except LocalmindError as problem:
            self._fail(sequence, problem)
        except Exception as problem:
            log.exception("a sequence failed")
            self._fail(sequence, InternalError(f"{type(problem).__name__}: {problem}", hint="localmind doctor"))

    def _take(self, generation: Generation, index: int) -> Literal["stop", "length"] | None:
        """Sample one token from one row of logits. Returns why the answer ends with it, if it does."""
        sampler = generation.sampler
        if sampler is None:
            ask = generation.ask
            said = generation.sequence.tokens + ask.given
            chosen = self._backend.sampler(ask.params, ask.constraint, said, generation.sequence.limit - len(said))
            sampler = generation.sampler = GivenSampler(ask.given, chosen) if ask.given else chosen
        given = generation.to_score
        token = sampler.sample(index)
        full = self._scheduler.append(generation.sequence, token)
        if given:
            generation.logprobs += filter(None, [sampler.logprobs(index, token)])
            return "length" if full else None
        generation.first_token = generation.first_token or time.monotonic()
        self._totals.generated += 1
        if self._backend.ends(token):
            return "stop"
        text = generation.text.push(self._backend.piece(token, generation.ask.shown))
        if generation.ask.params.logprobs is not None and (likely := sampler.logprobs(index, token)) is not None:
            generation.logprobs.append(likely)
        if text:
            self._say(generation, text)
        if generation.text.stopped or sampler.finished:
            return "stop"
        return "length" if full else None

    def _say(self, generation: Generation, text: str) -> None:
        logprobs, generation.logprobs = tuple(generation.logprobs), []
        self._deliveries.append(Text(generation.sink, text, logprobs, first=not generation.spoke))
        generation.spoke = True

    def _deliver(self) -> None:
        if self._deliveries:
            self._outbox.post(self._deliveries)
            self._deliveries = []

    def _finish(self, generation: Generation, reason: Literal["stop", "length"]) -> None:
        rest = generation.text.finish()
        if rest or generation.logprobs:
            self._say(generation, rest)
        if generation.text.stopped:
            reason = "stop"
        elif generation.hurried:
            reason = "length"
        outcome = report.outcome(generation, reason, time.monotonic())
        self._forget(generation.sequence)
        self._totals.count(outcome)
        self._deliveries.append(partial(generation.sink.done, outcome))

    def _fail(self, sequence: TokenSequence, error: LocalmindError, *, keep: bool = True) -> None:
        generation = self._forget(sequence, keep=keep)
        if generation is not None:
            self._totals.failed += 1
            self._deliveries.append(partial(generation.sink.failed, error))

    def _forget(self, sequence: TokenSequence, *, keep: bool = True) -> Generation | None:
        """Take a sequence out, in whatever state. None if it had ended already."""
        generation = self._generations.pop(sequence.number, None)
        if generation is not None:
            self.memory.finish(sequence, keep=keep)
            generation.close()
        return generation

    def _recover(self, code: int, rows: Sequence[Row], *, given_up: bool) -> None:
        """A native call failed. Without cells, the youngest waits; a batch that llama.cpp will not take is made again
        from tokens once; anything else ends the rows of this call, but one that was given up has no fault."""
        if given_up and code == ABORTED:
            for row in rows:
                self._scheduler.interrupted(row.sequence)
            return
        self._failures += 1
        if code == NO_CELLS and self._scheduler.out_of_cells(rows):
            log.warning("llama_decode found no cells; from now on %d are counted", self._scheduler.n_cells)
            return
        log.error("llama_decode returned %d for %d tokens", code, sum(row.n_tokens for row in rows))
        if code == INVALID_BATCH and self._failures < 2:
            for row in rows:
                self._scheduler.lost(row.sequence)
            return
        error = InternalError(f"llama.cpp failed to evaluate the request (code {code})", hint="localmind doctor")
        for row in rows:
            self._fail(row.sequence, error, keep=False)
        self.memory.resync()
