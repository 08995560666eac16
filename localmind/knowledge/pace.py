"""How hard the index may work right now: not at all, at half speed, or fully, and the reason for it.

`decide` is pure: what the machine and the user say in, a Pace out. The Gate holds the Pace of the
moment and lets the tasks that read and embed ask for it; `sense` reads the machine through psutil.
Searching asks nobody: a question is always answered.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

OnBattery = Literal["full", "slow", "off"]

# Below this charge nothing is indexed on battery, whatever the policy but "full". Percent.
LOW_BATTERY = 30.0
# Other programs that keep this share of the cores busy slow us down.
BUSY = 0.5
# Seconds of rest for each second of work when slow: half the time of one core is left to others.
SLOW = 1.0
# Room on the disk that is left to others: this many bytes, or this share of a small disk.
RESERVE, RESERVE_SHARE = 200 * 2**20, 0.05
SENSE_S = 5.0


@dataclass(slots=True, frozen=True)
class Situation:
    """What counts. `others`: share of all cores that other programs keep busy, 0 to 1."""

    paused: bool = False
    held: bool = False
    on_battery: bool = False
    percent: float = 100.0
    others: float = 0.0
    disk_free: int = 2**40
    disk_total: int = 2**40


@dataclass(slots=True, frozen=True)
class Pace:
    """`work`: whether anything is done; `rest`: seconds of rest after each second of work."""

    work: bool = True
    rest: float = 0.0
    reason: str | None = None
    """Why it is not at full speed; shown to the user. None for the moments in which an answer streams."""


def decide(now: Situation, on_battery: OnBattery = "slow") -> Pace:
    """The first reason that applies wins; the strongest come first."""
    if now.paused:
        return Pace(False, 0.0, "paused by you; `localmind folders resume` goes on")
    if now.disk_free < min(RESERVE, now.disk_total * RESERVE_SHARE):
        return Pace(False, 0.0, f"paused: only {now.disk_free // 2**20} MiB are left on the disk of the index")
    if now.on_battery and on_battery == "off":
        return Pace(False, 0.0, "paused: the computer runs on battery")
    if now.on_battery and on_battery == "slow" and now.percent < LOW_BATTERY:
        return Pace(False, 0.0, f"paused: the battery is at {now.percent:.0f} %")
    if now.held:
        return Pace(False)
    if now.on_battery and on_battery == "slow":
        return Pace(True, SLOW, "slower: the computer runs on battery")
    if now.others >= BUSY:
        return Pace(True, SLOW, "slower: other programs need the processor")
    return Pace()


class Sensor:
    """Reads the machine. What our own processes (this one and its children) use is not "others"."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._before: tuple[float, float, float] | None = None

    def sense(self) -> Situation:
        """A Situation without the user's part. Takes about 2 ms, on any thread."""
        try:
            battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
        except (OSError, RuntimeError, NotImplementedError):
            battery = None
        disk = shutil.disk_usage(self._state_dir)
        return Situation(
            on_battery=battery is not None and battery.power_plugged is False,
            percent=battery.percent if battery is not None else 100.0,
            others=self._others(),
            disk_free=disk.free,
            disk_total=disk.total,
        )

    def _others(self) -> float:
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
        now = (time.monotonic(), busy, self._own())
        before, self._before = self._before, now
        if before is None or now[0] - before[0] < 0.1:
            return 0.0
        seconds, used, ours = (b - a for a, b in zip(before, now, strict=True))
        # A worker that ended takes its seconds along, which would look like work of others turned negative.
        return min(1.0, max(0.0, used - max(0.0, ours)) / (seconds * (os.cpu_count() or 1)))

    def _own(self) -> float:
        own = psutil.Process()
        total = 0.0
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                spent = process.cpu_times()
                total += spent.user + spent.system
        return total


class Gate:
    """The Pace of the moment. `changed` is called when it becomes another one."""

    def __init__(
        self, sense: Callable[[], Situation], changed: Callable[[], None], on_battery: OnBattery = "slow"
    ) -> None:
        self._sense = sense
        self._changed = changed
        self._on_battery: OnBattery = on_battery
        self._situation = Situation()
        self._holds = 0
        self._open = asyncio.Event()
        self._open.set()
        self.pace = Pace()

    @property
    def held(self) -> bool:
        """Somebody waits for an answer."""
        return self._holds > 0

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """No portion of work starts inside this block; the one under way ends."""
        self._holds += 1
        self._update(held=True)
        try:
            yield
        finally:
            self._holds -= 1
            self._update(held=self._holds > 0)

    def pause(self, paused: bool) -> None:
        """The user's wish; whoever calls remembers it over a restart."""
        self._update(paused=paused)

    async def turn(self, worked_s: float = 0.0) -> None:
        """Return when work may go on; `worked_s` is how long the last portion took."""
        if self.pace.rest and worked_s:
            await asyncio.sleep(self.pace.rest * worked_s)
        await self._open.wait()

    async def watch(self) -> None:
        """Look at the machine until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(SENSE_S)

    async def look(self) -> None:
        """Look at the machine now."""
        seen = await asyncio.to_thread(self._sense)
        self._situation = replace(seen, paused=self._situation.paused, held=self._situation.held)
        self._update()

    def _update(self, *, paused: bool | None = None, held: bool | None = None) -> None:
        now = self._situation
        self._situation = replace(
            now, paused=now.paused if paused is None else paused, held=now.held if held is None else held
        )
        pace = decide(self._situation, self._on_battery)
        if pace == self.pace:
            return
        self.pace = pace
        if pace.work:
            self._open.set()
        else:
            self._open.clear()
        self._changed()
