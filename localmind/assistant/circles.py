"""An answer that goes round in circles: found by what its newest text has in it that is new, and ended.

Small models fall into saying the same again and again until their context is full: minutes of a busy machine for
nothing. What they say may vary a little each time round, so it is compressed: the measure is Whisper's own for a
transcript that repeats itself (Radford et al. 2022, section 4.5; `compression_ratio` in whisper/utils.py). A circle too
wide for that, of whole paragraphs, is one that comes round to the letter. How a token is chosen is left alone: no
penalty bends what is said. That nobody is judged who set a limit is `Running`'s affair, and telling it the reader's.
"""

import contextlib
import re
import zlib
from collections.abc import AsyncGenerator

from localmind.events import Done, Event, ReasoningDelta, TextDelta

WINDOW = 6000
"""Characters that must go round, about 1,500 tokens of English: who wants a line a hundred times over gets it."""

RATIO = 40.0
RATIO_OF_WORDS = 20.0
"""Bytes of the window to bytes compressed, from which on it goes round: of any text, and of one of words alone.

Tables, scripts and logs differ from row to row by a number or a name: 22 was the most of 8,000 files of all kinds, and
31 that of tables made to count and say nothing else. Of words alone, without figures and marks of code, 14 was the most
of those files, while circles that SmolLM2-135M fell into came to 22 – 35."""

ODD = re.compile(r"[^\w\s.,;:!?'’‘\"“”—–…*-]|[\d_]")
ODD_SHARE = 0.01
"""Of characters that are neither letters, blanks nor marks of prose: words alone have no more."""

ROUNDS = 4
"""So often must the same stand behind itself, to the letter, where it is too long to be compressed so far."""

KEPT = 16_000
"""Characters that a circle is looked for in: ROUNDS of its greatest length."""

STEP = 500
"""Characters from one look to the next."""


class Circles:
    """Takes a text in pieces and tells when it goes round. How it is cut into pieces makes no difference."""

    def __init__(self) -> None:
        self._newest = ""
        self._until_look = WINDOW
        self.going_round = False

    def feed(self, piece: str) -> bool:
        """Whether the text goes round, now or earlier."""
        self._newest += piece
        self._until_look -= len(piece)
        while self._until_look <= 0:
            end = len(self._newest) + self._until_look
            text = self._newest[max(0, end - KEPT) : end]
            self.going_round = self.going_round or _compressed(text[-WINDOW:]) or _to_the_letter(text)
            self._until_look += STEP
        self._newest = self._newest[-KEPT:]
        return self.going_round


def compression_ratio(text: str) -> float:
    """Bytes of UTF-8 to bytes compressed, as Whisper has it; about 2.5 for prose."""
    data = text.encode("utf-8", "surrogatepass")  # JSON of another machine's model can hold half a character
    return len(data) / len(zlib.compress(data))


def _compressed(window: str) -> bool:
    """Whether so little of it is new that it goes round, with variations."""
    ratio = compression_ratio(window)
    return ratio >= RATIO or (ratio >= RATIO_OF_WORDS and len(ODD.findall(window)) <= ODD_SHARE * len(window))


def _to_the_letter(text: str) -> bool:
    """Whether it ends with ROUNDS of the same or more, of WINDOW characters at least."""
    before = text.rfind(text[-STEP:], 0, -1)
    period = len(text) - STEP - before
    span = max(WINDOW, ROUNDS * period)
    return before >= 0 and span <= len(text) and text[-span:-period] == text[period - span :]


async def ended_in_circles(events: AsyncGenerator[Event, None], model: str) -> AsyncGenerator[Event, None]:
    """The same events, until the text or the thoughts go round: the generation is closed then, and Done says why."""
    text, thoughts = Circles(), Circles()
    async with contextlib.aclosing(events):
        async for event in events:
            yield event
            match event:
                case TextDelta(piece) if text.feed(piece):
                    break
                case ReasoningDelta(piece) if thoughts.feed(piece):
                    break
        else:
            return
    yield Done("repetition", model=model)  # without figures: who gives a request up is not told what it cost
