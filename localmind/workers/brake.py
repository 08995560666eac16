"""How a generation is ended from outside so that it still says what it cost.

Who closes the iterator of its events gives it up at once and is told nothing. A brake asks the worker to end it,
and the events go on to their Done, with the figures of what there was.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Brake:
    """Of one generation. It takes hold while a worker answers: not while its model is still coming into memory, nor of
    models elsewhere, whose servers know no such wish."""

    def __init__(self) -> None:
        self.pulled = False
        self._end: Callable[[], None] | None = None

    def pull(self) -> bool:
        """Ask for the end. True where it will come as Done; False where closing the events is all that helps."""
        if self._end is None:
            return False
        if not self.pulled:
            self.pulled = True
            self._end()
        return True

    @contextmanager
    def fitted(self, end: Callable[[], None]) -> Iterator[None]:
        """Inside, pulling calls `end`, once; so does entering when it has been pulled."""
        self._end = end
        if self.pulled:
            end()
        try:
            yield
        finally:
            self._end = None
