"""kill -9 at any moment: the next start holds exactly what a fresh index of the folder holds."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest
from knowledge_fakes import VECTOR_METHODS, FakeCalls, Household

from localmind.knowledge.chroma_worker import VectorCalls


async def indexed(base: Path, calls: VectorCalls) -> tuple[Household, dict[str, list[tuple[int, int, str]]]]:
    house = Household(base)
    house.vectors = FakeCalls({name: getattr(calls, name) for name in VECTOR_METHODS})
    await house.fresh().start()
    await house.knowledge.add_folder(house.folder)
    await house.knowledge.wait_indexed()
    return house, await house.contents()


def crash(base: Path, dice: random.Random) -> None:
    """Start the victim, let it get somewhere, and kill it in the middle of a turn."""
    command = [sys.executable, str(Path(__file__).with_name("crash_victim.py")), str(base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        for _ in range(dice.randint(1, 6)):
            assert victim.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            victim.wait(dice.uniform(0.01, 0.3))
        victim.kill()


async def test_after_a_kill_at_a_random_moment_the_index_equals_the_folder(tmp_path: Path) -> None:
    dice = random.Random(7)
    (tmp_path / "folder").mkdir()
    for _ in range(4):
        await asyncio.to_thread(crash, tmp_path, dice)

    calls = VectorCalls()
    house, after = await indexed(tmp_path, calls)
    database, vectors = house.knowledge._database, house.knowledge._vectors
    rows = await database.run(lambda index: index.db.execute("SELECT id FROM chunk").fetchall())
    [root] = list(house.knowledge._reading.work)
    assert set(await vectors._call("ids", root, "toy:1")) == {row["id"] for row in rows}
    await house.knowledge.close()
    calls.close()

    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh/folder").symlink_to(tmp_path / "folder")
    other = VectorCalls()
    house, fresh = await indexed(tmp_path / "fresh", other)
    await house.knowledge.close()
    other.close()
    assert after == fresh
    assert set(after) == {path.name for path in (tmp_path / "folder").iterdir() if path.suffix == ".md"}
