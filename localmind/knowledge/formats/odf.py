"""OpenDocument to text: ODT by paragraph, ODP by slide, ODS by row.

A paragraph, a table row or a sheet row is a line; slides and sheets are pages. Repeated cells and
rows, with which a few bytes can stand for a billion, are read once.
"""

from collections.abc import Iterator
from typing import Any

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import Extracted
from localmind.knowledge.formats.lines import Lines
from localmind.knowledge.formats.packed import Packed, attribute, local

CELL_SEPARATOR = " | "
_SILENT = frozenset({"tracked-changes", "annotation", "forms", "script"})


def read(data: bytes) -> Extracted:
    """The text of an ODT, ODP or ODS."""
    packed = Packed(data, "OpenDocument file")
    root = packed.xml("content.xml")
    body = next((element for element in root if local(element) == "body"), None)
    if body is None or not len(body):
        raise ExtractFailed("this OpenDocument file is broken: it has no body")
    lines = Lines("OpenDocument file")
    if "styles.xml" in packed.members and (title := _title(packed)):
        lines.under(0, title)
    for block in _blocks(body[0]):
        match local(block):
            case "page":
                lines.page()
                lines.under(1, attribute(block, "name") or "")
            case "table" if local(body[0]) == "spreadsheet":
                lines.page()
                lines.under(1, attribute(block, "name") or "")
            case "table-row":
                cells = [" ".join(_text(cell).split()) for cell in block if local(cell) == "table-cell"]
                lines.add(CELL_SEPARATOR.join(cell for cell in cells if cell))
            case "h":
                lines.add(_text(block), _level(attribute(block, "outline-level")))
            case "p":
                lines.add(_text(block))
    return lines.done()


def _title(packed: Packed) -> str:
    if "meta.xml" not in packed.members:
        return ""
    found = (element.text or "" for element in packed.xml("meta.xml").iter() if local(element) == "title")
    return " ".join(next(found, "").split())


def _level(written: str | None) -> int:
    return min(int(written), 10) if written and written.isdigit() and len(written) < 4 else 1


def _blocks(parent: Any) -> Iterator[Any]:
    """Pages, tables, rows, headings and paragraphs in order; nothing inside a row, heading or paragraph."""
    waiting = [iter(parent)]
    while waiting:
        element = next(waiting[-1], None)
        if element is None:
            waiting.pop()
            continue
        name = local(element)
        if name in _SILENT:
            continue
        if name in ("page", "table", "table-row", "h", "p"):
            yield element
        if name not in ("table-row", "h", "p"):
            waiting.append(iter(element))


def _text(element: Any) -> str:
    """Everything written in an element; tabs and line breaks are elements of their own here."""
    pieces: list[str] = []
    for event, node in _walk(element):
        name = local(node)
        if event == "start":
            if name in ("tab", "line-break", "s", "p"):
                pieces.append(" ")
            pieces.append(node.text or "" if name else "")
        elif node is not element:
            pieces.append(node.tail or "")
    return "".join(pieces)


def _walk(element: Any) -> Iterator[tuple[str, Any]]:
    from lxml import etree

    return iter(etree.iterwalk(element, events=("start", "end")))
