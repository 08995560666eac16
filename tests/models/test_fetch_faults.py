"""Each way in which a server can misbehave: how the download ends, what it says, and what lies on the disk afterwards.

A download that ended badly leaves nothing, or a part that is a true beginning of the file with its note.
"""

import errno
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import httpx2
import pytest
from index_fakes import (
    Answer,
    Changed,
    Compressed,
    Corrupt,
    Drop,
    Endless,
    Fault,
    Longer,
    NoLength,
    Stall,
    Trickle,
    noise,
    running_index,
)

from localmind.errors import DiskFull, DownloadFailed, HashMismatch, LocalmindError
from localmind.events import Progress
from localmind.models.fetch import REHASH, Fetch
from localmind.models.line import Patience
from localmind.models.room import FLOOR, free_space, reserve_blocks
from localmind.models.steps import thinned

BODY = noise(1_000_000, 11)
OTHER = noise(1_000_000, 12)
SHA256 = hashlib.sha256(BODY).hexdigest()
PLENTY = FLOOR + 10_000_000
PATIENT = Patience(pause_s=0.0, attempts=3, longest_wait_s=2.0)
QUICK = Patience(stall_s=2.0, attempts=2, pause_s=0.0, least_rate=50_000)
"""Where a peer falls silent; elsewhere a busy machine is none."""


def fetch_of(index, client, place: Path, **changes) -> Fetch:
    index.files.setdefault("file", BODY)
    values = {"free": lambda _: PLENTY, "patience": PATIENT, "label": "the file"} | changes
    url = values.pop("url", f"{index.url}/files/file")
    return Fetch(url, place / "file.part", SHA256, len(BODY), client, **values)


def patience_for(faults: list[Fault]) -> Patience:
    return QUICK if any(isinstance(fault, Stall | Trickle) for fault in faults) else PATIENT


async def run(fetch: Fetch) -> list[Progress]:
    return [step async for step in fetch.run()]


def redirect(target: str, status: int = 302) -> Answer:
    return Answer(status, headers=(("Location", target),))


GATED = Answer(403, headers=(("X-Error-Code", "GatedRepo"), ("X-Error-Message", "Access is\x1b[31m restricted")))

BAD_ENDINGS: list[tuple[str, list[Fault], type[LocalmindError], str, int | None]] = [
    # name, what the server does, the error, what it says, bytes of the part that stays
    ("drops for ever", [Drop(300_000), *[Drop(0)] * 9], DownloadFailed, "the connection ended|peer closed", 300_000),
    ("stalls for ever", [Stall(300_000), *[Stall(0)] * 9], DownloadFailed, "nothing came for 2 s", 300_000),
    ("drips", [Trickle(300_000), *[Trickle(0)] * 9], DownloadFailed, r"only \d+ bytes came in \d+ s", 300_000),
    ("wrong bytes", [Corrupt()], HashMismatch, "the file has the sha256", None),
    ("wrong bytes after a part", [Drop(400_000), Corrupt(), Corrupt()], HashMismatch, "has the sha256", None),
    ("too long", [Longer()], HashMismatch, "has more bytes instead of 1000000", None),
    ("endless", [Endless()], HashMismatch, "has more bytes instead of 1000000", None),
    ("short without a length", [NoLength(1000), *[NoLength(0)] * 9], DownloadFailed, "ended after 1000 of", 1000),
    ("another file under way", [Drop(300_000), Changed(OTHER, '"two"')], HashMismatch, "has the sha256", None),
    ("compressed", [Compressed()], DownloadFailed, "compresses the file although asked not to", None),
    ("compressed later", [Drop(300_000), Compressed()], DownloadFailed, "compresses the file", 300_000),
    ("gone", [Answer(404)], DownloadFailed, "answers 404 for the file", None),
    ("no token", [Answer(401)], DownloadFailed, "answers 401 for the file", None),
    ("gated", [GATED], DownloadFailed, r"answers 403 for the file: Access is restricted$", None),
    ("gated later", [Drop(300_000), GATED], DownloadFailed, "answers 403", 300_000),
    ("busy for ever", [Answer(503)] * 9, DownloadFailed, "downloading the file failed: the server answers 503", None),
    ("wants an hour", [Answer(429, "3600")], DownloadFailed, "429 and wants to be left alone for 3600 s", None),
    ("a date", [Answer(503, formatdate(4e9, usegmt=True))], DownloadFailed, r"left alone for \d{8,} s", None),
    ("round and round", [redirect("/files/file")] * 9, DownloadFailed, "from one place to another, 5 times", None),
    ("to a file", [redirect("file:///etc/passwd")], DownloadFailed, "to a place that is no web address", None),
    ("to a script", [redirect("javascript:alert(1)")], DownloadFailed, "to a place that is no web address", None),
    ("to nonsense", [redirect("http://[::1/x")], DownloadFailed, "to a place that is no web address", None),
    ("206 unasked", [Answer(206)] * 9, DownloadFailed, "cannot continue this download", None),
    ("416 for ever", [Answer(416)] * 9, DownloadFailed, "cannot continue this download", None),
    ("416 after a part", [Drop(300_000), *[Answer(416)] * 9], DownloadFailed, "cannot continue", None),
    ("no content", [Answer(204)], DownloadFailed, "answers 204", None),
]


