"""Indexes a folder until it is killed; started by test_crash. Real Chroma, toy embedder, no sleep anywhere."""

import asyncio
import sys
from pathlib import Path

from knowledge_fakes import VECTOR_METHODS, FakeCalls, Household

from localmind.knowledge.chroma_worker import VectorCalls


async def main(base: Path) -> None:
    house = Household(base)
    calls = VectorCalls()
    house.vectors = FakeCalls({name: getattr(calls, name) for name in VECTOR_METHODS})
    knowledge = house.fresh()
    await knowledge.start()
    folder = await knowledge.add_folder(house.folder)
    print("started", flush=True)
    for turn in range(1000):
        for number in range(turn % 5, 60, 5):
            house.put(f"{number}.md", f"# File {number}\n\nTurn {turn} speaks of {'plums ' * (number + turn)}.\n")
        if turn % 3 == 0:
            (house.folder / f"{turn % 60}.md").unlink(missing_ok=True)
        knowledge._reading.mark(folder.id, "", now=True)
        await knowledge.wait_indexed()
        print("turn", turn, flush=True)


asyncio.run(main(Path(sys.argv[1])))
