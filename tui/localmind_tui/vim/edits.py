"""What vim's operators and puts do to a TextArea, and the register that they fill.

Every one of them is a single edit, so that `u` takes back all of it. Where the text comes from, a motion or a
selection, is decided by who calls.
"""

from dataclasses import dataclass

from textual.widgets import TextArea

from localmind_tui.vim.motions import Place, indent

INDENT = 4
"""Columns of `>` and `<`."""


@dataclass(slots=True, frozen=True)
class Span:
    """What is acted on: up to `last`, which is not part of it; `lines`: all of the rows that it touches."""

    first: Place
    last: Place
    lines: bool = False

    @classmethod
    def of_rows(cls, area: TextArea, first: int, last: int) -> "Span":
        return cls((first, 0), (last, len(area.document.get_line(last))), True)


@dataclass(slots=True)
class Edits:
    """The register, and what uses it."""

    text: str = ""
    lines: bool = False
    """The register holds whole lines."""

    def act(self, operator: str, span: Span, area: TextArea, count: int = 1) -> None:
        """d c y > < ~ u U of a span. The cursor is left where vi leaves it; after `c` text is typed there."""
        match operator:
            case "d" | "c" | "y" if span.lines or span.first != span.last:
                self.text, self.lines = area.get_text_range(span.first, span.last), span.lines
                if operator == "y":
                    row, column = area.cursor_location
                    if not span.lines or row != span.first[0]:
                        area.move_cursor((span.first[0], column) if span.lines else span.first)
                elif operator == "d" and span.lines:
                    self._drop_rows(span.first[0], span.last[0], area)
                else:
                    _replace("", span, area)
                    area.move_cursor(span.first)
            case "d" | "c" | "y":
                pass  # there was nothing
            case ">" | "<":
                rows = area.get_text_range((span.first[0], 0), _end(span.last[0], area)).split("\n")
                _replace("\n".join(_shifted(row, operator, count) for row in rows), _rows(span, area), area)
                area.move_cursor((span.first[0], indent(area.document.get_line(span.first[0]))))
            case _:
                text = area.get_text_range(span.first, span.last)
                changed = {"~": text.swapcase, "u": text.lower, "U": text.upper}[operator]()
                _replace(changed, span, area)
                area.move_cursor(span.first)

    def change(self, span: Span, text: str, area: TextArea) -> None:
        """c once more, with what was typed then: the cursor is on its last character."""
        if span.first != span.last:
            self.text, self.lines = area.get_text_range(span.first, span.last), span.lines
        row, column = _replace(text, span, area)
        area.move_cursor((row, max(column - 1, 0)))

    def _drop_rows(self, first: int, last: int, area: TextArea) -> None:
        rows = area.document.line_count
        if last + 1 < rows:
            span = Span((first, 0), (last + 1, 0))
        else:
            span = Span(_end(first - 1, area) if first else (0, 0), _end(last, area))
        _replace("", span, area)
        row = min(first, area.document.line_count - 1)
        area.move_cursor((row, indent(area.document.get_line(row))))

    def put(self, area: TextArea, *, after: bool, count: int = 1) -> None:
        """p and P at the cursor."""
        row, column = area.cursor_location
        line = area.document.get_line(row)
        if self.lines:
            text = "\n".join([self.text] * count)
            where = (row, len(line)) if after else (row, 0)
            _replace(f"\n{text}" if after else f"{text}\n", Span(where, where), area)
            row += after
            area.move_cursor((row, indent(area.document.get_line(row))))
        elif self.text:
            where = (row, min(column + after, len(line)))
            self._put_text(self.text * count, Span(where, where), area)

    def put_over(self, span: Span, area: TextArea, *, keep: bool) -> None:
        """p over a selection, whose text is in the register afterwards; `keep` as P does: it is not."""
        before = area.get_text_range(span.first, span.last)
        if self.lines and not span.lines:
            _replace(f"\n{self.text}\n", span, area)
            area.move_cursor((span.first[0] + 1, indent(area.document.get_line(span.first[0] + 1))))
        elif span.lines:
            _replace(self.text, span, area)
            area.move_cursor((span.first[0], indent(area.document.get_line(span.first[0]))))
        else:
            self._put_text(self.text, span, area)
        if not keep:
            self.text, self.lines = before, span.lines

    def _put_text(self, text: str, span: Span, area: TextArea) -> None:
        """Text within a line stands behind the cursor, text of several lines before it."""
        end = _replace(text, span, area)
        area.move_cursor(span.first if "\n" in text else (end[0], max(end[1] - 1, span.first[1])))

    @staticmethod
    def replace(character: str, span: Span, area: TextArea) -> None:
        """r of every character, but for the ends of lines."""
        text = area.get_text_range(span.first, span.last)
        _replace("".join(each if each == "\n" else character for each in text), span, area)
        area.move_cursor(span.first)

    @staticmethod
    def join(first: int, last: int, area: TextArea) -> None:
        """J: rows as one, with a blank where they met."""
        last = min(last, area.document.line_count - 1)
        if last <= first:
            return
        joined = area.document.get_line(first)
        place = len(joined)
        for row in range(first + 1, last + 1):
            more = area.document.get_line(row).lstrip()
            place = len(joined)
            joined += f" {more}" if more and joined and not joined[-1].isspace() else more
        _replace(joined, Span((first, 0), _end(last, area)), area)
        area.move_cursor((first, place))


def _replace(text: str, span: Span, area: TextArea) -> Place:
    """One step of undo; gives the end of the new text."""
    area.history.checkpoint()
    return area.replace(text, span.first, span.last, maintain_selection_offset=False).end_location


def _end(row: int, area: TextArea) -> Place:
    return row, len(area.document.get_line(row))


def _rows(span: Span, area: TextArea) -> Span:
    return Span.of_rows(area, span.first[0], span.last[0])


def _shifted(row: str, operator: str, count: int) -> str:
    if operator == ">":
        return f"{' ' * INDENT * count}{row}" if row else row
    return row[min(indent(row), INDENT * count) :]