@pytest.mark.parametrize(("faults", "error", "says", "stays"), [row[1:] for row in BAD_ENDINGS], ids=[
    row[0] for row in BAD_ENDINGS
])  # fmt: skip
async def test_a_download_that_cannot_be_says_why_and_leaves_only_a_true_part(
    index, client, tmp_path, faults, error, says, stays
) -> None:
    index.faults.extend(faults)
    with pytest.raises(error, match=says) as caught:
        await run(fetch_of(index, client, tmp_path, patience=patience_for(faults)))
    assert type(caught.value) is error
    assert caught.value.hint
    assert caught.value.message.isprintable()
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    part = left.pop("file.part", b"")
    assert part == BODY[: len(part)]
    if stays is None:
        assert part == b""
    else:
        # What trickled or was dropped after its last byte counts too.
        assert stays <= len(part) < stays + 1000
        assert set(left) == {"file.part.json"}
    # Whatever happened: with a sound server the next run ends well, and takes only what is missing.
    index.faults.clear()
    index.etag = '"one"'
    index.files["file"] = BODY
    await run(fetch_of(index, client, tmp_path))
    assert (tmp_path / "file.part").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["file.part"]
    assert index.seen[-1].range == (f"bytes={len(part)}-" if part else None)


GOOD_ENDINGS: list[tuple[str, list[Fault]]] = [
    ("no length", [NoLength()]),
    ("no length and dropped", [NoLength(300_000), NoLength(10_000)]),
    ("busy, then a short wait", [Answer(503), Answer(429, "0"), Answer(425)]),
    ("a wait until a date that has passed", [Answer(503, formatdate(0, usegmt=True))]),
    ("a wait that is no wait", [Answer(503, "soon")]),
    ("the same bytes under another etag", [Drop(300_000), Changed(BODY, '"two"')]),
    ("dripping once", [Trickle(500_000)]),
    ("416 once", [Drop(300_000), Answer(416)]),
]


@pytest.mark.parametrize("faults", [row[1] for row in GOOD_ENDINGS], ids=[row[0] for row in GOOD_ENDINGS])
async def test_a_download_that_can_be_saved_is_saved(index, client, tmp_path, faults) -> None:
    index.faults.extend(faults)
    await run(fetch_of(index, client, tmp_path, patience=replace(patience_for(faults), attempts=5)))
    assert (tmp_path / "file.part").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["file.part"]


async def test_an_endless_body_is_left_after_what_was_promised(index, client, tmp_path) -> None:
    index.faults.append(Endless())
    with pytest.raises(HashMismatch):
        await run(fetch_of(index, client, tmp_path))
    # The rest is what fits into the buffers of two sockets.
    assert index.sent < len(BODY) + (16 << 20)


