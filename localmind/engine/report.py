"""What the loop tells about itself: the outcome of a request, why so much was evaluated, and a view of it all."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from localmind.engine.backend import Backend
from localmind.engine.generation import Generation, Outcome
from localmind.engine.scheduler import Scheduler
from localmind.engine.sequence import Sequence as TokenSequence
from localmind.engine.timing import Timing
from localmind.messages import CacheReport, Timings, Usage


@dataclass(slots=True)
class Totals:
    """Counted since the model was loaded."""

    steps: int = 0
    finished: int = 0
    failed: int = 0
    """Cancelled ones included."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prefilled: int = 0
    """Prompt tokens evaluated, also those of cancelled requests and those evaluated twice."""
    generated: int = 0
    drafted: int = 0
    accepted: int = 0

    def count(self, outcome: Outcome) -> None:
        self.finished += 1
        self.prompt_tokens += outcome.usage.prompt_tokens
        self.cached_tokens += outcome.usage.cached_tokens
        self.drafted += outcome.timings.drafted_tokens
        self.accepted += outcome.timings.accepted_tokens


def outcome(generation: Generation, reason: Literal["stop", "length"], now: float) -> Outcome:
    """The end of a request that went well. Times of what never happened are 0."""
    sequence = generation.sequence
    given = min(len(generation.ask.given), sequence.generated)
    started = generation.started or now
    first = generation.first_token or now
    return Outcome(
        reason,
        Usage(sequence.prompt_length + given, sequence.generated - given, sequence.cached or 0),
        Timings(
            queue_ms=1e3 * (started - generation.submitted),
            prefill_ms=1e3 * (first - started),
            decode_ms=1e3 * (now - first),
            parked_ms=1e3 * generation.parked,
            drafted_tokens=generation.drafted,
            accepted_tokens=generation.accepted,
        ),
        sequence,
        generation.text.stop,
        generation.hurried,
    )


def so_far(generation: Generation, now: float) -> dict[str, int]:
    """What a request has cost that is given up now: fields of Usage and Timings, in whole milliseconds. Nothing before
    its first token: how much of the prompt was read is not counted."""
    if not generation.first_token:
        return {}
    told = outcome(generation, "stop", now)
    usage, timings = told.usage, told.timings
    return {
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "queue_ms": round(timings.queue_ms),
        "prefill_ms": round(timings.prefill_ms),
        "decode_ms": round(timings.decode_ms),
        "parked_ms": round(timings.parked_ms),
        "drafted_tokens": timings.drafted_tokens,
        "accepted_tokens": timings.accepted_tokens,
    }


def cache_report(
    sequence: TokenSequence, prompt: Sequence[int], text_of: Callable[[Sequence[int]], str], *, whole_only: bool
) -> CacheReport:
    """Why so much of the prompt was evaluated, in one sentence. `text_of` is the model's detokeniser."""
    length, cached, matched = sequence.prompt_length, sequence.cached or 0, sequence.matched
    if cached >= length - 1:
        text = "all but the last token was there, which is always evaluated"
    elif matched == 0:
        text = "nothing kept begins like this prompt"
    elif matched < length and len(sequence.differs):
        ours, theirs = text_of(prompt[matched : matched + 8]), text_of(sequence.differs)
        text = f"first differs at token {matched}: {ours!r} here, {theirs!r} in what was kept"
        if whole_only:
            text += "; this model's memory can only be reused whole"
    elif whole_only and cached < matched:
        text = f"{matched} tokens agree, but this model's memory can only be reused whole"
    else:
        text = f"what was kept ends at token {matched}"
    return CacheReport(cached, sequence.source, matched, text)


def state(scheduler: Scheduler, backend: Backend, totals: Totals, timing: Timing, fetching: int) -> dict[str, Any]:
    """Sequences, cells and totals as builtins, for `status` and metrics."""
    pool = scheduler.pool
    return {
        "sequences": [_sequence(each) for each in (*scheduler.active, *scheduler.waiting, *reversed(pool.idle))],
        "queued": scheduler.queued + fetching,
        "running": len(scheduler.running),
        "parked": len(scheduler.active) - len(scheduler.running),
        "idle": len(pool.idle),
        "cells_used": scheduler.cells_used,
        "cells_in_ram": pool.ram_used,
        "n_ctx": backend.n_ctx,
        "n_ctx_seq": backend.n_ctx_seq,
        "threads": timing.threads,
        "prefill_tok_s": round(timing.prefill_rate, 1),
        "parkings": scheduler.parkings,
        "evictions": pool.evictions,
        "totals": asdict(totals),
    }


def _sequence(sequence: TokenSequence) -> dict[str, Any]:
    waits = sequence.waits_for
    return {
        "number": sequence.number,
        "client": sequence.client,
        "state": str(sequence.state),
        "priority": "background" if sequence.background else "interactive",
        "prompt_tokens": sequence.prompt_length,
        "completion_tokens": max(sequence.generated, 0),
        "cells": sequence.stored if sequence.slot >= 0 else 0,
        "in_ram": sequence.saved is not None,
        "on_disk": bool(sequence.disk_key),
        "cached_tokens": sequence.cached or 0,
        "waits_for": waits.number if waits is not None else None,
    }
