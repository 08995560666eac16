"""A disk that is gone is not a deletion, a network share makes no events, a machine that slept looks at everything."""

import os
from pathlib import Path

import pytest
from knowledge_fakes import Household, eventually

from localmind.knowledge.index import Index
from localmind.knowledge.mounts import awake, installed_watches, network_mount
from localmind.knowledge.offline import renumbered, without_disk
from localmind.knowledge.scan import Entry, Known
from localmind.knowledge.watch import Watcher

MOUNTS = [
    ("/", "ext4"),
    ("/home", "btrfs"),
    ("/mnt/nas", "nfs4"),
    ("/mnt/nas/local", "ext4"),
    ("/home/u/g", "fuse.sshfs"),
]


def known(relpath: str, device: int, *, mtime: int = 1) -> Known:
    return Known(1, relpath, device, 5, 10, mtime, "r")


def test_a_new_number_of_a_disk_is_learnt_from_files_that_are_where_they_were() -> None:
    rows = {f"{name}.md": known(f"{name}.md", 7) for name in "abc"} | {"moved.md": known("moved.md", 8, mtime=9)}
    found = {f"{name}.md": Entry(f"{name}.md", "text", 70, 5, 10, 1) for name in "ab"}
    found["moved.md"] = Entry("moved.md", "text", 70, 5, 10, 1)
    assert renumbered(rows, found) == {7: 70}


def test_vanished_files_are_deleted_only_where_their_disk_is(tmp_path: Path) -> None:
    here = tmp_path.stat().st_dev
    rows = [Known(1, "gone/deep/a.md", here, 1, 1, 1, "r"), Known(2, "usb/b.md", here + 1, 1, 1, 1, "r")]
    assert without_disk(tmp_path, rows) == {2}
    assert without_disk(tmp_path / "no such root", rows) == set()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/u/notes", None),
        ("/mnt/nas/docs", "nfs4"),
        ("/mnt/nas/local/docs", None),
        ("/home/u", "fuse.sshfs"),
        ("/mnt/nasty", None),
        ("/home/u/g/sub", "fuse.sshfs"),
    ],
)
def test_network_mounts_are_known_by_their_type(path: str, kind: str | None) -> None:
    reason = network_mount(Path(path), MOUNTS)
    assert reason is None if kind is None else kind in (reason or "")


def test_a_folder_on_a_share_is_polled_and_says_why(tmp_path: Path) -> None:
    watcher = Watcher(lambda root, path: None, network=lambda path: "it is on a share")
    assert watcher.add(1, tmp_path).why == "it is on a share"
    watcher.close()


def test_watches_that_the_system_did_not_give_are_noticed_afterwards(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / str(number)).mkdir()
    counts = iter([0, 19])
    watcher = Watcher(lambda root, path: None, installed=lambda: next(counts))
    how = watcher.add(1, tmp_path)
    assert not how.events
    assert "only 19 of 61" in how.why
    watcher.close()


def test_real_watches_are_counted(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / str(number)).mkdir()
    before = installed_watches()
    watcher = Watcher(lambda root, path: None)
    assert watcher.add(1, tmp_path).events
    after = installed_watches()
    assert before is None or after is None or after - before >= 31
    assert not watcher.fewer_than(31)
    assert after is None or watcher.fewer_than(100_000)
    watcher.close()


def test_the_clock_of_sleep_stands_still_while_awake() -> None:
    assert abs(awake() - awake()) < 0.5


async def test_a_machine_that_slept_looks_at_everything(house: Household) -> None:
    await house.knowledge._watches.close()
    house.put("asleep.md", "The kumquat came in the night.\n")
    slept = house.knowledge._upkeep._slept
    house.knowledge._upkeep._slept = lambda: slept() + 3600

    async def seen() -> bool:
        return "asleep.md" in await house.contents()

    await eventually(seen)


async def test_files_of_a_disk_that_went_are_kept_and_told(house: Household) -> None:
    await house.knowledge._database.run(other_disk, "trip/plan.txt")
    (house.folder / "trip/plan.txt").unlink()
    house.knowledge._reading.mark(1, "", now=True)

    async def told() -> bool:
        return "disk that is not there" in ((await house.status()).problem or "")

    await eventually(told)
    assert await house.found("guest house Pri Lipi") == ["trip/plan.txt"]
    assert "kept" in await house.knowledge.why(house.folder / "trip/plan.txt")


def other_disk(index: Index, path: str) -> None:
    index.db.execute("UPDATE file SET device = device + 1 WHERE relpath = ?", (path,))


async def test_names_that_are_not_unicode_and_special_files_stop_nothing(house: Household) -> None:
    os.mkfifo(house.folder / "pipe.md")
    (house.folder / "out.md").symlink_to("/etc/hostname")
    Path(os.fsdecode(os.fsencode(house.folder) + b"/bad\xff.md")).write_text("words")
    (house.folder / "two\nlines.md").write_text("The kumquat is in a file of two lines.\n")
    with (house.folder / "huge.txt").open("wb") as stream:
        stream.truncate(10 * 2**30)

    async def read() -> bool:
        return "two\nlines.md" in await house.contents()

    await eventually(read)
    house.knowledge._reading.mark(1, "", now=True)
    await house.knowledge.wait_indexed()
    assert set(await house.contents()) == {"boiler.md", "trip/plan.txt", "two\nlines.md"}
    told = dict((await house.status()).errors)
    assert "Unicode" in told["bad\\udcff.md"]
    assert "bigger" in told["huge.txt"]
    assert "never opened" in await house.knowledge.why(house.folder / "pipe.md")