@pytest.mark.parametrize(
    "etag", ['"../../../../tmp/evil"', '"a\x7fb"', '"' + "x" * 4000 + '"', "unquoted", 'W/"weak"', '"a" "b"', ""]
)
async def test_an_etag_names_no_file_and_an_odd_one_is_not_sent_back(index, client, tmp_path, etag) -> None:
    index.etag = etag
    index.faults.append(Drop(300_000))
    place = tmp_path / "deep" / "place"
    place.mkdir(parents=True)
    await run(fetch_of(index, client, place))
    assert (place / "file.part").read_bytes() == BODY
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file.part"]
    sent = index.seen[1].if_range
    assert sent == (etag if etag == '"../../../../tmp/evil"' else None)


@pytest.mark.parametrize("note", ["{", "[]", '{"url": 1}', '{"url": "u", "etag": "\\"a\\r\\nX-Evil: 1\\""}', "\0"])
async def test_a_note_that_was_tampered_with_is_not_obeyed(index, client, tmp_path, note) -> None:
    (tmp_path / "file.part").write_bytes(BODY[:1000])
    (tmp_path / "file.part.json").write_text(note)
    await run(fetch_of(index, client, tmp_path))
    assert index.seen[0].if_range is None
    assert (tmp_path / "file.part").read_bytes() == BODY


@pytest.fixture
def elsewhere() -> Iterator[object]:
    """Another host: the same address, another port."""
    with running_index() as running:
        running.files["file"] = BODY
        yield running


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_token_goes_to_its_own_host_and_not_where_that_sends_us(
    index, elsewhere, client, tmp_path, status
) -> None:
    index.faults.extend([redirect("/files/file", status), redirect(f"{elsewhere.url}/files/file", status)])
    elsewhere.faults.append(Drop(300_000))
    token = {"Authorization": "Bearer hf_secret"}
    await run(fetch_of(index, client, tmp_path, headers=token))
    assert (tmp_path / "file.part").read_bytes() == BODY
    assert [seen.authorization for seen in index.seen][:2] == ["Bearer hf_secret"] * 2
    assert [seen.authorization for seen in elsewhere.seen] == [None]
    # The next connection asks the first host again, with the range.
    assert index.seen[2].range == "bytes=300000-"
    assert index.seen[2].authorization == "Bearer hf_secret"


async def test_a_password_in_the_url_stays_with_its_host_and_out_of_every_message(
    index, elsewhere, client, tmp_path
) -> None:
    url = index.url.replace("http://", "http://me:hunter2@") + "/files/file?signature=hunter2"
    index.faults.extend([redirect(f"{elsewhere.url}/files/file"), Answer(403)])
    elsewhere.faults.append(Answer(500))
    with pytest.raises(DownloadFailed) as caught:
        await run(fetch_of(index, client, tmp_path, url=url, label=""))
    assert index.seen[0].authorization
    assert elsewhere.seen[0].authorization is None
    assert "hunter2" not in caught.value.message
    assert index.url in caught.value.message


async def test_nobody_is_sent_from_https_to_http(tmp_path) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.scheme == "https"
        return httpx2.Response(302, headers={"Location": "http://hub.example/file"})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client:
        fetch = Fetch(
            "https://hub.example/file", tmp_path / "p", SHA256, 9, client, free=lambda _: PLENTY, patience=PATIENT
        )
        with pytest.raises(DownloadFailed, match="from https to http"):
            await run(fetch)


def no_blocks(path: Path, size: int) -> bool:
    """As on a file system that cannot reserve."""
    return False


async def test_blocks_are_reserved_before_the_first_byte_and_the_length_still_tells_what_came(
    index, client, tmp_path
) -> None:
    index.faults.append(Stall(300_000))
    steps = fetch_of(index, client, tmp_path, patience=Patience()).run()
    async for step in steps:
        if step.done >= 300_000:
            break
    found = (tmp_path / "file.part").stat()
    assert (found.st_size, found.st_blocks * 512 >= len(BODY)) == (300_000, True)
    await steps.aclose()
    await run(fetch_of(index, client, tmp_path))
    assert index.seen[-1].range == "bytes=300000-"


