"""Every way in which a download goes wrong, and what is left afterwards."""

import contextlib
import hashlib
from pathlib import Path

import httpx2
import pytest
from index_fakes import (
    PATIENT,
    QUICK,
    Answer,
    Compressed,
    Corrupt,
    Drop,
    FakeIndex,
    IgnoreRange,
    Longer,
    Stall,
    WrongRange,
    noise,
)

from localmind.errors import DiskFull, DownloadFailed, HashMismatch
from localmind.events import Progress
from localmind.models.fetch import Fetch
from localmind.models.line import Patience
from localmind.models.room import FLOOR, FreeSpace
from localmind.models.steps import thinned

BODY = noise(1_000_000, 7)
PLENTY = FLOOR + 10_000_000


def fetch_of(
    index: FakeIndex,
    client: httpx2.Client,
    tmp_path: Path,
    free: FreeSpace = lambda _: PLENTY,
    body: bytes = BODY,
    patience: Patience = PATIENT,
) -> Fetch:
    index.files["file"] = body
    sha256 = hashlib.sha256(BODY).hexdigest()
    return Fetch(
        f"{index.url}/files/file", tmp_path / "file.part", sha256, len(BODY), client, free=free, patience=patience
    )


async def run(fetch: Fetch) -> list[Progress]:
    return [step async for step in fetch.run()]


def ranges(index: FakeIndex) -> list[str | None]:
    return [seen.range for seen in index.seen]


async def test_a_file_arrives_whole_with_progress_and_no_note(index, client, tmp_path) -> None:
    fetch = fetch_of(index, client, tmp_path)
    steps = await run(fetch)
    assert fetch.part.read_bytes() == BODY
    assert (steps[0].done, steps[-1].done, steps[-1].total, steps[-1].unit) == (0.0, 1e6, 1e6, "B")
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert not fetch.note.exists()


async def test_a_dropped_connection_continues_where_it_stopped(index, client, tmp_path) -> None:
    index.faults.extend([Drop(300_000), Drop(100_001)])
    await run(fetch_of(index, client, tmp_path))
    assert (tmp_path / "file.part").read_bytes() == BODY
    assert ranges(index) == [None, "bytes=300000-", "bytes=400001-"]
    assert [seen.if_range for seen in index.seen] == [None, '"one"', '"one"']


async def test_a_later_run_continues_what_an_earlier_one_left(index, client, tmp_path) -> None:
    index.faults.append(Drop(700_000))
    steps = fetch_of(index, client, tmp_path).run()
    async with contextlib.aclosing(steps):
        async for step in steps:
            if step.done >= 300_000:
                break
    have = (tmp_path / "file.part").stat().st_size
    assert 300_000 <= have < 1_000_000
    again = await run(fetch_of(index, client, tmp_path))
    assert again[0].done == have
    assert ranges(index)[-1] == f"bytes={have}-"
    assert (tmp_path / "file.part").read_bytes() == BODY


async def test_a_server_that_cannot_continue_is_read_from_the_start(index, client, tmp_path) -> None:
    index.faults.extend([Drop(300_000), IgnoreRange()])
    await run(fetch_of(index, client, tmp_path))
    assert (tmp_path / "file.part").read_bytes() == BODY


async def test_a_changed_etag_starts_over_instead_of_mixing_two_files(index, client, tmp_path) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    (tmp_path / "file.part.json").write_text('{"url": "u", "etag": "\\"old\\""}')
    await run(fetch_of(index, client, tmp_path))
    assert index.seen[0].if_range == '"old"'
    assert len(index.seen) == 1
    assert (tmp_path / "file.part").read_bytes() == BODY


async def test_a_weak_etag_is_not_sent_as_if_range(index, client, tmp_path) -> None:
    index.etag = 'W/"weak"'
    index.faults.append(Drop(500_000))
    await run(fetch_of(index, client, tmp_path))
    assert [seen.if_range for seen in index.seen] == [None, None]
    assert (tmp_path / "file.part").read_bytes() == BODY


async def test_a_content_range_that_was_not_asked_for_is_not_believed(index, client, tmp_path) -> None:
    index.faults.extend([Drop(300_000), WrongRange()])
    await run(fetch_of(index, client, tmp_path))
    assert ranges(index) == [None, "bytes=300000-", None]
    assert (tmp_path / "file.part").read_bytes() == BODY


async def test_a_damaged_part_of_an_earlier_run_gets_one_clean_try(index, client, tmp_path) -> None:
    (tmp_path / "file.part").write_bytes(b"\0" * 400_000)
    await run(fetch_of(index, client, tmp_path))
    assert ranges(index) == ["bytes=400000-", None]
    assert (tmp_path / "file.part").read_bytes() == BODY


