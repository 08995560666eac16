"""A newer revision on the hub: fetched and verified beside what is here, and then in its place."""

from pathlib import Path

import pytest
from gguf_files import whole_file
from hub_fakes import FakeHub
from index_fakes import PATIENT, Corrupt, noise

from localmind.catalog import Catalog, HubSource, ModelSpec, PathSource
from localmind.errors import HashMismatch, IndexUnreachable, InvalidRequest, LocalmindError
from localmind.models.describe import undescribed
from localmind.models.hub_config import HubConfig
from localmind.models.names import find_model, find_newest
from localmind.models.pip_config import IndexConfig
from localmind.models.pull import pull
from localmind.models.room import FLOOR
from localmind.models.store import Store

REPO = "Some-Org/Tiny-GGUF"
NAMED = f"hf.co/{REPO}:Q8_0"
DECLARED = undescribed("tiny:1b", [HubSource(repo=REPO)], quantisation="Q8_0")
OLD, NEW = (whole_file() + noise(200_000, seed) for seed in (1, 2))


class Bench:
    """A hub, a store, and a catalog that declares one model of the hub."""

    def __init__(self, hub: FakeHub, store: Store, client) -> None:
        self.hub, self.store, self.client = hub, store, client
        self.config = HubConfig.find({"HF_ENDPOINT": hub.url})
        self.catalog = Catalog((DECLARED,), store.specs)
        self.publish(OLD, "a" * 40)

    def publish(self, data: bytes, commit: str) -> None:
        self.hub.add(REPO, {"Tiny-Q8_0.gguf": data}, commit=commit)

    async def take(self, spec: ModelSpec, *, update: bool) -> bytes:
        how = {"config": IndexConfig(()), "hub": self.config, "client": self.client, "patience": PATIENT}
        async for _ in pull(spec, self.store, free=lambda _: FLOOR + 100_000_000, update=update, **how):
            pass
        return self.here(spec.name)

    async def first(self, name: str) -> bytes:
        return await self.take(await find_model(name, self.catalog, self.config), update=False)

    async def update(self, name: str) -> bytes:
        return await self.take(await find_newest(name, self.catalog, self.config), update=True)

    def here(self, name: str) -> bytes:
        return self.store.locate(self.catalog.find(name).name).read_bytes()

    @property
    def blobs(self) -> int:
        return len(list(self.store.blobs.iterdir()))


@pytest.fixture
def bench(hub: FakeHub, client, tmp_path: Path) -> Bench:
    return Bench(hub, Store(tmp_path / "models"), client)


@pytest.mark.parametrize("name", ["tiny:1b", NAMED])
async def test_a_newer_revision_takes_the_place_of_what_is_here(bench: Bench, name: str) -> None:
    assert await bench.first(name) == OLD
    bench.publish(NEW, "b" * 40)
    assert await bench.first(name) == OLD  # a pull alone changes nothing
    assert await bench.update(name) == NEW
    assert bench.blobs == 1
    assert bench.store.list()[0].origin == f"hf.co/{REPO}@bbbbbbbbbbbb"


@pytest.mark.parametrize("name", ["tiny:1b", NAMED])
async def test_without_a_newer_one_nothing_is_fetched(bench: Bench, name: str) -> None:
    await bench.first(name)
    sent = len(bench.hub.files.seen)
    assert await bench.update(name) == OLD
    assert len(bench.hub.files.seen) == sent


async def test_what_is_here_stays_when_the_newer_one_does_not_come_whole(bench: Bench) -> None:
    await bench.first("tiny:1b")
    bench.publish(NEW, "b" * 40)
    bench.hub.files.faults.append(Corrupt())
    with pytest.raises(HashMismatch):
        await bench.update("tiny:1b")
    assert bench.here("tiny:1b") == OLD
    bench.hub.status = 500
    with pytest.raises(LocalmindError) as caught:
        await bench.update("tiny:1b")
    assert not isinstance(caught.value, HashMismatch)
    assert bench.here("tiny:1b") == OLD
    bench.hub.status = None
    assert await bench.update("tiny:1b") == NEW


async def test_a_model_that_another_still_needs_keeps_its_file(bench: Bench) -> None:
    await bench.first("tiny:1b")
    await bench.first(NAMED)
    bench.publish(NEW, "b" * 40)
    await bench.update("tiny:1b")
    assert (bench.here("tiny:1b"), bench.here(NAMED), bench.blobs) == (NEW, OLD, 2)


async def test_what_is_not_from_the_hub_has_nothing_newer(bench: Bench, tmp_path: Path) -> None:
    mine = undescribed("mine", [PathSource(paths=(str(tmp_path / "mine.gguf"),))])
    other = Catalog((), lambda: (mine,))
    with pytest.raises(InvalidRequest, match="does not come from the Hub"):
        await find_newest("mine", other, bench.config)
    with pytest.raises(IndexUnreachable):
        await bench.first(NAMED)
        await find_newest(NAMED, bench.catalog, HubConfig.find({"HF_ENDPOINT": "http://127.0.0.1:1"}))