async def test_two_downloads_do_not_count_on_the_same_room(index, client, tmp_path) -> None:
    index.files["file"] = BODY
    index.faults.append(Stall(300_000))
    room = FLOOR + 1_500_000
    first = fetch_of(index, client, tmp_path / "a", free=lambda _: room, patience=Patience(), reserve=no_blocks)
    second = fetch_of(index, client, tmp_path / "b", free=lambda _: room, reserve=no_blocks)
    for fetch in (first, second):
        fetch.part.parent.mkdir()
    steps = first.run()
    async for step in steps:
        if step.done:
            break
    with pytest.raises(DiskFull, match="the file needs"):
        await run(second)
    assert len(index.seen) == 1
    await steps.aclose()
    await run(second)
    assert second.part.read_bytes() == BODY


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 0.5 MB: a mounted tmpfs where we may, else a link to /dev/full stands for the part."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(place)], capture_output=True, check=False
    ) if shutil.which("mount") else None  # fmt: skip
    if mounted is None or mounted.returncode:
        (place / "file.part").symlink_to("/dev/full")
    yield place
    if mounted is not None and not mounted.returncode:
        subprocess.run(["umount", str(place)], check=True)


async def test_a_disk_that_is_really_full_ends_the_download_and_what_was_written_is_good(
    index, client, tmp_path, small_disk
) -> None:
    fetch = fetch_of(index, client, small_disk, reserve=no_blocks)
    mounted = not fetch.part.is_symlink()
    with pytest.raises(DiskFull, match="the file needs") as caught:
        await run(fetch)
    assert "free some space" in str(caught.value.hint)
    assert caught.value.message.isprintable()
    if mounted:
        have = fetch.part.read_bytes()
        assert len(have) >= 1 << 18
        assert have == BODY[: len(have)]
        # Room again: the same part on a larger disk goes on from there.
        shutil.copy(fetch.part, tmp_path / "file.part")
        await run(fetch_of(index, client, tmp_path))
        assert index.seen[-1].range == f"bytes={len(have)}-"
        assert (tmp_path / "file.part").read_bytes() == BODY


async def test_a_disk_that_is_really_full_is_noticed_before_anybody_is_asked(index, client, small_disk) -> None:
    def full(path: Path, size: int) -> bool:
        raise OSError(errno.ENOSPC, "no space")

    mounted = not (small_disk / "file.part").is_symlink()
    with pytest.raises(DiskFull, match="the file needs"):
        await run(fetch_of(index, client, small_disk, reserve=reserve_blocks if mounted else full))
    assert index.seen == []
    assert [path for path in small_disk.iterdir() if not path.is_symlink()] == []


async def test_a_disk_too_small_is_refused_before_anybody_is_asked(index, client, small_disk) -> None:
    with pytest.raises(DiskFull):
        await run(fetch_of(index, client, small_disk, free=lambda place: min(free_space(place), FLOOR)))
    assert index.seen == []


async def test_a_long_part_is_hashed_in_steps_that_can_be_cancelled(index, client, tmp_path) -> None:
    body = noise(2 * REHASH + 2000, 13)
    index.files["file"] = body
    (tmp_path / "file.part").write_bytes(body[:-1000])

    def fetch() -> Fetch:
        digest = hashlib.sha256(body).hexdigest()
        free = PLENTY + len(body)
        return Fetch(f"{index.url}/files/file", tmp_path / "file.part", digest, len(body), client, free=lambda _: free)

    steps = fetch().run()
    first = await anext(steps)
    await steps.aclose()
    assert (first.stage, first.done, first.total) == ("check", float(REHASH), float(len(body)))
    assert index.seen == []
    assert [step.stage for step in await run(fetch())][:3] == ["check", "check", "download"]
    assert index.seen[0].range == f"bytes={len(body) - 1000}-"


async def test_progress_tells_the_rate_of_the_last_seconds_and_the_time_left() -> None:
    now = 0.0

    async def steps():
        nonlocal now
        for second in range(20):
            now = float(second)
            # 10 MB a second, then 1 MB a second.
            done = 1e7 * second if second <= 10 else 1e8 + 1e6 * (second - 10)
            yield Progress("download", done, 2e8, "B")

    kept = [step async for step in thinned(steps(), clock=lambda: now)]
    assert (kept[0].rate, kept[0].eta_s) == (None, None)
    assert (kept[10].rate, kept[10].eta_s) == (1e7, 10.0)
    assert (kept[19].rate, kept[19].eta_s) == (1e6, 91.0)
