"""The one thread that owns the context: it takes commands, runs steps, and hands out text.

Everybody else posts a command and is answered through the request's Sink. Templates and tokenising
happen before a request gets here, encoding happens behind the sink. A native failure ends the
sequences whose rows were in that call and nobody else's; a mistake in one sequence ends that one.
"""

import logging
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from localmind.engine.scheduler import Scheduler, new_sequence
from localmind.engine.sequence import Row, Step
from localmind.engine.sequence import Sequence as TokenSequence
from localmind.engine.text import TextStream
from localmind.errors import Cancelled, ContextTooLong, InternalError, LocalmindError, QueueFull, ShuttingDown
from localmind.messages import SamplingParams, Timings, Usage

MAX_QUEUED = 256
"""Requests that may wait. Beyond it, telling a client to come back later is more honest than a queue of minutes."""

NO_CELLS = 1
"""What llama_decode returns when the KV memory is full."""

log = logging.getLogger("localmind.engine")


class Sampler(Protocol):
    def sample(self, index: int) -> int: ...
    def close(self) -> None: ...


class Backend(Protocol):
    """The loaded model as the loop sees it; all but the constants are used on the loop's thread only."""

    n_ctx: int
    """Cells of the pool that all sequences share."""
    n_ctx_seq: int
    """Tokens that one sequence may have: a pool can be larger than what the model was trained for."""
    n_batch: int
    n_slots: int

    def evaluate(self, rows: Sequence[Row]) -> tuple[int, list[int]]:
        """Run one step. Returns llama_decode's code and, for each row, the index of its last token."""

    def clear(self, slot: int) -> None: ...
    def sampler(self, params: SamplingParams) -> Sampler: ...
    def piece(self, token: int) -> bytes: ...
    def ends(self, token: int) -> bool: ...
    def close(self) -> None: ...


@dataclass(slots=True, frozen=True)
class Outcome:
    finish_reason: Literal["stop", "length"]
    usage: Usage
    timings: Timings


class Sink(Protocol):
    """Where a request's answer goes: any number of texts, then exactly one of done and failed."""

    def text(self, text: str) -> None: ...
    def done(self, outcome: Outcome) -> None: ...
    def failed(self, error: LocalmindError) -> None: ...


@dataclass(slots=True, eq=False)
class Generation:
    """A request on its way: its sequence, its sampler once it samples, its text, and the times."""

    sequence: TokenSequence
    params: SamplingParams
    sink: Sink
    text: TextStream
    submitted: float
    sampler: Sampler | None = None
    started: float = 0.0
    first_token: float = 0.0


