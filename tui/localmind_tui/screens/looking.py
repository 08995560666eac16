"""Looking again: a window that shows what the daemon says asks it every so often, for as long as it is open."""

from collections.abc import Callable
from typing import Any

from textual.screen import Screen
from textual.worker import Worker


def keep_looking(screen: Screen[Any], every_s: float, look: "Callable[[], Worker[None]]") -> None:
    """Look now and every so often, but not while a look still waits for its answer.

    `look` begins one, and ends the one before: a daemon that is slower than `every_s` would never be heard out.
    """
    looking = look()

    def again() -> None:
        nonlocal looking
        if looking.is_finished or looking.is_cancelled:  # by another one; before its first step it never finishes
            looking = look()

    screen.set_interval(every_s, again)
