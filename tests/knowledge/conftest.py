"""Fixtures of the knowledge tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from knowledge_fakes import Household


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Household]:
    """A started Knowledge on toy workers that watches one folder."""
    house = Household(tmp_path, poll_s=0.2)
    house.put("boiler.md", "# Boiler\n\nThe boiler was serviced on 9 October by Marek Dudek.\n")
    house.put("trip/plan.txt", "We fly to Ljubljana on Saturday.\nThe guest house is called Pri Lipi.\n")
    house.an_hour_ago()
    await house.knowledge.start()
    folder = await house.knowledge.add_folder(house.folder)
    await house.knowledge.wait_indexed(folder.id)
    yield house
    await house.knowledge.close()
