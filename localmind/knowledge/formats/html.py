"""HTML to text on the file's own lines, with the standard library's tolerant parser.

Every piece of text is put on the line where it stands in the source, so a citation `page.html:40`
opens the right place; lines that held only markup become empty. Scripts, styles and templates are
dropped, nothing is fetched, no entity beyond HTML's own table is expanded.
"""

from html.parser import HTMLParser

from localmind.knowledge.extract import Extracted, Heading, words
from localmind.knowledge.headings import Trail

SILENT = frozenset({"script", "style", "template", "noscript", "svg", "iframe", "object"})
INLINE = frozenset(
    words("""
a abbr b bdi bdo cite code em font i kbd mark q s small span strong sub sup u var wbr
""")
)
LEVELS = {f"h{number}": number for number in range(1, 7)} | {"title": 0}


def read(text: str, *, by_blocks: bool = False) -> Extracted:
    """The visible text of a page and its headings; the title is the outermost one.

    `by_blocks`: a line is a paragraph (any block of markup), for pages inside a book or a message.
    """
    parser = _TextOfPage(by_blocks)
    parser.feed(text)
    parser.close()
    return parser.extracted()


class _TextOfPage(HTMLParser):
    def __init__(self, by_blocks: bool) -> None:
        super().__init__(convert_charrefs=True)
        self._by_blocks = by_blocks
        self._pieces: list[str] = []
        self._length = 0
        self._line = 1
        self._silent = 0
        self._headings: list[Heading] = []
        self._trail = Trail()
        self._title: list[str] | None = None
        self._title_start = 0

    def extracted(self) -> Extracted:
        return Extracted("".join(self._pieces), tuple(self._headings))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self._silent += 1
        elif tag not in INLINE:
            self._block()
        if tag in LEVELS and not self._silent:
            # Text that follows on this line belongs to the heading, so place the cursor first.
            self._advance()
            self._title, self._title_start = [], self._length

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # <svg/> and the like open nothing.
        if tag not in SILENT and tag not in INLINE:
            self._block()

    def handle_endtag(self, tag: str) -> None:
        if tag in SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag not in INLINE:
            self._block()
        if tag in LEVELS and self._title is not None:
            trail = self._trail.enter(LEVELS[tag], "".join(self._title))
            self._headings.append(Heading(self._title_start, trail))
            self._title = None

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if self._title is not None:
            self._title.append(data)
        self._advance()
        # Indentation of the source is noise; its line breaks are the line numbers.
        lines = [" ".join(line.split()) for line in data.split("\n")]
        if data[:1].isspace() and lines[0]:
            self._gap()
        self._put((" " if self._by_blocks else "\n").join(lines))
        self._line += len(lines) - 1
        if lines[-1] and data[-1:].isspace():
            self._gap()

    def _advance(self) -> None:
        if self._by_blocks:
            return
        missing = self.getpos()[0] - self._line
        if missing > 0:
            self._put("\n" * missing)
            self._line += missing

    def _block(self) -> None:
        if not self._by_blocks:
            self._gap()
        elif self._pieces and not self._pieces[-1].endswith("\n"):
            self._put("\n")

    def _gap(self) -> None:
        if self._pieces and not self._pieces[-1].endswith((" ", "\n")):
            self._put(" ")

    def _put(self, piece: str) -> None:
        if piece:
            self._pieces.append(piece)
            self._length += len(piece)
