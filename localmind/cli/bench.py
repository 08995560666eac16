"""`localmind bench`: how fast a model is on this machine, measured through the daemon as a client meets it.

Every figure is the median of a few runs, every prompt is new so that nothing comes from a cache, and
what would falsify a figure (other requests, a busy machine) is said. It needs no other program.
"""

import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from localmind.cli import _complete as complete
from localmind.cli._output import connect, note, print_json, show_progress, table
from localmind.errors import InternalError, LocalmindError
from localmind.events import Done, Event, Progress, ReasoningDelta, TextDelta

LONG_PROMPT_WORDS = 600
SHORT_PROMPT_WORDS = 12
ANSWER_TOKENS = 128
STREAMS = 8
STREAM_TOKENS = 64
BUSY_SHARE = 0.5
"""Of the cores; more load than that from others and the figures are too low."""

WORDS = "harbor copper lantern meadow granite velvet orchard thunder compass ribbon willow ember falcon cedar marble"


@dataclass(slots=True, frozen=True)
class Run:
    """One request, as its client and the engine saw it."""

    first_s: float
    """Until the first piece arrived."""
    done: Done


@dataclass(slots=True, frozen=True)
class Result:
    """Medians. Tokens a second, milliseconds."""

    model: str
    runs: int
    prefill_tok_s: float
    prefill_tokens: int
    long_first_token_ms: float
    """With that prompt."""
    decode_tok_s: float
    first_token_ms: float
    """With a short prompt."""
    streams: int
    streams_tok_s: float
    """All together, from the first request to the last token."""
    drafted_tokens: int
    accepted_tokens: int
    """Speculation's share in the single streams."""
    load_average: float | None


