"""Timers that go off however busy the machine is.

Textual leaves out the turns of a timer that have passed, as is right for one that repeats. Its timers of one turn do so
too (`Timer._run`, Textual 8.2): where a process is held up for longer than the delay between two lines of it, that one
turn is left out and never comes. A window whose size had just changed was not laid out any more, ever: that timer has
8 ms, and whoever waits for it begins no other.
"""

from textual.message_pump import MessagePump
from textual.timer import Timer, TimerCallback


class Timely(MessagePump):
    """Stands last among the bases of what sets timers."""

    def set_timer(
        self, delay: float, callback: TimerCallback | None = None, *, name: str | None = None, pause: bool = False
    ) -> Timer:
        timer = super().set_timer(delay, callback, name=name, pause=pause)
        timer._skip = False  # before it begins, which is at the next turn of the event loop
        return timer
