"""Runs the loop's steps with a watch in hand, and does what pace.py concludes from them.

It owns the thread count, the prefill budget and the rows that fill up a tile; the loop and the
scheduler only ask. It lives on the loop's thread.
"""

import time
from collections.abc import Sequence

import psutil

from localmind.engine.backend import Backend
from localmind.engine.cells import Cells
from localmind.engine.pace import Measured, Prefill, Threads
from localmind.engine.sequence import Row, State


class IdleCores:
    """Called, it says how many of this machine's cores were idle on average since the call before."""

    def __init__(self) -> None:
        self._idle, self._at = psutil.cpu_times().idle, time.monotonic()

    def __call__(self) -> float:
        (before, began), self._idle, self._at = (self._idle, self._at), psutil.cpu_times().idle, time.monotonic()
        return (self._idle - before) / max(self._at - began, 1e-3)


class Timing:
    def __init__(self, backend: Backend, stall_s: float) -> None:
        """`stall_s`: time that prefill should add to a step."""
        self._backend = backend
        self._prefill = Prefill(stall_s)
        self._threads = Threads(backend.n_threads, time.monotonic, IdleCores())

    @property
    def threads(self) -> int:
        return self._threads.count

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second."""
        return self._prefill.rate

    def budget(self, decode_rows: int, cells: int) -> int:
        """Prompt tokens for a step beside so many decode rows, with so many cells in use."""
        return self._prefill.budget(decode_rows, cells)

    def evaluate(self, rows: Sequence[Row], cells: Cells) -> tuple[int, list[int]]:
        """Backend.evaluate, filled up where that is faster; a step that went well is measured."""
        fill = self._fill(rows, cells)
        began, busy = time.monotonic(), time.process_time()
        code, indices = self._backend.evaluate(rows, fill)
        if code == 0:
            self._measure(rows, fill, cells.used, time.monotonic() - began, time.process_time() - busy)
        return code, indices

    def _fill(self, rows: Sequence[Row], cells: Cells) -> int:
        if not self._backend.can_fill:
            return 0
        count = sum(row.n_tokens for row in rows)
        fill = self._prefill.fill(count, cells.used)
        return fill if fill <= cells.free - count else 0

    def _measure(self, rows: Sequence[Row], fill: int, used: int, seconds: float, cpu_seconds: float) -> None:
        decode = sum(row.n_tokens for row in rows if row.sequence.state is State.DECODE)
        prefill = sum(row.count for row in rows if row.sequence.state is State.PREFILL)
        measured = Measured(decode, prefill + (fill if prefill else 0), seconds, cpu_seconds, used)
        if not self._threads.trying:
            self._prefill.measured(measured)
        before = self._threads.count
        self._threads.measured(measured)
        if self._threads.count != before:
            self._backend.set_threads(self._threads.count)
