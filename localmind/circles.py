"""A text that goes round in circles: found by what its newest part has in it that is new.

Small models fall into saying the same again and again until their context is full: minutes of a busy machine for
nothing. What they say may vary a little each time round, so it is compressed: the measure is Whisper's own for a
transcript that repeats itself (Radford et al. 2022, section 4.5; `compression_ratio` in whisper/utils.py). A circle too
wide for that, of whole paragraphs, is one that comes round to the letter. How a token is chosen is left alone: no
penalty bends what is said. Ending an answer for it is `assistant.ended`'s affair, and telling it the reader's.
"""

import re
import zlib

WINDOW = 6000
"""Characters that must go round, about 1,500 tokens of English: who wants a line a hundred times over gets it."""

RATIO = 40.0
RATIO_OF_WORDS = 20.0
"""Bytes of the window to bytes compressed, from which on it goes round: of any text, and of one of words alone.

Tables, scripts and logs differ from row to row by a number or a name: 25 was the most of 15,500 files of all kinds, and
31 that of tables made to count and say nothing else. Of words alone, without figures and marks of code, 14 was the most
of those files, while circles that SmolLM2-135M fell into came to 22 – 35."""

ODD = re.compile(r"[^\w\s.,;:!?'’‘\"“”—–…*-]|[\d_]")
ODD_SHARE = 0.01
"""Of characters that are neither letters, blanks nor marks of prose: words alone have no more."""

LETTER = re.compile(r"[^\W\d_]")
LETTER_SHARE = 0.6
"""Words alone have no fewer: prose has some 0.8, a list of letters in quotes, one a line, 0.2."""

ROUNDS = 4
"""So often must the same stand behind itself, to the letter, where it is too long to be compressed so far."""

KEPT = 16_000
"""Characters that a circle is looked for in: ROUNDS of its greatest length."""

STEP = 500
"""Characters from one look to the next."""

PIECE = 200
"""Characters by which a circle is gone back to its beginning."""

NEW = PIECE / 8
"""Bytes compressed that a piece adds where it says something new: prose some 75, a circle that varies 10."""


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


def first_rounds(text: str) -> str:
    """A text that ends in a circle, with no more of that than its beginning: what is worth telling a model of it, which
    would only be led into the same circle by the rest."""
    newest = text[-KEPT:]
    end = len(newest)
    while end > PIECE and _compressed_bytes(newest[:end]) - _compressed_bytes(newest[: end - PIECE]) < NEW:
        end -= PIECE
    return text if end == len(newest) else f"{text[: len(text) - len(newest) + end]} …"


def compression_ratio(text: str) -> float:
    """Bytes of UTF-8 to bytes compressed, as Whisper has it; about 2.5 for prose."""
    return len(_bytes(text)) / _compressed_bytes(text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON of another machine's model can hold half a character


def _compressed_bytes(text: str) -> int:
    return len(zlib.compress(_bytes(text)))


def _compressed(window: str) -> bool:
    """Whether so little of it is new that it goes round, with variations."""
    ratio = compression_ratio(window)
    return ratio >= RATIO or (ratio >= RATIO_OF_WORDS and _words_alone(window))


def _words_alone(window: str) -> bool:
    odd, letters = len(ODD.findall(window)), len(LETTER.findall(window))
    return odd <= ODD_SHARE * len(window) and letters >= LETTER_SHARE * len(window)


def _to_the_letter(text: str) -> bool:
    """Whether it ends with ROUNDS of the same or more, of WINDOW characters at least."""
    before = text.rfind(text[-STEP:], 0, -1)
    period = len(text) - STEP - before
    span = max(WINDOW, ROUNDS * period)
    return before >= 0 and span <= len(text) and text[-span:-period] == text[period - span :]
