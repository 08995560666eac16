"""DOCX to text: line N is the Nth paragraph or table row, in the order of the document.

Headings are Word's own heading styles. Pages are not stored in a DOCX (they depend on the printer), so
none are cited. Comments, macros and linked objects are not read.
"""

import io
from collections.abc import Iterator
from typing import Any

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import Extracted
from localmind.knowledge.formats.lines import Lines
from localmind.knowledge.formats.packed import BROKEN, Packed


def read(data: bytes) -> Extracted:
    """Paragraphs and table rows with the headings they stand under."""
    import docx
    from docx.opc.exceptions import PackageNotFoundError

    Packed(data, "DOCX")  # the bounds; python-docx unfolds what it likes
    lines = Lines("DOCX")
    try:
        for text, level in _blocks(docx.Document(io.BytesIO(data))):
            lines.add(text, level)
    except (*BROKEN, PackageNotFoundError) as error:
        raise ExtractFailed(f"this DOCX is broken: {error}") from error
    return lines.done()


def _blocks(document: Any) -> Iterator[tuple[str, int | None]]:
    """(text, heading level or None) of every paragraph and table row."""
    from docx.table import Table

    for block in document.iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                yield " | ".join(cell.text for cell in row.cells), None
            continue
        style = (block.style.name if block.style is not None else "") or ""
        level: int | None = None
        if style == "Title":
            level = 0
        elif style.startswith("Heading ") and style[8:].isdigit():
            level = int(style[8:])
        yield block.text, level
