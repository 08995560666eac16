"""What commands print: data to stdout, all else to stderr; colour and moving bars only on a terminal.

rich is imported only when something is drawn with it, since a piped `ask` or `search` needs none of it.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from localmind.clean import clean_line
from localmind.counted import size
from localmind.durations import words as lasting
from localmind.events import Event, Progress
from localmind.paths import Paths

LINE_EVERY_S = 20.0
"""Where no terminal is, a long stage says this often how far it is."""


def draws(stream: TextIO) -> bool:
    """Whether it is a terminal that can be drawn on: one that calls itself dumb gets lines, as a file does."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def note(text: str) -> None:
    """One line for a person, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def print_line(value: Any) -> None:
    """One line of JSON, at once: somebody reads it while it comes."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def interrupted_later() -> Iterator[None]:
    """Ctrl-C counts when the block is done: what it asks of the daemon is known then, and can be taken back. A second
    one counts at once."""
    came: list[int] = []

    def hold(number: int, frame: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # a shell's background job does not hear it
        yield
        return
    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns on stdout; a wide cell never wraps, so that lines stay greppable."""
    cells = [[clean_line(cell) for cell in row] for row in rows]
    lines = [list(columns), *cells]
    widths = [max(_wide(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        padded = [cell + " " * (width - _wide(cell)) for cell, width in zip(line, widths, strict=True)]
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _wide(text: str) -> int:
    """Cells that it takes on a terminal, where 名 has two and a combining accent none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def connect(paths: Paths | None = None) -> Any:
    """A Client of the daemon of this home, started if need be."""
    from localmind.client import ensure_daemon

    return ensure_daemon(paths or Paths.find(), progress=note)


def show_progress(events: Iterable[Event]) -> Iterator[Event]:
    """Draw Progress events (bars on a terminal, a line a stage elsewhere) and pass the other events on."""
    events = _told(events)
    if not draws(sys.stderr):
        yield from _progress_lines(events)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    bars: Bars | None = None
    tasks: dict[str, Any] = {}
    in_bytes = False
    try:
        for event in events:
            if not isinstance(event, Progress):
                if bars is not None:
                    bars.stop()
                    bars = None
                    tasks.clear()
                yield event
                continue
            if bars is None or in_bytes != (event.unit == "B"):
                if bars is not None:
                    bars.stop()
                in_bytes = event.unit == "B"
                # Of bytes the daemon measures rate and time left; a bar would guess them from how often it is told.
                counters = (
                    [DownloadColumn(), TextColumn("{task.fields[pace]}")]
                    if in_bytes
                    else [MofNCompleteColumn(), TimeRemainingColumn()]
                )
                bars = Bars(TextColumn("{task.description}"), BarColumn(), *counters, console=console)
                bars.start()
                console.show_cursor()  # whoever kills us meanwhile has one
                tasks.clear()
            if event.stage not in tasks:
                for task in bars.tasks:  # progress is thinned: the last step of a stage may not have been told
                    bars.update(task.id, total=task.total or 1, completed=task.total or 1)
                tasks[event.stage] = bars.add_task(event.stage, total=event.total, pace="")
            text = _label(event)[:60]
            bars.update(tasks[event.stage], completed=event.done, total=event.total, description=text, pace=pace(event))
    finally:
        if bars is not None:
            bars.stop()


def _told(events: Iterable[Event]) -> Iterator[Event]:
    """That an answer comes from another machine is said in full, and not drawn as a bar."""
    for event in events:
        if isinstance(event, Progress) and event.stage == "remote":
            note(clean_line(event.text))
        else:
            yield event


def _label(event: Progress) -> str:
    """What is being done: a sentence as it is, a bare name after the name of the stage."""
    text = clean_line(event.text)
    return text if " " in text else f"{event.stage} {text}".rstrip()


def pace(event: Progress) -> str:
    """Rate and time left, as far as they are known: "12.3 MB/s, 2 min left"."""
    words = [f"{size(event.rate)}/s"] if event.rate is not None and event.unit == "B" else []
    if event.eta_s is not None and event.done < (event.total or 0):
        words.append(f"{lasting(event.eta_s)} left")
    return ", ".join(words)


def _progress_lines(events: Iterable[Event]) -> Iterator[Event]:
    """A line a stage, and one now and then while a stage takes long."""
    stage, said_at = None, 0.0
    for event in events:
        if not isinstance(event, Progress):
            yield event
        elif event.stage != stage:
            stage, said_at = event.stage, time.monotonic()
            note(_label(event))
        elif event.total and time.monotonic() - said_at > LINE_EVERY_S:
            said_at = time.monotonic()
            told = pace(event)
            note(f"{event.stage}: {100 * event.done / event.total:.0f} %{', ' + told if told else ''}")
