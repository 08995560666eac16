"""Progress of work on bytes: blocking steps off the event loop, and a stream of Progress that is fit to be shown.

It knows nothing of where bytes come from. Rates are of the last seconds, since a mean over a whole download says
nothing about a connection that has just become slow.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import msgspec

from localmind.events import Progress

REPORT_EVERY_S = 0.1
RATE_OVER_S = 5.0
RATE_AFTER_S = 0.5
"""Less says nothing: the first bytes come out of buffers."""

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run a blocking step off the event loop. A cancellation waits for it to end, so no file is closed under it."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def thinned(
    steps: AsyncGenerator[Progress, None], clock: Callable[[], float] = time.monotonic
) -> AsyncGenerator[Progress, None]:
    """At most one step every 0.1 s, with rate and time left; the first and last of a stage always pass."""
    last: Progress | None = None
    held = False
    at = 0.0
    rate = _Rate()
    async with contextlib.aclosing(steps):
        async for step in steps:
            changed = last is None or (step.stage, step.text) != (last.stage, last.text)
            if changed:
                if held and last is not None:
                    yield last
                rate = _Rate()
            step = rate.of(step, clock())
            held = not changed and clock() - at < REPORT_EVERY_S
            last = step
            if not held:
                at = clock()
                yield step
        if held and last is not None:
            yield last


class _Rate:
    """Bytes a second over the last RATE_OVER_S of one stage."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def of(self, step: Progress, now: float) -> Progress:
        """The step with its rate and the seconds that are left at this rate."""
        seen = self._seen
        if step.unit != "B" or (seen and step.done < seen[-1][1]):
            seen.clear()
        seen.append((now, step.done))
        while len(seen) > 2 and now - seen[1][0] >= RATE_OVER_S:
            seen.popleft()
        took = now - seen[0][0]
        if step.unit != "B" or took < RATE_AFTER_S:
            return step
        rate = (step.done - seen[0][1]) / took
        left = (step.total - step.done) / rate if step.total is not None and rate > 0 else None
        return msgspec.structs.replace(step, rate=rate, eta_s=left)
