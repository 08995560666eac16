"""Reading one answer to its end, across everything that can happen to the connection.

The answer belongs to the daemon; this is only its reader. When the daemon goes away it waits until one is
back, goes on at its position, and takes the stored answer where that one no longer knows it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from localmind.errors import DaemonUnreachable, LocalmindError, NotFound
from localmind.events import Done, Failed, Progress, ReasoningDelta, Sources, TextDelta
from localmind_tui.daemon import Daemon
from localmind_tui.said import exchanges
from localmind_tui.widgets.turn import TurnView

AWAY = "the daemon is away; this goes on when it is back"


async def follow(daemon: Daemon, view: TurnView, message_id: int, back: Callable[[], Awaitable[None]]) -> None:
    """Show an answer until its end. `back` returns when a daemon answers again."""
    position = 0
    while True:
        try:
            events = daemon.follow(message_id, position)
            try:
                async for place, event in events:
                    position = place
                    match event:
                        case TextDelta(text):
                            view.feed(text)
                        case ReasoningDelta(text):
                            view.think(text)
                        case Sources(passages):
                            view.cite(passages)
                        case Progress():
                            view.report(event)
                        case Done():
                            await view.finish(event)
                            return
                        case Failed():
                            await view.fail(event.exception())
                            return
            finally:
                # An async generator that is dropped closes when the collector finds it; we hang up now.
                if (close := getattr(events, "aclose", None)) is not None:
                    await close()
        except NotFound:
            if await _settled(daemon, view, message_id):
                return
        except DaemonUnreachable:
            view.wait(AWAY)
        except LocalmindError as problem:
            await view.fail(problem)
            return
        await asyncio.sleep(0.1)  # an answer that broke off at once must not spin
        await back()


async def _settled(daemon: Daemon, view: TurnView, message_id: int) -> bool:
    """Show the stored answer. False when the daemon went away again."""
    with contextlib.suppress(DaemonUnreachable):
        try:
            found = exchanges((await daemon.get(f"/messages/{message_id}"))["messages"])
        except NotFound as problem:
            await view.fail(problem)
            return True
        if found and found[0].answer is not None:
            await view.settle(found[0].answer)
            return True
    return False
