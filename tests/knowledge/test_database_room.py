"""A knowledge database that finds no room says so, whatever it was doing."""

from pathlib import Path

import pytest

from localmind.errors import DiskFull
from localmind.knowledge.database import Database
from localmind.knowledge.index import Index


def full(index: Index) -> None:
    """SQLite's own way to be out of room."""
    pages = index.db.execute("PRAGMA page_count").fetchone()[0]
    index.db.execute(f"PRAGMA max_page_count = {pages}")


async def test_a_folder_that_is_added_to_a_full_disk_is_refused_for_that(tmp_path: Path) -> None:
    database = Database(tmp_path / "knowledge.db")
    await database.open()
    await database.run(full)
    with pytest.raises(DiskFull, match="no room left"):
        await database.run(Index.add_root, Path("/home/ines") / ("x" * 100_000), 1)
    assert await database.read(Index.roots) == []
    await database.close()
