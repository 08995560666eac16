"""The numbers, texts and lists that a GGUF header is made of, read from a file that a stranger made.

Every count is checked against the bytes that are left before anything is allocated or walked through, and what is
kept of a header is bounded, so that a hostile one costs a bounded time and ends in ModelFileBroken. It steps over
lists without making objects of their elements: a vocabulary has 150,000 texts and a plan needs their number. What
the keys mean is models/gguf.py's business.
"""

import os
import re
import struct
from dataclasses import dataclass
from typing import IO, Any

from localmind.clean import clean_line
from localmind.errors import ModelFileBroken

MAX_HEADER = 1 << 26
"""Bytes; five times the largest known, which has a vocabulary of 262,144 tokens and twice as many merges."""
MAX_ELEMENTS = 1 << 21
"""Texts in the lists of one header; the largest known has 780,000."""
MAX_TEXT = 1 << 24
MAX_TEMPLATES = 1 << 20
"""Bytes of all chat templates of one header."""
KEPT_TEXT = 1 << 8
"""Bytes that are kept of a text: names are shorter, nothing longer is looked at, and cleaning takes quadratic time."""
KEPT_NUMBERS = 1 << 12
"""A list of more numbers is one of a vocabulary and not of layers; nothing is kept of it."""
WINDOW = 1 << 18

U16, U32, F32, STRING, ARRAY = 2, 4, 6, 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
WIDTHS = {kind: struct.calcsize(code) for kind, code in SCALARS.items()}

MAX_DISTINCT = 1_000_000
"""Tokens. The largest vocabularies in use have 262,144."""

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")
"""Of ASCII and of Latin 1 as UTF-8 has them, without tab and line ends."""


@dataclass(slots=True, frozen=True)
class Array:
    """A list of a header: what it is a list of, its length and, if short and of numbers, the bytes of these."""

    kind: int
    length: int
    data: bytes = b""

    @property
    def integers(self) -> tuple[int, ...]:
        """Empty for a list of fractions, of texts, or of more than KEPT_NUMBERS."""
        if not self.data or SCALARS[self.kind] in "fd":
            return ()
        return struct.unpack(f"<{self.length}{SCALARS[self.kind]}", self.data)


