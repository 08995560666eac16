"""From token bytes to text that may be shown: whole UTF-8 characters, and nothing of a stop string.

A token may end inside a character or inside a stop string, so the last bytes and characters are held
back until they are decided. However the bytes are split, the text that comes out is the same. The
stop string that *completes* first wins, which is the only rule that does not depend on the split.
"""

import codecs
from collections.abc import Sequence


class TextStream:
    """Feed it bytes with `push`, end it with `finish`; after `stopped` it yields nothing more."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._longest = max(map(len, self._stops), default=0)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stop = ""
        """The stop string that ended it."""

    @property
    def stopped(self) -> bool:
        return bool(self.stop)

    def push(self, data: bytes) -> str:
        """The text that is certain now; empty while a character or a possible stop string is incomplete."""
        return self._take(self._decoder.decode(data))

    def finish(self) -> str:
        """What was held back, unless it was the stop string. A character cut in two becomes U+FFFD."""
        text = self._take(self._decoder.decode(b"", final=True)) + self._held
        self._held = ""
        return text

    def _take(self, text: str) -> str:
        if self.stopped or not text:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        # (end, start, stop) of the first place where each is complete; the smallest end is the one that came first.
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            _, start, self.stop = min(found)
            self._held = ""
            return text[:start]
        keep = self._undecided(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _undecided(self, text: str) -> int:
        """Length of the longest end of `text` that a stop string could begin with."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0
