"""Where a piece of text stands: the heading trail of Markdown, reStructuredText, Org, AsciiDoc, LaTeX, CSV.

The trail is shown next to a citation and is put in front of a passage before it is embedded, which
is what lets "how do I descale it" find a passage that never names the machine. Pure functions of
the text, linear in its length, tolerant of anything; they never change a character.
"""

import re
from collections.abc import Iterator

from localmind.knowledge.extract import Heading

# A trail is a hint, not a document: hostile or machine-made headings are cut.
TITLE_LIMIT = 120
TRAIL_LIMIT = 300

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*$")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}[ \t]*$")
_ORG = re.compile(r"(\*{1,8})[ \t]+(?:TODO |DONE )?(.+?)(?:[ \t]+:[\w:@]+:)?[ \t]*$")
_ORG_TITLE = re.compile(r"#\+title:[ \t]*(.+)$", re.I)
_ASCIIDOC = re.compile(r"(={1,6})[ \t]+(.+?)[ \t=]*$")
_LATEX = re.compile(
    r"[ \t]*\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]{0,200}\])?\{([^{}]{1,200})"
)
_LATEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph")


class Trail:
    """The open headings, outermost first, while a document is read from top to bottom."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def leave(self, level: int) -> str:
        """Close headings of `level` and deeper, return the trail."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        return " > ".join(text for _, text in self._open)[:TRAIL_LIMIT]

    def enter(self, level: int, title: str) -> str:
        """Close headings of `level` and deeper, open this one, return the trail."""
        self.leave(level)
        title = " ".join(title.split())[:TITLE_LIMIT]
        if title:
            self._open.append((level, title))
        return " > ".join(text for _, text in self._open)[:TRAIL_LIMIT]


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """(start, line without its newline) of every line."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start:end]
        start = end + 1


def markdown(text: str) -> tuple[Heading, ...]:
    """ATX (`## x`) and setext (underlined) headings outside code fences."""
    found: list[Heading] = []
    trail, fence = Trail(), ""
    before_start, before = 0, ""
    for start, line in lines_of(text):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                fence = ""
            before = ""
            continue
        if mark:
            fence, before = mark[1], ""
            continue
        if match := _ATX.match(line[: TITLE_LIMIT * 4]):
            found.append(Heading(start, trail.enter(len(match[1]), match[2])))
            before = ""
            continue
        if (
            before.strip()
            and (match := _SETEXT.match(line))
            and not before.lstrip().startswith(("-", "*", ">", "|", "#"))
        ):
            found.append(Heading(before_start, trail.enter(1 if match[1][0] == "=" else 2, before)))
            before = ""
            continue
        before_start, before = start, line
    return tuple(found)


def underlined(text: str) -> tuple[Heading, ...]:
    """Section titles of reStructuredText and plain text; levels in the order in which the underline characters appear.

    Short lines that only stand alone are not taken for headings: half of them are none (measured on manuals),
    and a wrong heading in front of every passage costs more than a right one gains.
    """
    found: list[Heading] = []
    trail, levels = Trail(), list[str]()
    before_start, before = 0, ""
    for start, line in lines_of(text):
        match = _UNDERLINE.match(line)
        if match and before.strip() and not _UNDERLINE.match(before) and len(line.rstrip()) >= len(before.rstrip()):
            if match[1] not in levels:
                levels.append(match[1])
            found.append(Heading(before_start, trail.enter(levels.index(match[1]) + 1, before)))
        before_start, before = start, line
    return tuple(found)


def org(text: str) -> tuple[Heading, ...]:
    """`* Heading :tag:` of Org mode, below the document's #+title."""
    found, trail = list[Heading](), Trail()
    for start, line in lines_of(text):
        if match := _ORG_TITLE.match(line):
            found.append(Heading(start, trail.enter(0, match[1])))
        elif match := _ORG.match(line[: TITLE_LIMIT * 4]):
            found.append(Heading(start, trail.enter(len(match[1]), match[2])))
    return tuple(found)


def asciidoc(text: str) -> tuple[Heading, ...]:
    """`== Heading` of AsciiDoc (and of wikis); older documents underline, as reStructuredText does."""
    found, trail = list[Heading](), Trail()
    for start, line in lines_of(text):
        if match := _ASCIIDOC.match(line[: TITLE_LIMIT * 4]):
            found.append(Heading(start, trail.enter(len(match[1]), match[2])))
    return tuple(found) or underlined(text)


def latex(text: str) -> tuple[Heading, ...]:
    """`\\section{…}` and its kin."""
    found, trail = list[Heading](), Trail()
    for start, line in lines_of(text):
        if match := _LATEX.match(line[: TITLE_LIMIT * 4]):
            found.append(Heading(start, trail.enter(_LATEX_LEVELS.index(match[1]), match[2])))
    return tuple(found)


def first_row(text: str) -> tuple[Heading, ...]:
    """The column names of a table: without them a row in the middle says nothing."""
    for start, line in lines_of(text):
        if line.strip():
            return (Heading(start + len(line) + 1, " ".join(line.split())[:TRAIL_LIMIT]),)
    return ()