async def test_a_part_that_is_too_long_is_thrown_away(index, client, tmp_path) -> None:
    (tmp_path / "file.part").write_bytes(BODY + b"x")
    await run(fetch_of(index, client, tmp_path))
    assert ranges(index) == [None]


async def test_a_complete_part_is_verified_without_asking_anybody(index, client, tmp_path) -> None:
    (tmp_path / "file.part").write_bytes(BODY)
    await run(fetch_of(index, client, tmp_path))
    assert index.seen == []


@pytest.mark.parametrize("fault", [Corrupt(), Longer()])
async def test_wrong_bytes_are_refused_and_nothing_is_left(index, client, tmp_path, fault) -> None:
    index.faults.append(fault)
    with pytest.raises(HashMismatch) as caught:
        await run(fetch_of(index, client, tmp_path))
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


async def test_a_file_of_another_size_is_refused_before_its_body(index, client, tmp_path) -> None:
    with pytest.raises(HashMismatch, match="has 999 bytes instead of 1000000"):
        await run(fetch_of(index, client, tmp_path, body=BODY[:999]))
    assert not (tmp_path / "file.part").exists()


async def test_a_compressed_answer_is_refused(index, client, tmp_path) -> None:
    index.faults.append(Compressed())
    with pytest.raises(DownloadFailed, match="compresses"):
        await run(fetch_of(index, client, tmp_path))


async def test_a_stalled_peer_is_left_and_asked_again(index, client, tmp_path) -> None:
    index.faults.append(Stall(600_000))
    await run(fetch_of(index, client, tmp_path, patience=QUICK))
    assert ranges(index) == [None, "bytes=600000-"]
    assert (tmp_path / "file.part").read_bytes() == BODY


async def test_a_peer_that_never_brings_anything_is_given_up_and_the_part_stays(index, client, tmp_path) -> None:
    index.faults.extend([Drop(300_000), *[Drop(0)] * 5])
    with pytest.raises(DownloadFailed) as caught:
        await run(fetch_of(index, client, tmp_path))
    assert "continues where it stopped" in str(caught.value.hint)
    assert (tmp_path / "file.part").stat().st_size == 300_000


async def test_a_busy_server_is_asked_again_and_its_wait_is_obeyed(index, client, tmp_path) -> None:
    index.faults.extend([Answer(503), Answer(429, "0")])
    await run(fetch_of(index, client, tmp_path))
    assert len(index.seen) == 3


async def test_a_refusal_is_not_asked_again(index, client, tmp_path) -> None:
    index.faults.append(Answer(403))
    with pytest.raises(DownloadFailed, match="answers 403"):
        await run(fetch_of(index, client, tmp_path))
    assert len(index.seen) == 1


async def test_a_full_disk_is_noticed_before_a_byte_is_asked_for(index, client, tmp_path) -> None:
    with pytest.raises(DiskFull) as caught:
        await run(fetch_of(index, client, tmp_path, lambda _: FLOOR + 999_999))
    assert index.seen == []
    assert "MB are free" in caught.value.message


async def test_a_disk_that_fills_up_keeps_the_part_for_later(index, client, tmp_path) -> None:
    index.faults.append(Drop(400_000))
    answers = iter([PLENTY, 0, 0])
    fetch = fetch_of(index, client, tmp_path, lambda _: next(answers))
    fetch.reserve = lambda path, size: False  # what was reserved could not be taken away
    with pytest.raises(DiskFull):
        await run(fetch)
    assert (tmp_path / "file.part").stat().st_size == 400_000


async def test_a_write_that_finds_the_disk_full_is_told_as_such(index, client, tmp_path) -> None:
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        await run(fetch_of(index, client, tmp_path))


async def test_an_unreachable_host_is_reported_with_what_to_do(client, tmp_path) -> None:
    fetch = Fetch("http://127.0.0.1:9/x", tmp_path / "p", "0" * 64, 10, client, free=lambda _: PLENTY, patience=PATIENT)
    with pytest.raises(DownloadFailed):
        await run(fetch)


async def test_thinned_progress_keeps_the_last_step_of_every_stage() -> None:
    async def steps():
        for stage in ("download", "unpack"):
            for done in range(5):
                yield Progress(stage, done, 4)

    kept = [(step.stage, step.done) async for step in thinned(steps(), clock=lambda: 0.0)]
    assert kept == [("download", 0), ("download", 4), ("unpack", 0), ("unpack", 4)]
