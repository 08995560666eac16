"""How hard the index works: decided purely, asked for at a gate."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from knowledge_fakes import Household, eventually

from localmind.knowledge.pace import Gate, OnBattery, Pace, Sensor, Situation, decide

GIB = 2**30
BATTERY = Situation(on_battery=True, percent=80)


@pytest.mark.parametrize(
    ("now", "policy", "work", "rest", "said"),
    [
        (Situation(), "slow", True, 0.0, None),
        (Situation(paused=True), "full", False, 0.0, "paused by you"),
        (Situation(held=True), "slow", False, 0.0, None),
        (BATTERY, "slow", True, 1.0, "battery"),
        (BATTERY, "full", True, 0.0, None),
        (BATTERY, "off", False, 0.0, "runs on battery"),
        (replace(BATTERY, percent=29), "slow", False, 0.0, "battery is at 29 %"),
        (replace(BATTERY, percent=5), "full", True, 0.0, None),
        (Situation(percent=5), "slow", True, 0.0, None),
        (Situation(others=0.6), "slow", True, 1.0, "other programs"),
        (Situation(others=0.4), "slow", True, 0.0, None),
        (Situation(disk_free=GIB // 10, disk_total=100 * GIB), "slow", False, 0.0, "102 MiB are left"),
        (Situation(disk_free=GIB // 10, disk_total=GIB), "slow", True, 0.0, None),
        (Situation(paused=True, disk_free=0, on_battery=True, held=True), "off", False, 0.0, "paused by you"),
    ],
)
def test_the_strongest_reason_decides(
    now: Situation, policy: OnBattery, work: bool, rest: float, said: str | None
) -> None:
    pace = decide(now, policy)
    assert (pace.work, pace.rest) == (work, rest)
    assert (said is None and pace.reason is None) or (said or "?") in (pace.reason or "")


async def test_a_gate_opens_when_the_last_one_who_waits_for_an_answer_has_gone() -> None:
    rung: list[Pace] = []
    gate = Gate(Situation, lambda: rung.append(gate.pace))
    with gate.hold():
        with gate.hold():
            assert gate.held
            turn = asyncio.create_task(gate.turn())
        await asyncio.sleep(0)
        assert not turn.done()
    await turn
    assert [pace.work for pace in rung] == [False, True]


async def test_a_gate_follows_the_machine() -> None:
    seen = [BATTERY]
    gate = Gate(lambda: seen[-1], lambda: None)
    await gate.look()
    assert gate.pace.rest > 0
    seen.append(replace(BATTERY, percent=10))
    await gate.look()
    assert not gate.pace.work
    seen.append(Situation())
    await gate.look()
    assert gate.pace == Pace()


def test_the_sensor_reads_this_machine(tmp_path: Path) -> None:
    sensor = Sensor(tmp_path)
    first, second = sensor.sense(), sensor.sense()
    assert first.others == 0
    assert 0 <= second.others <= 1
    assert 0 < second.disk_free <= second.disk_total


async def test_a_pause_outlives_a_restart_and_searching_goes_on(house: Household) -> None:
    await house.knowledge.pause(True)
    house.put("later.md", "The kumquat is read later.\n")

    async def looked() -> bool:
        return house.knowledge._reading.work[1].left == 1

    await eventually(looked)
    assert (await house.status()).state == "paused"
    assert await house.found("boiler serviced") == ["boiler.md"]
    await house.knowledge.close()
    await house.fresh().start()
    assert (await house.knowledge.indexing()).paused
    await house.knowledge.wait_indexed()
    assert "later.md" not in await house.contents()
    await house.knowledge.pause(False)

    async def read() -> bool:
        return "later.md" in await house.contents()

    await eventually(read)


async def test_a_paused_index_is_checked_after_a_restart_and_answers_itself(house: Household) -> None:
    await house.knowledge.pause(True)
    await house.knowledge.close()
    await house.fresh().start()

    async def checked() -> bool:
        return house.knowledge._vectors.ready(1)

    await eventually(checked)
    asked = len(house.embed.named("exact"))
    assert await house.found("boiler serviced") == ["boiler.md"]
    assert house.vectors.named("query")
    assert len(house.embed.named("exact")) == asked, "it went through all vectors by hand"


async def test_while_an_answer_streams_only_what_was_just_saved_is_read(house: Household) -> None:
    with house.knowledge.hold():
        house.put("saved.md", "The kumquat was saved now.\n")
        await house.until("kumquat saved", ["saved.md"])
        await house.knowledge._watches.close()
        house.put("found.md", "The persimmon is found by a look.\n")
        house.knowledge._reading.mark(1, "", now=True)
        work = house.knowledge._reading.work[1]

        async def looked() -> bool:
            return bool(work.cold)

        await eventually(looked)
        assert "found.md" not in await house.contents()

    async def read() -> bool:
        return "found.md" in await house.contents()

    await eventually(read)
