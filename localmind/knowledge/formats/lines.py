"""Builds the text of a document line by line, with its headings, pages and a bound on its length.

For formats that have no lines of their own: what is added is one paragraph, row or cell, so that line
N of the text is the Nth of them. It knows no format.
"""

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import Extracted, Heading
from localmind.knowledge.headings import Trail

CHARACTERS_LIMIT = 30 * 1024 * 1024
LINES_LIMIT = 2_000_000


class Lines:
    """The text so far. `name` is what the user calls the format, for messages."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: list[str] = []
        self._headings: list[Heading] = []
        self._pages: list[int] = []
        self._trail = Trail()
        self._length = 0

    def add(self, text: str, level: int | None = None) -> None:
        """One line; white space in it becomes single blanks. With `level` (0 is a title) it is a heading."""
        line = " ".join(text.split())
        if level is not None and line:
            self.under(level, line)
        self._append(line)

    def block(self, text: str) -> None:
        """Lines that keep their white space: code, output."""
        for line in text.splitlines():
            self._append(line.rstrip())

    def under(self, level: int, title: str) -> None:
        """What follows stands under `title`, which is not part of the text by this."""
        self._headings.append(Heading(self._length, self._trail.enter(level, title)))

    def page(self) -> None:
        """A new page (slide, sheet) begins."""
        self._pages.append(self._length)

    def include(self, part: Extracted, level: int | None = None) -> None:
        """The text of a part that was read by another format, its headings below level `level`."""
        outer = self._trail.leave(level + 1) if level is not None else ""
        for heading in part.headings:
            trail = " > ".join(piece for piece in (outer, heading.trail) if piece)
            self._headings.append(Heading(self._length + heading.start, trail))
        for line in part.text.rstrip("\n").split("\n"):
            self._append(line)

    def done(self) -> Extracted:
        """The document; ExtractFailed when it holds no text."""
        if not any(line.strip() for line in self._lines):
            raise ExtractFailed(f"this {self._name} holds no text")
        return Extracted("\n".join(self._lines) + "\n", tuple(self._headings), tuple(self._pages) or None)

    def _append(self, line: str) -> None:
        # NUL would end the text in SQLite; other separators would count as lines in an editor and not here.
        line = line.replace("\0", "").replace("\r", " ")
        self._lines.append(line)
        self._length += len(line) + 1
        if self._length > CHARACTERS_LIMIT or len(self._lines) > LINES_LIMIT:
            raise ExtractFailed(f"this {self._name} holds more text than localmind indexes")
