"""The order of the end: one part after the other, each whatever became of those before it.

A daemon that stops halfway leaves workers and locks behind; so no error, of whatever kind, ends the end. It is only
told: in a line where the files may simply be gone, with its trace where nobody foresaw it.
"""

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable

from localmind.errors import LocalmindError

log = logging.getLogger("localmind.daemon")


async def one_after_the_other(ends: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Call and await each. Only cancellation passes through."""
    for end in ends:
        try:
            await end()
        except (LocalmindError, OSError, sqlite3.Error) as problem:
            log.warning("at the end: %s", problem)
        except Exception:
            log.exception("at the end")