class HeaderReader:
    """Reads forward through a window, and knows how many bytes the file still has."""

    def __init__(self, source: IO[bytes], size: int, label: str) -> None:
        self.label = clean_line(label)
        self.size = size
        self._source = source
        self._window = b""
        self._pos = 0
        self._before = 0
        self._elements = MAX_ELEMENTS
        self._templates = MAX_TEMPLATES

    @property
    def at(self) -> int:
        return self._before + self._pos

    def broken(self, text: str) -> ModelFileBroken:
        return ModelFileBroken(f"{self.label} {text}", hint="localmind models list, then `localmind models pull NAME`")

    def take(self, length: int) -> bytes:
        start = self._need(length)
        return self._window[start : start + length]

    def number(self, code: str) -> Any:
        start = self._need(struct.calcsize("<" + code))
        return struct.unpack_from("<" + code, self._window, start)[0]

    def numbers(self, code: str) -> tuple[Any, ...]:
        start = self._need(struct.calcsize("<" + code))
        return struct.unpack_from("<" + code, self._window, start)

    def count(self, most: int, least_size: int, what: str) -> int:
        """A count of things of which each takes at least `least_size` bytes of what is left of the file."""
        count = int(self.number("Q"))
        if count > most:
            raise self.broken(f"says it has {count} {what}, which cannot be")
        if count * least_size > self.size - self.at:
            raise self._cut()
        return count

    def name(self, most: int) -> str:
        """A key or the name of a tensor. Refuses what a C string, a terminal or a log would read as something else."""
        data = self.take(self.count(most, 1, "bytes in a name"))
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise self.broken("has a name that is no text") from None
        if not text or not text.isprintable():
            raise self.broken(f"has the name {text[:64]!a}, which cannot be shown")
        return text

    def text(self) -> str:
        """The beginning of a text, on one line and without controls."""
        length = self.count(MAX_TEXT, 1, "bytes in a text")
        kept = self.take(min(length, KEPT_TEXT))
        self._skip(length - len(kept))
        return clean_line(kept.decode("utf-8", "replace"))

    def template(self) -> str:
        """The beginning of a chat template, which may have lines. Refuses controls, anywhere in it."""
        data = self.take(self.count(self._templates, 1, "bytes in a template"))
        self._templates -= len(data)
        if _CONTROLS.search(data):
            raise self.broken("has a template with control characters")
        return data[:KEPT_TEXT].decode("utf-8", "replace")

    def array(self, *, distinct: bool = False) -> Array:
        """A list. `distinct`: its texts must differ from one another, but for empty ones."""
        kind = int(self.number("I"))
        if kind == STRING:
            length = self.count(MAX_ELEMENTS, 8, "elements in a list")
            self._elements -= length
            if self._elements < 0:
                raise self.broken("has a header too long to be a model's")
            if distinct:
                self._distinct_texts(length)
            else:
                self._skip_texts(length)
            return Array(kind, length)
        if kind == ARRAY:
            raise self.broken("has a list of lists")
        if kind not in WIDTHS:
            raise self.broken(f"holds a list of the unknown type {kind}")
        length = self.count(MAX_HEADER // WIDTHS[kind], WIDTHS[kind], "elements in a list")
        if length <= KEPT_NUMBERS:
            return Array(kind, length, self.take(length * WIDTHS[kind]))
        self._skip(length * WIDTHS[kind])
        return Array(kind, length)

    def _skip_texts(self, length: int) -> None:
        """Step over a vocabulary; the short way, within the window, takes a fifth of the time of the long one."""
        unpack = struct.Struct("<Q").unpack_from
        window, pos, end = self._window, self._pos, len(self._window)
        last = end - 8
        for _ in range(length):
            if pos <= last:
                after = pos + 8 + unpack(window, pos)[0]
                if after <= end:
                    pos = after
                    continue
            self._pos = pos
            self._skip(self.count(MAX_TEXT, 1, "bytes in a text"))
            window, pos, end = self._window, self._pos, len(self._window)
            last = end - 8
        self._pos = pos

    def _distinct_texts(self, length: int) -> None:
        """Step over a vocabulary and compare its tokens, by hashes of 64 bits: they may be many and long."""
        if length > MAX_DISTINCT:
            raise self.broken(f"has a vocabulary of {length} tokens")
        seen: set[int] = set()
        empty = 0
        for _ in range(length):
            text = self.take(self.count(MAX_TEXT, 1, "bytes in a text")).partition(b"\0")[0]  # all that C reads
            if text:
                seen.add(hash(text))
            else:
                empty += 1
        if len(seen) + empty < length:
            raise self.broken("has a token twice in its vocabulary")

    def _cut(self) -> ModelFileBroken:
        if self.size > MAX_HEADER:
            return self.broken("is damaged, or has a header too long to be a model's")
        return self.broken(f"is cut short or damaged inside its header: it has {self.size} bytes")

    def _need(self, length: int) -> int:
        """Make `length` bytes available and step over them; returns where they start in the window."""
        if self._pos + length > len(self._window):
            if self.at + length > min(self.size, MAX_HEADER):
                raise self._cut()
            rest = self._window[self._pos :]
            self._before += self._pos
            self._window = rest + self._source.read(max(WINDOW, length) - len(rest))
            self._pos = 0
            if len(self._window) < length:
                raise self.broken("became shorter while it was read")
        start = self._pos
        self._pos += length
        return start

    def _skip(self, length: int) -> None:
        if self._pos + length <= len(self._window):
            self._pos += length
            return
        if self.at + length > min(self.size, MAX_HEADER):
            raise self._cut()
        self._before = self.at + length
        self._source.seek(self._before, os.SEEK_SET)
        self._window, self._pos = b"", 0
