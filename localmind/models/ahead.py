"""Pieces of a file that are fetched ahead of the main connection, where one connection alone is slow.

Far servers and throttled ones give each connection a fixed rate, so several bring several times as much. Each piece is
a file of its own, named by its first byte and as long as what has come of it: after a kill the next run uses what is
there. When the main connection comes to a piece, its bytes are appended and the piece is gone. A server that does not
give ranges of an unchanged file is asked for no second one.
"""

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from localmind.errors import DownloadFailed
from localmind.models.line import Line

COPY = 1 << 22
NAME = re.compile(r"\.ahead-(\d{1,15})\Z")


@dataclass(slots=True, frozen=True)
class Spread:
    """When and how far a download is spread over several connections."""

    lines: int = 3
    """Connections beside the main one."""
    piece: int = 32 << 20
    """Bytes."""
    below: float = 40e6
    """Bytes a second; a connection that is quicker is left alone."""
    after_s: float = 3.0
    """So long the main connection is watched first."""
    gain: float = 1.2
    """Times the rate that the first other connection must bring, or it stays the last."""


MakeLine = Callable[[Path, int, int, Callable[[], object]], Line]
"""A line that appends bytes from the second argument to the third to a file, and calls the last when it is over."""


@dataclass(slots=True)
class _Piece:
    path: Path
    start: int
    end: int
    line: Line | None = None

    @property
    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


@dataclass(slots=True)
class Ahead:
    """The pieces of one download; `part` and `size` are those of the whole file."""

    part: Path
    size: int
    spread: Spread
    make: MakeLine
    clock: Callable[[], float] = time.monotonic
    refused: bool = False
    """The server gives no ranges, or a second connection brought nothing."""
    _pieces: list[_Piece] = field(default_factory=list)
    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _alone: float = 0.0
    """The rate before there was a second connection."""
    _spread_at: float = 0.0

    def found(self) -> None:
        """Take up what an earlier run left."""
        for path in self.part.parent.glob(f"{self.part.name}.ahead-*"):
            if (name := NAME.search(path.name)) is not None:
                start = int(name[1])
                self._pieces.append(_Piece(path, start, min(self.size, start + max(1, path.stat().st_size))))
        self._pieces.sort(key=lambda piece: piece.start)

    @property
    def came(self) -> int:
        """Bytes in pieces."""
        return sum(piece.size for piece in self._pieces)

    def limit(self, have: int) -> int:
        """Up to where the main connection reads: the first piece before it of which something has come.

        Not for the mere promise of one: a server without ranges would have to begin anew.
        """
        return min((piece.start for piece in self._pieces if piece.start >= have and piece.size), default=self.size)

    def look(self, have: int, over: Callable[[], object]) -> None:
        """Called often while the main connection reads: start another one where that promises something."""
        now, total = self.clock(), have + self.came
        self._seen.append((now, total))
        while self.clock() - self._seen[0][0] > self.spread.after_s * 1.5:
            self._seen.popleft()
        if self.refused or any(isinstance(p.line and p.line.problem, Exception) for p in self._pieces):
            self.refused = True
            return
        span = now - self._seen[0][0]
        if span < self.spread.after_s:
            return
        rate = (total - self._seen[0][1]) / span
        running = sum(1 for piece in self._pieces if piece.line is not None and not piece.line.over)
        if not self._alone:
            if rate >= self.spread.below:
                return
            self._alone, self._spread_at = max(rate, 1.0), now
        elif now - self._spread_at >= self.spread.after_s * 2 and rate < self._alone * self.spread.gain:
            self.refused = True
            return
        most = self.spread.lines if now - self._spread_at >= self.spread.after_s * 2 else 1
        if running < most and len(self._pieces) < 2 * self.spread.lines:
            self._begin(have, over)

    def _begin(self, have: int, over: Callable[[], object]) -> None:
        start = max([have + self.spread.piece, *(piece.end for piece in self._pieces)])
        end = min(self.size, start + self.spread.piece)
        if end <= start:
            return
        path = self.part.with_name(f"{self.part.name}.ahead-{start}")
        piece = _Piece(path, start, end)
        piece.line = self.make(path, start, end, over)
        self._pieces.append(piece)
        piece.line.start()

    def waits_for(self, have: int) -> bool:
        """The main connection has come to a piece that is still on its way."""
        piece = next((piece for piece in self._pieces if piece.start == have), None)
        return piece is not None and piece.line is not None and not piece.line.over

    def append(self, have: int) -> int:
        """Move pieces that begin where the part ends into it; its new length. Blocks for as long as that takes."""
        while (piece := next((piece for piece in self._pieces if piece.start <= have), None)) is not None:
            self._pieces.remove(piece)
            if piece.line is not None:
                piece.line.stop()
            with contextlib.suppress(FileNotFoundError):
                if piece.start <= have < piece.start + piece.size:
                    have = _append(piece.path, self.part, have - piece.start, have)
                piece.path.unlink()
        return have

    def stop(self) -> None:
        for piece in self._pieces:
            if piece.line is not None:
                piece.line.stop()

    def discard(self) -> None:
        self.stop()
        self._pieces.clear()
        for path in self.part.parent.glob(f"{self.part.name}.ahead-*"):
            path.unlink(missing_ok=True)


def _append(source: Path, target: Path, skip: int, have: int) -> int:
    try:
        with source.open("rb") as piece, target.open("r+b") as out:
            piece.seek(skip)
            out.seek(have)
            while data := piece.read(COPY):
                out.write(data)
                have += len(data)
            out.flush()
            os.fsync(out.fileno())
    except OSError as problem:
        raise DownloadFailed(f"writing {target} failed: {problem.strerror}", hint="localmind doctor") from problem
    return have
