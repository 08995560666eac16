"""Markdown of answers as lines that a terminal can show: GitHub's tables and strikes, no HTML, nothing fetched.

`read` parses a text into pieces that know nothing of a width, `rows` lays a piece out for one. Textual's own
Markdown makes widgets of every item and every cell, 3 ms each, so that the end of a long list held the whole app up for
0.4 s; here an answer of any length is one widget. Loaded when the first answer needs it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it.token import Token
from rich.cells import cell_len
from textual.content import Content, Span
from textual.style import Style

from localmind.clean import clean_line
from localmind.markdown import markdown_parser
from localmind_tui.table import Table, table_of

EMPTY = Content("")
MUTED = "$foreground-muted"
MARK = "$text-primary"
CODE = "$foreground on $panel"
HEADINGS = {
    "h1": "bold $markdown-h1-color",
    "h2": "underline $markdown-h2-color",
    "h3": "bold $markdown-h3-color",
    "h4": "bold underline $markdown-h4-color",
    "h5": "bold $markdown-h5-color",
    "h6": "bold $markdown-h6-color",
}
INLINE = {"em": "italic", "strong": "bold", "s": "strike"}
BULLETS = "•◦▪"


@dataclass(slots=True, frozen=True)
class Line:
    """One line of an answer, of any length: `first` stands before its first row, `hang` before the others."""

    text: Content
    first: Content = EMPTY
    hang: Content = EMPTY
    fill: str = ""
    """Style of all the row, to the edge."""
    code: int | None = None
    """Of a line of code: the place of its block in `Read.codes`."""
    copies: bool = False
    """A click on it copies that block."""


@dataclass(slots=True, frozen=True)
class Rule:
    """A line across."""

    first: Content = EMPTY


@dataclass(slots=True, frozen=True)
class Grid:
    """A table, which is laid out for a width."""

    table: Table
    first: Content = EMPTY


Piece = Line | Rule | Grid


@dataclass(slots=True, frozen=True)
class Code:
    """A block of code as it is copied."""

    language: str
    text: str


@dataclass(slots=True, frozen=True)
class Row:
    """What one row of the screen shows of a line: `content` begins at character `x` of it."""

    content: Content
    line: int
    x: int
    piece: int
    """The place of the piece it belongs to."""

    def looks_like(self, other: "Row") -> bool:
        """Whether both are drawn alike."""
        return (
            self.line == other.line
            and self.x == other.x
            and self.content.plain == other.content.plain
            and self.content.spans == other.content.spans
        )


def same(one: Piece, other: Piece) -> bool:
    """Whether two pieces come out alike for every width. Textual calls contents of the same words equal."""
    if one is other:
        return True
    if not isinstance(one, Line) or not isinstance(other, Line):
        return False
    return one == other and all(
        mine.spans == its.spans
        for mine, its in ((one.text, other.text), (one.first, other.first), (one.hang, other.hang))
    )


class Reader:
    """Makes pieces of Markdown, and collects its blocks of code."""

    def __init__(self, codes: list[Code]) -> None:
        self._codes = codes
        self._parser = markdown_parser()

    def read(self, text: str) -> list[Piece]:
        """The pieces of a text, with an empty line between its blocks."""
        return list(self._blocks(self._parser.parse(text), EMPTY, EMPTY, 0))

    def _blocks(self, tokens: Sequence[Token], first: Content, hang: Content, depth: int) -> Iterator[Piece]:
        """Blocks of one level; `first` stands before the first line of all, `hang` before every other."""
        place, begun = 0, False
        while place < len(tokens):
            token, end = tokens[place], _end(tokens, place)
            inside = tokens[place + 1 : end]
            before = first if not begun else hang
            tight_list = depth and token.type in ("bullet_list_open", "ordered_list_open")
            tight = (token.type == "paragraph_open" and token.hidden) or tight_list
            if begun and not tight:
                yield Line(EMPTY, _bare(hang), _bare(hang))
            yield from self._block(token, inside, before, hang, depth)
            place, begun = end + 1, True
        if not begun and first:
            yield Line(EMPTY, first, hang)

    def _block(
        self, token: Token, inside: Sequence[Token], first: Content, hang: Content, depth: int
    ) -> Iterator[Piece]:
        match token.type:
            case "paragraph_open":
                yield from _lines(inside, first, hang, "")
            case "heading_open":
                yield from _lines(inside, first, hang, HEADINGS.get(token.tag, "bold"))
            case "fence" | "code_block":
                yield from self._code(token, first, hang)
            case "blockquote_open":
                bar = Content.styled("▌ ", MARK)
                yield from self._blocks(inside, first + bar, hang + bar, depth)
            case "bullet_list_open" | "ordered_list_open":
                yield from self._list(token, inside, first, hang, depth)
            case "table_open":
                if first is not hang and first.plain.strip():
                    yield Line(EMPTY, first, hang)
                yield Grid(table_of(inside, inline), hang)
            case "hr":
                yield Rule(first)
            case _ if token.content:
                yield Line(Content(token.content), first, hang)

    def _list(
        self, token: Token, inside: Sequence[Token], first: Content, hang: Content, depth: int
    ) -> Iterator[Piece]:
        number = int(token.attrs.get("start", 1)) if token.type == "ordered_list_open" else None
        starts = [place for place, each in enumerate(inside) if each.type == "list_item_open" and _top(inside, place)]
        last = f"{number + len(starts) - 1}. " if number is not None else "• "
        for item, place in enumerate(starts):
            mark = f"{number + item}. ".rjust(len(last)) if number is not None else f"{BULLETS[min(depth, 2)]} "
            marked = (first if not item else hang) + Content.styled(mark, MARK)
            under = hang + Content(" " * len(mark))
            yield from self._blocks(inside[place + 1 : _end(inside, place)], marked, under, depth + 1)

    def _code(self, token: Token, first: Content, hang: Content) -> Iterator[Piece]:
        language = clean_line(token.info.split(maxsplit=1)[0] if token.info.strip() else "")[:24]
        self._codes.append(Code(language, token.content))
        which = len(self._codes) - 1
        label = Content.styled(f"{language or 'text'} · copy", MUTED)
        yield Line(label, first, hang, fill=CODE, code=which, copies=True)
        for line in code_lines(Content(token.content.rstrip("\n"))):
            yield Line(line, hang, hang, fill=CODE, code=which)


def code_lines(code: Content) -> list[Content]:
    """The lines of a block of code, each kept as it is."""
    return [line.expand_tabs(4) for line in code.split("\n", allow_blank=True)]


def inline(token: Token) -> Content:
    """The words of a paragraph, heading or cell."""
    text: list[str] = []
    spans: list[Span] = []
    opened: list[tuple[int, str | Style]] = []
    length = 0

    def add(words: str) -> None:
        nonlocal length
        text.append(words)
        length += len(words)

    def close(more: Style | str = "") -> None:
        start, style = opened.pop()
        if length > start:
            spans.append(Span(start, length, more or style))

    for child in token.children or []:
        name, _, what = child.type.rpartition("_")
        if child.type in ("softbreak", "hardbreak"):
            add(" " if child.type == "softbreak" else "\n")
        elif child.type == "code_inline":
            opened.append((length, "$text-warning on $panel"))
            add(child.content)
            close()
        elif child.type == "image":
            add(f"[image: {child.content}]" if child.content else "[image]")
        elif child.type == "link_open":
            opened.append((length, Style(underline=True) + Style.from_meta({"href": str(child.attrs.get("href", ""))})))
        elif what == "open":
            opened.append((length, INLINE.get(name, "")))
        elif what == "close" and opened:
            close()
        else:
            add(child.content.expandtabs(4))
    return Content("".join(text), spans)


def rows(pieces: Sequence[Piece], width: int, *, line: int = 0, piece: int = 0) -> Iterator[Row | str]:
    """Rows for a width, and before the rows of a line the text of it; lines and pieces are counted from those given."""
    for place, each in enumerate(pieces, piece):
        for one in _laid(each, width):
            yield one.first.plain + one.text.plain
            for content, x in _wrapped(one, width):
                yield Row(content, line, x, place)
            line += 1


def _laid(piece: Piece, width: int) -> Iterator[Line]:
    match piece:
        case Line():
            yield piece
        case Rule(first):
            yield Line(Content.styled("─" * max(1, width - first.cell_length), "$foreground 30%"), first)
        case Grid(table, first):
            for text in table.lines(max(1, width - first.cell_length)):
                yield Line(text, first, first)


def _wrapped(line: Line, width: int) -> Iterator[tuple[Content, int]]:
    """The rows of a line, each with the character of the line that it begins at."""
    code, edge = line.code is not None, len(line.first.plain)
    inset = Content(" ") if code else EMPTY
    room = max(4, width - line.first.cell_length - 2 * len(inset.plain))
    if line.copies:  # at the right edge
        label = line.text.truncate(room)
        padded = label.pad_left(max(0, room - label.cell_length))
        yield _filled(line.first, inset + padded, line.fill, width), 0
        return
    text = line.text
    fits = text.cell_length <= room
    parts = [text] if fits else text.divide(_edges(text.plain, room)) if code else text.wrap(room)
    position = 0
    for number, part in enumerate(parts):
        if not fits:  # the blanks between two rows are in neither
            position = max(text.plain.find(part.plain, position), position)
        before = line.first if not number else line.hang
        yield (
            _filled(before, inset + part, line.fill, width),
            edge + position - len(before.plain) - len(inset.plain),
        )
        position += len(part.plain)


def _edges(text: str, room: int) -> list[int]:
    """Where a line is cut that is cut anywhere; `Content.fold` goes through all colours of the line for each row."""
    if text.isascii():
        return list(range(room, len(text), room))
    edges: list[int] = []
    used = 0
    for place, letter in enumerate(text):
        cells = cell_len(letter)
        if used + cells > room:
            edges.append(place)
            used = 0
        used += cells
    return edges


def _filled(before: Content, text: Content, fill: str, width: int) -> Content:
    if not fill:
        return before + text
    room = max(0, width - before.cell_length)
    return before + text.pad_right(max(0, room - text.cell_length)).stylize_before(fill)


def _lines(inside: Sequence[Token], first: Content, hang: Content, style: str) -> Iterator[Line]:
    words = inline(inside[0]) if inside else EMPTY
    if style:
        words = words.stylize_before(style)
    for number, line in enumerate(words.split("\n", allow_blank=True)):
        yield Line(line, hang if number else first, hang)


def _end(tokens: Sequence[Token], place: int) -> int:
    """The token that closes the one at `place`; itself when nothing does."""
    if tokens[place].nesting != 1:
        return place
    level = tokens[place].level
    for end in range(place + 1, len(tokens)):
        if tokens[end].level == level and tokens[end].nesting == -1:
            return end
    return len(tokens)


def _top(tokens: Sequence[Token], place: int) -> bool:
    return tokens[place].level == tokens[0].level


def _bare(before: Content) -> Content:
    """What stands before an empty line."""
    return before.rstrip()
