"""How soon the index knows of a change; the machine is this test's own."""

import pytest
from knowledge_fakes import Household
from stopwatch import Stopwatch


@pytest.mark.alone
async def test_a_saved_file_is_found_within_three_seconds_and_a_deleted_one_is_gone(house: Household) -> None:
    house.put("new/telescope.md", "The telescope of uncle Bartholomew weighs 14 kg.\n")
    with Stopwatch() as watch:
        await house.until("telescope of Bartholomew", ["new/telescope.md"])
    assert watch.seconds < 3
    await house.knowledge.wait_indexed()
    (house.folder / "new/telescope.md").unlink()
    with Stopwatch() as watch:
        await house.until("telescope of Bartholomew", [])
    assert watch.seconds < 3
    await house.knowledge.wait_indexed()
    assert sum(len(place) for place in house.store.places.values()) == 2
