"""What is remembered of models in memory over a restart, and what a daemon that preloads does with it."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind import catalog
from localmind.catalog import Catalog
from localmind.durations import FOREVER
from localmind.machine.devices import Machine
from localmind.machine.plan import Wishes
from localmind.machine.probe import PlanMemory
from localmind.messages import Message
from localmind.models.store import Store
from localmind.workers.engines import Engines, Options
from localmind.workers.kept import Kept
from localmind.workers.request import Request

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_engine.py"))]
CHAT = "smollm2:135m"


async def test_what_was_set_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state" / "kept.json"
    kept = Kept(path)
    await kept.used("a")
    await kept.used("b")
    await kept.pin("a", True)
    await kept.pin("b", True)
    await kept.pin("a", False)
    await kept.keep("a", 60.0)
    await kept.keep("b", FOREVER)
    await kept.keep("c", 1.0)
    await kept.keep("c", None)
    again = Kept(path)
    assert (again.last, again.pinned, again.keep_alive) == ("b", ("b",), {"a": 60.0, "b": FOREVER})


async def test_what_changes_nothing_is_not_written(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept.json")
    await kept.pin("a", False)
    assert not (tmp_path / "kept.json").exists()
    await kept.used("a")
    (tmp_path / "kept.json").unlink()
    await kept.used("a")
    assert not (tmp_path / "kept.json").exists(), "every request says which model it uses"


async def test_without_a_file_it_lasts_as_long_as_the_daemon() -> None:
    kept = Kept(None)
    await kept.used("a")
    assert kept.last == "a"


@given(
    st.binary(max_size=60) | st.sampled_from([b"{}", b'{"last": 3}', b'{"pinned": "a"}', b'{"keep_alive": []}', b""])
)
def test_a_file_that_makes_no_sense_counts_as_empty(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "strange.json"
    path.write_bytes(data)
    kept = Kept(path)
    assert (kept.last, kept.pinned, kept.keep_alive) == ("", (), {})


async def test_a_disk_that_refuses_keeps_no_model_from_answering(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kept.json").mkdir()  # nothing can be written in its place
    caplog.set_level(logging.WARNING)
    kept = Kept(tmp_path / "kept.json")
    await kept.used("a")
    assert kept.last == "a"
    assert "is not kept" in caplog.text


Make = Callable[..., Engines]


@pytest.fixture
async def make(starter_store: Store, tmp_path: Path) -> AsyncIterator[Make]:
    started: list[Engines] = []

    def engines(limit_mb: int = 4096) -> Engines:
        started.append(
            Engines(
                Catalog(catalog.bundled()),
                starter_store,
                PlanMemory(tmp_path / "plans.json"),
                Machine.here(),
                default_model=CHAT,
                wishes=Wishes(n_ctx=2048),
                options=Options(7, prefix_ram_mb=0),
                command=COMMAND,
                limit_mb=limit_mb,
                kept_file=tmp_path / "kept.json",
            )
        )
        return started[-1]

    yield engines
    for each in started:
        await each.stop()


async def test_the_model_used_last_is_loaded_at_the_start(make: Make) -> None:
    first = make()
    async for _ in first.generate(first.resolve(None), Request(messages=(Message("user", "hi"),))):
        pass
    await first.stop()
    second = make()
    assert second.status() == []
    await second.preload()
    (status,) = second.status()
    assert (status["model"], status["state"], status["pinned"]) == (CHAT, "loaded", False)


async def test_pins_and_keep_alive_hold_after_a_restart(make: Make, tmp_path: Path) -> None:
    first = make()
    await first.pin(first.resolve(None), True)
    await first.keep(first.resolve(None), 90.0)
    second = make()
    await second.preload()
    (status,) = second.status()
    assert (status["state"], status["pinned"], status["keep_alive_s"]) == ("loaded", True, 90.0)
    await second.unload(second.resolve(None))
    assert Kept(tmp_path / "kept.json").pinned == (), "who takes a model out of memory lifts its pin"


async def test_a_model_that_is_not_there_any_more_is_left_out(make: Make, tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text('{"last": "qwen3:4b", "pinned": ["gone:1b"], "keep_alive": {"gone:1b": 5}}')
    engines = make()
    await engines.preload()
    assert engines.status() == []


async def test_a_model_that_fits_no_more_is_left_for_when_it_is_asked_for(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kept.json").write_text(f'{{"last": "{CHAT}", "pinned": []}}')
    engines = make(limit_mb=1)
    await engines.preload()
    assert engines.status()[0]["state"] == "cold"
    assert f"{CHAT} is not preloaded: {CHAT} needs" in caplog.text
