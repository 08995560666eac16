"""A daemon that is reached late: its client is loaded by the first call, which comes after the first picture.

HTTP and all that it needs take as long to load as a tenth of the way to that picture.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from localmind_tui.daemon import Daemon


class _Late:
    def __init__(self, connect: "Callable[[], Daemon]") -> None:
        self._connect = connect
        self._daemon: Daemon | None = None

    def __getattr__(self, name: str) -> Any:
        if self._daemon is None:
            self._daemon = self._connect()
        return getattr(self._daemon, name)


def late(connect: "Callable[[], Daemon]") -> "Daemon":
    """What `connect` gives, once something is asked of it."""
    return cast("Daemon", _Late(connect))
