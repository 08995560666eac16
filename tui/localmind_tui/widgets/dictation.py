"""Speaking in place of typing: the line over the question while somebody speaks.

A press begins and another ends; a pause in the speech ends it as well, and Esc drops it. What is understood is shown
as it settles; the text then goes to the cursor of the composer and is sent by nobody but the user. The microphone is
open only while the line is there, and the line is made when somebody first speaks.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual import work
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker, get_current_worker

from localmind.clean import clean_line
from localmind.errors import LocalmindError
from localmind.events import Event, Progress
from localmind.speech import Heard, Listening, Transcript
from localmind_tui import format
from localmind_tui.daemon import Daemon

if TYPE_CHECKING:
    from localmind.microphone.capture import Capture

Open = Callable[[str | None], "Capture"]
"""The microphone of that name, or the system's own. Blocking. Raises LocalmindError."""
Listen = Callable[[AsyncIterator[bytes], Mapping[str, Any]], AsyncGenerator[Event, None]]
BARS = " ▁▂▃▄▅▆▇"
METER = 8
"""Pieces of sound that the meter shows, a tenth of a second each."""
DRAW_S = 0.09


class Dictation(Static):
    """Hidden until somebody speaks."""

    DEFAULT_CSS = """
    Dictation { height: auto; max-height: 6; margin: 0 1; padding: 0 1; }
    """

    @dataclass
    class Written(Message):
        """What was said, as text."""

        text: str

    class Changed(Message):
        """Listening began or ended."""

    def __init__(self, daemon: Daemon, open_microphone: Open, listen: Listen, pause_s: float) -> None:
        super().__init__(markup=False)
        self.display = False
        self._daemon, self._open, self._listen = daemon, open_microphone, listen
        self.pause_s = pause_s
        self._capture: Capture | None = None
        self._worker: Worker[None] | None = None
        self._ending = False
        self._status = ""
        self._settled = self._tentative = ""
        self._levels: list[float] = []
        self._drawn_at = 0.0

    @property
    def active(self) -> bool:
        return self.display

    def toggle(self) -> None:
        if self.active:
            self.finish()
        else:
            self.start()

    def start(self, *, held: bool = False) -> None:
        """Begin, or begin anew; a held button has no pause that ends it."""
        self._ending, self._settled, self._tentative, self._levels = False, "", "", []
        self.display = True
        self._say("opening the microphone")
        self.post_message(self.Changed())
        self._worker = self._hear({"silence_s": None if held else self.pause_s})

    def finish(self) -> None:
        """That was all: the text follows."""
        self._ending = True
        if self._capture is not None:
            self._capture.close()
            self._say("writing it down")

    def cancel(self) -> None:
        """Drop it; nothing is kept."""
        if self._worker is not None:
            self._worker.cancel()

    @work(exclusive=True, group="dictation")
    async def _hear(self, how: Mapping[str, Any]) -> None:
        from localmind.microphone.background import in_background  # nothing of it is needed before somebody speaks

        mine = get_current_worker()
        try:
            name = (await self._daemon.get("/voice")).get("microphone")
            with await self._opened(name) as capture:
                if self._ending:
                    return
                self._capture = capture
                async with contextlib.aclosing(self._listen(in_background(capture, self._level), how)) as events:
                    async for event in events:
                        self._take(event)
        except LocalmindError as problem:
            self.notify(format.failure(problem), severity="error", markup=False, timeout=8)
        finally:
            if self._worker is mine:  # else it has begun anew meanwhile
                self._capture = self._worker = None
                self.display = False
                self.post_message(self.Changed())

    async def _opened(self, name: str | None) -> "Capture":
        """A microphone that opens after nobody wants it any more is let go again."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, name))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_let_go)
            raise

    def _take(self, event: Event) -> None:
        match event:
            case Progress():
                self._say(format.progress(event))
            case Listening() if not self._ending:
                self._say("speak now")
            case Heard(settled, tentative):
                self._settled, self._tentative = clean_line(settled), clean_line(tentative)
                self._draw()
            case Transcript(text, silent=silent):
                if text.strip():
                    self.post_message(self.Written(clean_line(text)))
                else:
                    self.notify(f"No speech: {clean_line(silent)}", markup=False)

    def _level(self, piece: bytes) -> None:
        from localmind.microphone.capture import meter

        self._levels = [*self._levels, meter(piece)][-METER:]
        if time.monotonic() - self._drawn_at >= DRAW_S:
            self._draw()

    def _say(self, status: str) -> None:
        self._status = status
        self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        bars = "".join(BARS[min(len(BARS) - 1, int(level * len(BARS)))] for level in self._levels)
        parts: list[Content | tuple[str, str]] = [("● ", "$text-error"), (f"{bars:<{METER}} ", "$accent")]
        if self._settled or self._tentative:
            parts += [(f"{self._settled} ".lstrip(), "$foreground"), (self._tentative, "$foreground-muted")]
        else:
            parts.append((self._status, "$foreground-muted"))
        self.update(Content.assemble(*parts))


def _let_go(opening: "asyncio.Future[Capture]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
