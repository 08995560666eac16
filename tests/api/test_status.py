"""What `localmind status` is told."""

import time
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.paths import Paths

A_DAY = 86_400.0


class FakeResidence:
    def devices(self) -> list[dict[str, Any]]:
        return []


class FakeKnowledge:
    async def folders(self) -> list[Any]:
        return []


@pytest.mark.parametrize("jump", [A_DAY, -A_DAY])
async def test_a_wall_clock_that_is_set_makes_no_daemon_older_or_younger(
    monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    engines = FakeEngines()
    engines.residence = FakeResidence()
    engines.parts = {"paths": Paths.find(), "knowledge": FakeKnowledge()}
    before = (await post(engines, None, "/localmind/v1/status", method="GET")).json()["uptime_s"]
    wall = time.time
    monkeypatch.setattr("time.time", lambda: wall() + jump)
    after = (await post(engines, None, "/localmind/v1/status", method="GET")).json()["uptime_s"]
    assert 0 <= before <= after < A_DAY / 2
