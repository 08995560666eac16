"""The signals that ask the daemon to stop, on every system: those that there are, by the way that the loop allows."""

import asyncio
import signal
from collections.abc import Callable

NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")
"""A service's stop, Ctrl-C, a closed terminal, and Ctrl-Break, which is what one Windows process can send another."""


def on_stop(loop: asyncio.AbstractEventLoop, call: Callable[[], None], names: tuple[str, ...] = NAMES) -> list[str]:
    """Let each of them make the call on the loop; returns which there are. Main thread only."""
    known = [name for name in names if hasattr(signal, name)]
    for name in known:
        number: signal.Signals = getattr(signal, name)
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:  # Windows: the loop wakes up for signals, but does not deliver them
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))
    return known
