"""Chroma's files lost, cut or filled with garbage: a search is answered at once, and the index heals by itself.

The vectors worker is a real process, because Chroma may crash on such files; the embedder is a toy.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from knowledge_fakes import Household, eventually

from localmind.knowledge.index import Index
from localmind.workers.supervisor import Supervisor, launcher

FILES = 1100  # Chroma writes its graph to files from 1,000 vectors on


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(path.name).randbytes(max(4096, path.stat().st_size)))


def truncate(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


def head(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(b"\xff" * 300)


DAMAGES = {"garbage": garbage, "truncated": truncate, "bad beginning": head, "lost": Path.unlink}
NAMES = ("chroma.sqlite3", "data_level0.bin", "header.bin", "length.bin", "link_lists.bin", "index_metadata.pickle")
# All pairs take two minutes; these are the ways in which Chroma itself fails: it raises, it is empty, it crashes.
CASES = [("chroma.sqlite3", "garbage"), ("chroma.sqlite3", "lost"), ("header.bin", "garbage")]


async def opened(house: Household) -> Supervisor:
    """A Knowledge on the household's files with a vectors worker of its own."""
    worker = Supervisor("vectors", launcher("vectors", "vectors"), lifted_after_s=1.0)
    house.vectors = worker  # type: ignore[assignment]  # a real worker in place of the fake
    await house.fresh().start()
    return worker


async def test_damaged_files_are_answered_around_and_healed(tmp_path: Path) -> None:
    house = Household(tmp_path)
    for number in range(FILES):
        house.put(f"{number // 100}/{number}.md", f"File {number} speaks of plum{number} and quince{number * 7}\n")
    worker = await opened(house)
    await house.knowledge.add_folder(house.folder)
    await house.knowledge.wait_indexed()
    await house.knowledge.close()
    await worker.stop()
    shutil.copytree(tmp_path / "state", tmp_path / "whole")
    house.toy.texts.clear()
    for name, damage in CASES:
        shutil.rmtree(tmp_path / "state")
        shutil.copytree(tmp_path / "whole", tmp_path / "state")
        await heal(house, name, DAMAGES[damage])
    assert house.toy.texts == [], "healing embeds nothing"


async def heal(house: Household, name: str, hurt: Callable[[Path], None]) -> None:
    for path in (house.base / "state/chroma").rglob(name):
        hurt(path)
    worker = await opened(house)
    try:
        assert (await house.found("plum77 quince539"))[0] == "0/77.md"

        async def healed() -> bool:
            indexing = await house.knowledge.indexing()
            return indexing.vector_index == "ready" and house.knowledge._vectors.ready(1)

        await eventually(healed)
        ids = await house.knowledge._database.run(chunk_ids)
        assert set(await house.knowledge._vectors._call("ids", 1, "toy:1")) == ids
        assert (await house.found("plum78 quince546"))[0] == "0/78.md"
    finally:
        await house.knowledge.close()
        await worker.stop()


def chunk_ids(index: Index) -> set[int]:
    return {row["id"] for row in index.db.execute("SELECT id FROM chunk")}
