"""A table of an answer, laid out for a width.

Columns are as wide as their longest cell while that fits; else what they want beyond a fair share is cut, and cells
wrap. Where even words have no room, each row is told as lines of `column: cell`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markdown_it.token import Token
from textual.content import Content

GAP = " │ "
BORDER = "$foreground 30%"
NARROWEST = 6
"""Cells that a column needs for its cells to be worth reading."""


@dataclass(slots=True, frozen=True)
class Table:
    """Header, rows of as many cells, and how each column is aligned."""

    head: tuple[Content, ...]
    rows: tuple[tuple[Content, ...], ...]
    aligned: tuple[str, ...]

    def lines(self, width: int) -> Iterator[Content]:
        """The table as lines of at most `width` cells."""
        widths = self._widths(width)
        if widths is None:
            yield from self._told()
            return
        bold = tuple(cell.stylize("bold") for cell in self.head)
        yield from self._row(bold, widths)
        yield Content.styled("─┼─".join("─" * each for each in widths), BORDER)
        tall = any(cell.cell_length > room for row in self.rows for cell, room in zip(row, widths, strict=True))
        for number, row in enumerate(self.rows):
            if number and tall:
                yield Content.styled(" │ ".join(" " * each for each in widths).rstrip(), BORDER)
            yield from self._row(row, widths)

    def _widths(self, width: int) -> list[int] | None:
        """Cells for each column; None when the table has no room."""
        wanted = [
            max(1, *(row[place].cell_length for row in (self.head, *self.rows))) for place in range(len(self.head))
        ]
        room = width - len(GAP) * (len(wanted) - 1)
        if sum(wanted) <= room:
            return wanted
        least = [min(each, NARROWEST) for each in wanted]
        if sum(least) > room:
            return None
        widths = list(least)
        spare = room - sum(widths)
        while spare:  # the poorest of those that want more gets more
            poorest = min((each for each in range(len(widths)) if widths[each] < wanted[each]), key=widths.__getitem__)
            widths[poorest] += 1
            spare -= 1
        return widths

    def _row(self, cells: Sequence[Content], widths: Sequence[int]) -> Iterator[Content]:
        wrapped = [
            [cell] if cell.cell_length <= room else cell.wrap(room) for cell, room in zip(cells, widths, strict=True)
        ]
        gap = Content.styled(GAP, BORDER)
        for height in range(max(len(each) for each in wrapped)):
            row = [each[height] if height < len(each) else Content("") for each in wrapped]
            yield gap.join(map(_aligned, row, widths, self.aligned)).rstrip()

    def _told(self) -> Iterator[Content]:
        for number, row in enumerate(self.rows):
            if number:
                yield Content("")
            for name, cell in zip(self.head, row, strict=True):
                yield Content.assemble(name.stylize("bold"), ": ", cell)


def _aligned(cell: Content, width: int, how: str) -> Content:
    room = max(0, width - cell.cell_length)
    left = {"right": room, "center": room // 2}.get(how, 0)
    return cell.pad_left(left).pad_right(room - left)


def table_of(tokens: Sequence[Token], inline: Callable[[Token], Content]) -> Table:
    """The table between its opening and its closing token."""
    rows: list[list[Content]] = []
    aligned: list[str] = []
    for place, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append(Content(" ").join(inline(tokens[place + 1]).split("\n")))
            if token.type == "th_open":
                aligned.append(str(token.attrs.get("style", "")).rpartition(":")[2])
    head = rows[0] if rows else [Content("")]
    same = [(*row[: len(head)], *[Content("")] * (len(head) - len(row))) for row in rows[1:]]
    return Table(tuple(head), tuple(same), tuple(aligned or [""]))
