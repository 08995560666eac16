"""`/metrics`: the daemon's numbers as Prometheus reads them (text format 0.0.4).

Totals come from the tallies of the daemon, levels from what each live engine says of itself at that
moment; an engine that is too busy to answer has no levels in that scrape. Written by hand: the format
is a page, and the usual library brings a registry of globals. It sits behind the same gate as all else.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from localmind import __version__
from localmind.api.backend import Backend
from localmind.workers.tally import Histogram, Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

COUNTERS = {
    "prompt_tokens": ("prompt_tokens_total", "Tokens of all prompts."),
    "cached_tokens": ("cached_tokens_total", "Tokens of prompts that were not evaluated, their cells being there."),
    "generated_tokens": ("generated_tokens_total", "Tokens of all answers."),
    "drafted_tokens": ("drafted_tokens_total", "Tokens that speculation proposed."),
    "accepted_tokens": ("accepted_tokens_total", "Proposed tokens that the model agreed with."),
    "queue_s": ("queue_seconds_total", "Time that requests waited for their first step."),
    "parked_s": ("parked_seconds_total", "Time that requests waited with their cells given to others."),
    "launches": ("worker_launches_total", "Engine processes started."),
    "deaths": ("worker_deaths_total", "Engine processes that ended without being asked to."),
}

GAUGES = {
    "queued": ("requests_queued", "Requests that wait for a place."),
    "running": ("requests_running", "Requests in prefill or decode."),
    "parked": ("requests_parked", "Requests whose cells were given to others."),
    "cells_used": ("cells_used", "Cells of the pool that hold a token."),
    "n_ctx": ("cells_total", "Cells of the pool."),
    "threads": ("threads", "Threads that the engine takes at the moment."),
}

# Of a worker, in its state or the `totals` of that; they start again with it, as counters may.
STATE_COUNTERS = {
    "evictions": ("evictions_total", "Idle sequences dropped from the pool."),
    "parkings": ("parkings_total", "Times that a request had to give its cells to others."),
    "steps": ("steps_total", "Steps of the engine."),
    "prefilled": ("prefilled_tokens_total", "Prompt tokens evaluated, those of cancelled requests included."),
}


def router(backend: Backend) -> APIRouter:
    routes = APIRouter()

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text."""
        text = render(backend.engines.tallies(), await backend.engines.states())
        return Response(text, media_type=None, headers={"content-type": CONTENT_TYPE})

    return routes


def render(tallies: Mapping[str, Tally], states: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page. Keys are names of models."""
    lines = [
        *_head("build_info", "gauge", "The version of localmind."),
        f'localmind_build_info{{version="{_quoted(__version__)}"}} 1',
        *_head("requests_total", "counter", "Requests that ended, by how."),
    ]
    for model, tally in tallies.items():
        lines += (
            _line("requests_total", model, count, outcome=outcome) for outcome, count in sorted(tally.outcomes.items())
        )
    for field, (name, about) in COUNTERS.items():
        lines += _head(name, "counter", about)
        lines += (_line(name, model, getattr(tally, field)) for model, tally in tallies.items())
    for kind, fields in (("gauge", GAUGES), ("counter", STATE_COUNTERS)):
        for field, (name, about) in fields.items():
            found = {model: {**state.get("totals", {}), **state}.get(field) for model, state in states.items()}
            told = {model: value for model, value in found.items() if value is not None and _number(value)}
            if told:
                lines += _head(name, kind, about)
                lines += (_line(name, model, value) for model, value in told.items())
    lines += _histogram(
        "first_token_seconds", "From the request to the first piece of its answer.", tallies, "first_token"
    )
    lines += _histogram("gap_seconds", "Between two pieces of an answer.", tallies, "gaps")
    return "\n".join(lines) + "\n"


def _histogram(name: str, about: str, tallies: Mapping[str, Tally], field: str) -> Iterable[str]:
    yield from _head(name, "histogram", about)
    for model, tally in tallies.items():
        histogram: Histogram = getattr(tally, field)
        below = 0
        for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
            below += count
            yield _line(f"{name}_bucket", model, below, le=str(bound))
        yield _line(f"{name}_sum", model, histogram.sum)
        yield _line(f"{name}_count", model, below)


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP localmind_{name} {about}", f"# TYPE localmind_{name} {kind}"


def _line(name: str, model: str, value: float, **labels: str) -> str:
    pairs = ",".join(f'{key}="{_quoted(text)}"' for key, text in {"model": model, **labels}.items())
    return f"localmind_{name}{{{pairs}}} {value!r}"


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