@dataclass(slots=True)
class _Commands:
    """What other threads ask for; guarded by the loop's condition."""

    submits: list[Generation] = field(default_factory=list)
    cancels: list[TokenSequence] = field(default_factory=list)
    calls: list[Callable[[], None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.submits or self.cancels or self.calls)


class Loop:
    def __init__(self, backend: Backend, *, max_queued: int = MAX_QUEUED) -> None:
        self._backend = backend
        self._max_queued = max_queued
        self._scheduler = Scheduler(n_cells=backend.n_ctx, n_slots=backend.n_slots, n_batch=backend.n_batch)
        self._generations: dict[int, Generation] = {}
        self._wake = threading.Condition()
        self._commands = _Commands()
        self._stopping = False
        self._numbers = 0
        self._step_started = 0.0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    # --- for other threads

    def submit(self, prompt: "array[int]", params: SamplingParams, sink: Sink, *, client: str = "") -> TokenSequence:
        """Queue a request. Raises ContextTooLong, QueueFull or ShuttingDown; then the sink hears nothing."""
        n_ctx = self._backend.n_ctx_seq
        if len(prompt) >= n_ctx:
            raise ContextTooLong(
                f"the prompt has {len(prompt)} tokens and the context holds {n_ctx}, the answer included",
                hint="shorten the prompt, or choose a model with a longer context",
            )
        with self._wake:
            if self._stopping:
                raise ShuttingDown("the engine is stopping")
            waiting = self._scheduler.queued + len(self._commands.submits)
            if waiting >= self._max_queued:
                raise QueueFull(f"{waiting} requests are waiting already", hint="localmind status")
            self._numbers += 1
            sequence = new_sequence(self._numbers, client, prompt, max_tokens=params.max_tokens, n_ctx=n_ctx)
            generation = Generation(sequence, params, sink, TextStream(params.stop), time.monotonic())
            self._commands.submits.append(generation)
            self._wake.notify()
        return sequence

    def cancel(self, sequence: TokenSequence) -> None:
        """End a request before the next step, wherever it is; its sink gets Cancelled unless it has ended."""
        with self._wake:
            self._commands.cancels.append(sequence)
            self._wake.notify()

    def inspect(self, then: Callable[[dict[str, Any]], None]) -> None:
        """Call `then` with the state, between two steps and on the loop's thread."""
        with self._wake:
            self._commands.calls.append(lambda: then(self._state()))
            self._wake.notify()

    def busy_seconds(self) -> float:
        """How long the step under way has run; 0.0 between steps."""
        started = self._step_started
        return time.monotonic() - started if started else 0.0

    def stop(self, timeout: float) -> bool:
        """End everything with ShuttingDown after the step under way and free the model. False if still running."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # --- on the loop's thread

    def _run(self) -> None:
        while self._take_commands():
            try:
                self._step()
            except Exception as problem:
                log.exception("a step failed")
                for sequence in self._scheduler.active:
                    self._fail(sequence, InternalError(f"{type(problem).__name__}: {problem}", hint="localmind doctor"))
            finally:
                self._step_started = 0.0
        for number in list(self._generations):
            self._fail(self._generations[number].sequence, ShuttingDown("the engine is stopping"))
        self._backend.close()

    def _take_commands(self) -> bool:
        with self._wake:
            while not (self._commands or self._stopping) and self._scheduler.idle:
                self._wake.wait()
            commands, self._commands = self._commands, _Commands()
            # Submitted under the same lock that `submit` counts with, so the bound of the queue is exact.
            for generation in commands.submits:
                self._generations[generation.sequence.number] = generation
                self._scheduler.submit(generation.sequence)
            stopping = self._stopping
        for sequence in commands.cancels:
            self._fail(sequence, Cancelled("the request was cancelled"))
        for call in commands.calls:
            try:
                call()
            except Exception:  # who asks for the state must not be able to end the loop
                log.exception("reporting the state failed")
        return not stopping

    def _step(self) -> None:
        step = self._scheduler.step()
        for slot in step.clear:
            self._backend.clear(slot)
        if not step.rows:
            return
        self._step_started = time.monotonic()
        for row in step.rows:
            generation = self._generations[row.sequence.number]
            generation.started = generation.started or self._step_started
        code, indices = self._backend.evaluate(step.rows)
        if code:
            self._recover(code, step)
            return
        self._scheduler.evaluated(step.rows)
        for row, index in zip(step.rows, indices, strict=True):
            if row.samples:
                self._sample(self._generations[row.sequence.number], index)

    def _sample(self, generation: Generation, index: int) -> None:
        """Take one token for one sequence; whatever goes wrong here is that sequence's affair alone."""
        sequence = generation.sequence
        try:
            if generation.sampler is None:
                generation.sampler = self._backend.sampler(generation.params)
            token = generation.sampler.sample(index)
            generation.first_token = generation.first_token or time.monotonic()
            full = self._scheduler.append(sequence, token)
            ends = self._backend.ends(token)
            text = "" if ends else generation.text.push(self._backend.piece(token))
            if text:
                generation.sink.text(text)
            if ends or generation.text.stopped:
                self._finish(generation, "stop")
            elif full:
                self._finish(generation, "length")
        except Exception as problem:
            log.exception("a sequence failed")
            self._fail(sequence, InternalError(f"{type(problem).__name__}: {problem}", hint="localmind doctor"))

    def _finish(self, generation: Generation, reason: Literal["stop", "length"]) -> None:
        sequence = generation.sequence
        rest = generation.text.finish()
        if rest:
            generation.sink.text(rest)
        if generation.text.stopped:
            reason = "stop"
        now = time.monotonic()
        outcome = Outcome(
            reason,
            Usage(sequence.prompt_length, sequence.generated),
            Timings(
                queue_ms=1e3 * (generation.started - generation.submitted),
                prefill_ms=1e3 * (generation.first_token - generation.started),
                decode_ms=1e3 * (now - generation.first_token),
            ),
        )
        self._forget(sequence)
        generation.sink.done(outcome)

    def _fail(self, sequence: TokenSequence, error: LocalmindError) -> None:
        generation = self._forget(sequence)
        if generation is not None:
            generation.sink.failed(error)

    def _forget(self, sequence: TokenSequence) -> Generation | None:
        """Take a sequence out, in whatever state. None if it had ended already."""
        generation = self._generations.pop(sequence.number, None)
        if generation is not None:
            self._scheduler.finish(sequence)
            if generation.sampler is not None:
                generation.sampler.close()
        return generation

    def _recover(self, code: int, step: Step) -> None:
        """A native call failed. Without cells, the youngest waits; anything else ends the rows of this call."""
        if code == NO_CELLS and self._scheduler.out_of_cells(step.rows):
            log.warning("llama_decode found no cells; from now on %d are counted", self._scheduler.n_cells)
            return
        log.error("llama_decode returned %d for %d tokens", code, step.n_tokens)
        error = InternalError(f"llama.cpp failed to evaluate the request (code {code})", hint="localmind doctor")
        for row in step.rows:
            self._fail(row.sequence, error)

    def _state(self) -> dict[str, Any]:
        scheduler = self._scheduler
        return {
            "sequences": [
                {
                    "number": sequence.number,
                    "client": sequence.client,
                    "state": str(sequence.state),
                    "prompt_tokens": sequence.prompt_length,
                    "completion_tokens": sequence.generated,
                    "cells": sequence.stored,
                }
                for sequence in (*scheduler.active, *scheduler.waiting)
            ],
            "queued": scheduler.queued,
            "running": len(scheduler.active),
            "cells_used": scheduler.cells_used,
            "n_ctx": self._backend.n_ctx,
            "n_ctx_seq": self._backend.n_ctx_seq,
        }
