"""An answer that goes round in circles (circles.py) is ended, and its end says why and what it cost.

Nobody is judged who set a limit: that is `Running`'s affair. Telling it is the reader's.
"""

import contextlib
from collections.abc import AsyncGenerator

import msgspec

from localmind.circles import Circles
from localmind.errors import LocalmindError
from localmind.events import Done, Event, ReasoningDelta, TextDelta
from localmind.workers.brake import Brake


async def ended_in_circles(
    events: AsyncGenerator[Event, None], model: str, brake: Brake
) -> AsyncGenerator[Event, None]:
    """The same events, until the text or the thoughts go round: the generation is ended then, and Done says why."""
    text, thoughts = Circles(), Circles()
    async with contextlib.aclosing(events):
        async for event in events:
            yield event
            match event:
                case TextDelta(piece) if text.feed(piece):
                    break
                case ReasoningDelta(piece) if thoughts.feed(piece):
                    break
        else:
            return
        done = await _last_word(events, brake) or Done(model=model)
    yield msgspec.structs.replace(done, finish_reason="repetition")


async def _last_word(events: AsyncGenerator[Event, None], brake: Brake) -> Done | None:
    """The figures of what there was; None where nobody can tell them. What is said until then is dropped."""
    if brake.pull():
        with contextlib.suppress(LocalmindError):
            async for event in events:
                if isinstance(event, Done):
                    return event
    return None
