"""Who is next: one line for each client, taken in turn, with interactive requests before background ones.

A client that sends fifty requests at once delays its own, not its neighbour's: next is the client
with the fewest requests running, and among those the one that was served longest ago. Within a
client the order of arrival is kept.
"""

from collections import deque
from collections.abc import Iterator, Mapping

from localmind.engine.sequence import Sequence


class WaitingLine:
    def __init__(self) -> None:
        self._lines: dict[tuple[bool, str], deque[Sequence]] = {}
        """By (background, client); no line is empty. The order of keys is the order of turns."""
        self._count = 0

    def __len__(self) -> int:
        """May be asked from any thread."""
        return self._count

    def __iter__(self) -> Iterator[Sequence]:
        """All who wait, by arrival."""
        return iter(sorted((each for line in self._lines.values() for each in line), key=lambda each: each.number))

    def add(self, sequence: Sequence) -> None:
        self._lines.setdefault((sequence.background, sequence.client), deque()).append(sequence)
        self._count += 1

    def next(self, running: Mapping[str, int]) -> Sequence | None:
        """Whose turn it is, given how many requests of each client run; the sequence stays in its line."""
        if not self._lines:
            return None
        turn = min(self._lines, key=lambda key: (key[0], running.get(key[1], 0)))  # of equals the first in turn
        return self._lines[turn][0]

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out; its client goes to the end of the turns when it was the first of its line."""
        key = (sequence.background, sequence.client)
        line = self._lines[key]
        was_first = line[0] is sequence
        line.remove(sequence)
        self._count -= 1
        if was_first:
            del self._lines[key]
            if line:
                self._lines[key] = line
        elif not line:
            del self._lines[key]
