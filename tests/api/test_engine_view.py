"""The engines seen from outside: Prometheus text, sequences, and a generation with its explanation."""

import json
import re
from typing import Any

import msgspec
import pytest
from api_fakes import FakeEngines, post

from localmind.api.metrics import render
from localmind.events import Done, Event, TextDelta, ToolCallDelta, decode, encode
from localmind.messages import CacheReport, Timings, Usage
from localmind.workers.request import Infill
from localmind.workers.tally import Tally, Watch

LINE = re.compile(r'[a-z_]+(\{([a-z_]+="(\\.|[^"\\\n])*",?)+\})? -?[0-9.e+-]+\Z')


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def served(tally: Tally, clock: FakeClock, outcome: str = "") -> None:
    """One request: 0.2 s to the first piece, 0.02 s to each of two more."""
    watch = Watch(tally)
    for wait in (0.2, 0.02, 0.02):
        clock.now += wait
        watch.piece()
    if outcome:
        watch.failed(outcome)
    else:
        watch.done(Done("stop", Usage(40, 21, 20), Timings(5, 200, 400, 50, 8, 6)))
    watch.end()


def test_the_page_parses_line_by_line_and_tells_what_was_counted() -> None:
    clock = FakeClock()
    tally = Tally(clock)
    served(tally, clock)
    served(tally, clock, "worker_died")
    state: dict[str, Any] = {
        "queued": 3,
        "running": 1,
        "cells_used": 60,
        "n_ctx": 8192,
        "evictions": 2,
        "sequences": [],
    }
    state["totals"] = {"steps": 77, "prefilled": 50, "finished": 1}
    page = render({'odd"name\n': tally}, {'odd"name\n': state})
    lines = page.splitlines()
    assert page.endswith("\n")
    assert all(line.startswith(("# HELP ", "# TYPE ")) or LINE.match(line) for line in lines)
    model = r'model="odd\"name\n"'
    for expected in (
        f'localmind_requests_total{{{model},outcome="stop"}} 1',
        f'localmind_requests_total{{{model},outcome="worker_died"}} 1',
        f"localmind_prompt_tokens_total{{{model}}} 40",
        f"localmind_cached_tokens_total{{{model}}} 20",
        f"localmind_generated_tokens_total{{{model}}} 21",
        f"localmind_drafted_tokens_total{{{model}}} 8",
        f"localmind_accepted_tokens_total{{{model}}} 6",
        f"localmind_requests_queued{{{model}}} 3",
        f"localmind_cells_used{{{model}}} 60",
        f"localmind_cells_total{{{model}}} 8192",
        f"localmind_evictions_total{{{model}}} 2",
        f"localmind_steps_total{{{model}}} 77",
        f"localmind_prefilled_tokens_total{{{model}}} 50",
        f'localmind_first_token_seconds_bucket{{{model},le="0.1"}} 0',
        f'localmind_first_token_seconds_bucket{{{model},le="0.25"}} 2',
        f'localmind_first_token_seconds_bucket{{{model},le="+Inf"}} 2',
        f"localmind_first_token_seconds_count{{{model}}} 2",
        f"localmind_gap_seconds_count{{{model}}} 4",
    ):
        assert expected in lines
    assert sum(line.startswith("# TYPE localmind_gap_seconds ") for line in lines) == 1


def test_speeds_are_those_of_the_latest_request_that_was_long_enough() -> None:
    clock = FakeClock()
    tally = Tally(clock)
    served(tally, clock)
    assert (tally.prefill_tok_s, tally.decode_tok_s) == (100.0, 50.0)
    Watch(tally).done(Done("stop", Usage(3, 2), Timings(0, 1, 1)))
    assert (tally.prefill_tok_s, tally.decode_tok_s) == (100.0, 50.0)


def test_a_full_queue_is_to_be_tried_again_when_a_place_is_likely_to_be_free() -> None:
    clock = FakeClock()
    tally = Tally(clock)
    assert tally.retry_after() == 2
    for _ in range(10):
        clock.now += 3.0
        Watch(tally).end()
    assert tally.retry_after() == 3
    clock.now += 100_000
    assert tally.retry_after() == 120


def test_a_client_that_goes_away_is_counted_as_cancelled() -> None:
    tally = Tally(FakeClock())
    Watch(tally).end()
    assert tally.outcomes == {"cancelled": 1}


async def test_metrics_are_served_behind_the_gate() -> None:
    engines = FakeEngines()
    reply = await post(engines, b"", "/metrics", method="GET")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "localmind_build_info" in reply.text
    assert (
        await post(engines, b"", "/metrics", method="GET", headers={"authorization": "Bearer x"})
    ).status_code == 401


async def test_the_sequences_of_every_engine_are_shown() -> None:
    engines = FakeEngines()
    engines.live = {"smollm2:135m": {"queued": 0, "sequences": [{"number": 1, "state": "decode"}]}}
    reply = await post(engines, b"", "/localmind/v1/engine/sequences", method="GET")
    assert reply.json() == {
        "engines": [{"model": "smollm2:135m", "queued": 0, "sequences": [{"number": 1, "state": "decode"}]}]
    }


async def test_a_native_generation_explains_its_cache() -> None:
    report = CacheReport(100, "pool", 143, "first differs at token 143: 'Tue' instead of 'Mon'")
    engines = FakeEngines(TextDelta("x"), Done("stop", Usage(200, 1, 100), cache=report))
    body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "max_tokens": 4}
    reply = await post(engines, body, "/localmind/v1/generate")
    last = json.loads(reply.text.splitlines()[-2][6:])
    assert last["type"] == "Done"
    assert last["cache"]["explanation"].startswith("first differs at token 143")
    assert engines.asked[0].explain
    assert engines.asked[0].sampling.max_tokens == 4


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"prompt": "Once"}, "prompt", "Once"),
        ({"tokens": [1, 2]}, "tokens", (1, 2)),
        (
            {"infill": {"prefix": "a", "suffix": "b", "extra": [{"name": "x.py", "text": "1"}]}},
            "infill",
            Infill("a", "b", (("x.py", "1"),)),
        ),
    ],
)
async def test_a_native_generation_continues_anything(body: dict[str, Any], field: str, expected: Any) -> None:
    engines = FakeEngines()
    assert (await post(engines, body, "/localmind/v1/generate")).status_code == 200
    assert getattr(engines.asked[0], field) == expected


@pytest.mark.parametrize("body", [{}, {"prompt": "a", "tokens": [1]}, {"tokens": []}, {"messages": []}])
async def test_a_native_generation_continues_exactly_one_thing(body: dict[str, Any]) -> None:
    assert (await post(FakeEngines(), body, "/localmind/v1/generate")).status_code == 400


@pytest.mark.parametrize("event", [TextDelta("x"), Done(cache=CacheReport(1)), ToolCallDelta(0, "c", "f", "{}")])
def test_an_event_survives_the_way_from_a_worker(event: Event) -> None:
    assert decode(encode(event)) == event


@pytest.mark.parametrize("data", [None, 5, {}, {"type": "X"}, {"type": ["TextDelta"]}, {"type": "TextDelta"}])
def test_what_is_no_event_is_refused(data: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(data)
