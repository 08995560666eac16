"""Engines over a scripted worker process: what a load is told, what a request carries, what is counted."""

import contextlib
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localmind import catalog
from localmind.catalog import Catalog
from localmind.errors import InvalidRequest, QueueFull
from localmind.events import Done, ReasoningDelta, TextDelta, ToolCallDelta
from localmind.machine.devices import Machine
from localmind.machine.plan import Wishes
from localmind.machine.probe import PlanMemory
from localmind.messages import CacheReport, Message, SamplingParams, Timings, Tool, ToolUse, Usage
from localmind.models.store import Store
from localmind.workers.brake import Brake
from localmind.workers.engines import Engines, Options
from localmind.workers.request import Request

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_engine.py"))]
HELLO = (Message("user", "hi"),)


@pytest.fixture
async def engines(starter_store: Store, tmp_path: Path) -> AsyncIterator[Engines]:
    made = Engines(
        Catalog(catalog.bundled()),
        starter_store,
        PlanMemory(tmp_path / "plans.json"),
        Machine.here(),
        default_model="smollm2:135m",
        wishes=Wishes(kv_type="q8_0"),
        options=Options(7, tmp_path / "cache" / "prefixes", 100, 200, speculation=False, draft_model="smollm2:135m"),
        command=COMMAND,
        limit_mb=4096,  # whatever other tests hold at this moment
    )
    yield made
    await made.stop()


async def test_a_load_is_told_what_the_user_set(engines: Engines, starter_store: Store, tmp_path: Path) -> None:
    spec = engines.resolve(None)
    assert engines.memory(spec) is None
    assert await engines.states() == {}, "nobody is woken to be looked at"
    await engines.load(spec)
    told = (await engines.states())[spec.name]["loaded_with"]
    assert told["plan"]["kv_type"] == "q8_0"
    assert told["cache_dir"] == str(tmp_path / "cache" / "prefixes")
    assert stat.S_IMODE((tmp_path / "cache" / "prefixes").stat().st_mode) == 0o700
    assert (told["queue_limit"], told["prefix_ram_mb"], told["prefix_disk_mb"]) == (7, 100, 200)
    assert told["speculation"] is False
    assert told["draft_model"] == str(starter_store.locate("smollm2:135m"))
    assert engines.memory(spec) == {"kind": "attention", "explanation": "any beginning can be shared"}
    assert engines.status()[0]["memory"] == engines.memory(spec)


async def test_live_workers_forget_their_prompts_and_nobody_is_woken_for_it(engines: Engines) -> None:
    await engines.forget_prompts()
    assert await engines.states() == {}
    spec = engines.resolve(None)
    await engines.load(spec)
    await engines.forget_prompts()
    assert (await engines.states())[spec.name]["loaded_with"]["forgot"] == 1


async def test_every_kind_of_event_comes_back_and_is_counted(engines: Engines) -> None:
    spec = engines.resolve("smollm2")
    asked = Request(messages=HELLO, tools=ToolUse((Tool("f"),)), priority="background", explain=True)
    events = [event async for event in engines.generate(spec, asked)]
    report = CacheReport(8, "disk", 8, "first differs at token 8")
    assert events == [
        ReasoningDelta("hm"),
        TextDelta("['explain', 'messages', 'priority', 'tools']"),
        ToolCallDelta(0, "c", "f", "{}"),
        Done("tool_calls", Usage(30, 17, 8), Timings(1.0, 100.0, 100.0, 2.0), spec.name, report),
    ]
    tally = engines.tallies()[spec.name]
    assert tally.outcomes == {"tool_calls": 1}
    assert (tally.prompt_tokens, tally.cached_tokens, tally.generated_tokens) == (30, 8, 17)
    assert (tally.prefill_tok_s, tally.decode_tok_s) == (220.0, 160.0)
    assert sum(tally.first_token.counts) == 1
    assert (tally.launches, tally.deaths) == (1, 0)


async def test_a_full_queue_says_when_to_come_back_and_is_counted(engines: Engines) -> None:
    spec = engines.resolve(None)
    with pytest.raises(QueueFull) as caught:
        async for _ in engines.generate(spec, Request(messages=HELLO, client="one too many")):
            pass
    assert caught.value.retry_after_s >= 1
    assert engines.tallies()[spec.name].outcomes == {"queue_full": 1}


async def test_an_asker_who_leaves_is_counted_as_cancelled(engines: Engines) -> None:
    spec = engines.resolve(None)
    async with contextlib.aclosing(engines.generate(spec, Request(messages=HELLO))) as events:
        async for _ in events:
            break
    assert engines.tallies()[spec.name].outcomes == {"cancelled": 1}
    assert engines.status()[0]["running"] == 0


async def test_a_generation_that_is_braked_says_what_it_cost_and_its_tokens_count(engines: Engines) -> None:
    spec, brake = engines.resolve(None), Brake()
    asked = Request(messages=HELLO, client="without an end")
    assert not brake.pull(), "nothing has begun"
    said = []
    async for event in engines.generate_with_progress(spec, asked, brake):
        said.append(event)
        if isinstance(event, TextDelta):
            assert brake.pull()
            assert brake.pull(), "once more is the same"
    assert said[-1] == Done("cancelled", Usage(30, 17, 8), Timings(prefill_ms=100, decode_ms=200), spec.name)
    assert not brake.pull(), "it has ended"
    tally = engines.tallies()[spec.name]
    assert (tally.outcomes, tally.generated_tokens, engines.status()[0]["running"]) == ({"cancelled": 1}, 17, 0)


async def test_short_calls_reach_the_worker(engines: Engines) -> None:
    spec = engines.resolve(None)
    assert await engines.embed(spec, ["a", "b"]) == ([b"\0\0\x80?"] * 2, 5)
    assert await engines.rerank(spec, "q", ["a", "b"]) == [0.0, 1.0]
    assert await engines.count(spec, HELLO) == 1


def test_an_embedder_is_found_by_name_or_as_the_first_there_is(engines: Engines) -> None:
    assert engines.embedder(None).name == "all-minilm:l6-v2"
    assert engines.embedder("smollm2").name == "smollm2:135m"
    with pytest.raises(InvalidRequest, match="speech"):
        engines.embedder("whisper:tiny.en")


def test_a_choice_has_a_seed_of_its_own_only_where_one_was_given() -> None:
    asked = Request(sampling=SamplingParams(seed=2**32 - 1))
    assert [asked.choice(index).sampling.seed for index in (0, 1, 2)] == [2**32 - 1, 0, 1]
    assert Request().choice(3) == Request()