@click.command()
@click.argument("model", required=False, shell_complete=complete.installed)
@click.option("--runs", type=click.IntRange(1, 20), default=3, show_default=True, help="How often each is measured.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def bench(model: str | None, runs: int, as_json: bool) -> None:
    """Measure how fast a model is on this machine.

    \b
    Prompt     how fast a new prompt is read: the wait after pasting a long text
    Answer     how fast one answer is written; you read about 7 tokens a second
    First      how long it takes until a short question's answer begins
    8 streams  what eight clients at once get together

    Takes about a minute for a small model. Close other programs first: they cost speed, and it shows.

    \b
    localmind bench
    localmind bench smollm2:135m --runs 5
    """
    result: Result | None = None
    with connect() as client:
        for event in show_progress(_measured(client, model, runs)):
            if isinstance(event, _Ended):
                result = event.result
    if result is None:
        raise InternalError("the measurement had no end")
    if as_json:
        print_json(asdict(result))
        return
    table(
        ("MEASURE", "RESULT", "HOW"),
        [
            ("prompt", f"{result.prefill_tok_s:.0f} tokens/s", f"{result.prefill_tokens} new tokens"),
            ("answer", f"{result.decode_tok_s:.1f} tokens/s", f"{ANSWER_TOKENS} tokens, one stream"),
            ("first token", f"{result.first_token_ms:.0f} ms", "short prompt"),
            ("first token", f"{result.long_first_token_ms:.0f} ms", f"prompt of {result.prefill_tokens} tokens"),
            (f"{STREAMS} streams", f"{result.streams_tok_s:.1f} tokens/s", f"{STREAM_TOKENS} tokens each, together"),
        ],
    )
    note(f"{result.model}, median of {runs}")
    if result.drafted_tokens:
        note(f"{result.accepted_tokens} of {result.drafted_tokens} guessed tokens were right")
    cores = os.cpu_count() or 1
    if result.load_average is not None and result.load_average > BUSY_SHARE * cores:
        note(
            f"the machine was busy before (load {result.load_average:.1f} on {cores} cores): expect more when it is not"
        )


@dataclass(slots=True, frozen=True)
class _Ended:
    result: Result


def _measured(client: Any, model: str | None, runs: int) -> Iterator[Any]:
    """Progress, then _Ended."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    name = ""
    for event in client.events("/generate", _body(model, SHORT_PROMPT_WORDS, 1)):
        if isinstance(event, Progress):
            yield event
        elif isinstance(event, Done):
            name = event.model
    busy = sum(each["running"] for each in client.get("/status")["models"])
    if busy:
        note(f"{busy} other requests are being answered: the figures will be too low")
    steps = 3 * runs
    long: list[Run] = []
    short: list[Run] = []
    crowd: list[float] = []
    for run in range(runs):
        yield Progress("bench", 3 * run, steps, "steps", f"run {run + 1} of {runs}: a long prompt")
        long.append(_run(client, _body(model, LONG_PROMPT_WORDS, 1)))
        yield Progress("bench", 3 * run + 1, steps, "steps", f"run {run + 1} of {runs}: one answer")
        short.append(_run(client, _body(model, SHORT_PROMPT_WORDS, ANSWER_TOKENS)))
        yield Progress("bench", 3 * run + 2, steps, "steps", f"run {run + 1} of {runs}: {STREAMS} answers at once")
        crowd.append(_together(client, model))
    yield Progress("bench", steps, steps, "steps", "done")
    yield _Ended(_result(name, runs, long, short, crowd, load))


def _result(model: str, runs: int, long: list[Run], short: list[Run], crowd: list[float], load: float | None) -> Result:
    def evaluated(run: Run) -> int:
        return run.done.usage.prompt_tokens - run.done.usage.cached_tokens

    return Result(
        model=model,
        runs=runs,
        prefill_tok_s=round(
            statistics.median(1e3 * evaluated(run) / max(run.done.timings.prefill_ms, 1e-3) for run in long), 1
        ),
        prefill_tokens=round(statistics.median(evaluated(run) for run in long)),
        long_first_token_ms=round(1e3 * statistics.median(run.first_s for run in long), 1),
        # The first token comes with the prefill.
        decode_tok_s=round(
            statistics.median(
                1e3 * (run.done.usage.completion_tokens - 1) / max(run.done.timings.decode_ms, 1e-3) for run in short
            ),
            1,
        ),
        first_token_ms=round(1e3 * statistics.median(run.first_s for run in short), 1),
        streams=STREAMS,
        streams_tok_s=round(statistics.median(crowd), 1),
        drafted_tokens=sum(run.done.timings.drafted_tokens for run in short),
        accepted_tokens=sum(run.done.timings.accepted_tokens for run in short),
        load_average=load,
    )


def _body(model: str | None, words: int, tokens: int) -> dict[str, Any]:
    """A prompt that nobody has sent before, and exactly so many tokens of answer."""
    return {
        "model": model or "default",
        "prompt": " ".join(random.choices(WORDS.split(), k=words)),
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 1.0,
    }


def _run(client: Any, body: dict[str, Any]) -> Run:
    began = time.perf_counter()
    first = 0.0
    done: Done | None = None
    event: Event
    for event in client.events("/generate", body):
        if isinstance(event, TextDelta | ReasoningDelta):
            first = first or time.perf_counter() - began
        elif isinstance(event, Done):
            done = event
    if done is None:
        raise InternalError("an answer had no end")
    return Run(first or time.perf_counter() - began, done)


def _together(client: Any, model: str | None) -> float:
    """Tokens a second of several streams at once. Raises the first error of any."""
    runs: list[Run] = []
    errors: list[LocalmindError] = []

    def stream() -> None:
        try:
            runs.append(_run(client, _body(model, SHORT_PROMPT_WORDS, STREAM_TOKENS)))
        except LocalmindError as problem:
            errors.append(problem)

    threads = [threading.Thread(target=stream, daemon=True) for _ in range(STREAMS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(run.done.usage.completion_tokens for run in runs) / (time.perf_counter() - began)
