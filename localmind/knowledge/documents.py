"""PDF and DOCX to text. Imported only in the extract worker's child: both parsers are native or lxml.

A PDF gives its pages in order, a DOCX its paragraphs and table rows in the order of the document.
Encrypted, broken and scanned files end in an ExtractFailed that says which of these they are;
nothing is recognised from images.
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import Extracted, Heading
from localmind.knowledge.headings import Trail

PAGES_LIMIT = 5000
# A DOCX is a zip: a few kilobytes can unfold to gigabytes. Bytes after unfolding, of all members.
UNFOLDED_LIMIT = 300 * 1024 * 1024
CHARACTERS_LIMIT = 30 * 1024 * 1024


def extract_pdf(data: bytes) -> Extracted:
    """Text page by page, each page on new lines."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise ExtractFailed("this PDF is encrypted", hint="save a copy without a password") from error
        raise ExtractFailed(f"this PDF is broken: {error}") from error
    try:
        pieces: list[str] = []
        starts: list[int] = []
        length = 0
        for number in range(min(len(document), PAGES_LIMIT)):
            starts.append(length)
            text = _page_text(document, number)
            pieces.append(text)
            length += len(text)
            if length > CHARACTERS_LIMIT:
                raise ExtractFailed("this PDF holds more text than localmind indexes")
    finally:
        document.close()
    if not any(piece.strip() for piece in pieces):
        raise ExtractFailed("this PDF holds no text, only images", hint="run it through OCR, e.g. ocrmypdf")
    return Extracted("".join(pieces), (), tuple(starts))


def _page_text(document: Any, number: int) -> str:
    import pypdfium2

    try:
        page = document[number]
        text_page = page.get_textpage()
        text = str(text_page.get_text_bounded())
        text_page.close()
        page.close()
    except pypdfium2.PdfiumError:
        # One bad page does not cost the others.
        text = ""
    # U+FFFE marks a hyphen at a line's end in PDFium's output.
    text = (
        text.replace("\ufffe\r\n", "").replace("\ufffe", "").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    )
    return text if text.endswith("\n") else text + "\n"


def extract_docx(data: bytes) -> Extracted:
    """One line a paragraph or table row; headings by Word's own heading styles."""
    from docx.opc.exceptions import PackageNotFoundError

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > UNFOLDED_LIMIT:
                raise ExtractFailed("this DOCX unfolds to more than localmind reads")
        return _read_docx(data)
    except (zipfile.BadZipFile, PackageNotFoundError, KeyError, ValueError, SyntaxError, OSError) as error:
        raise ExtractFailed(f"this DOCX is broken: {error}") from error


def _read_docx(data: bytes) -> Extracted:
    import docx

    document = docx.Document(io.BytesIO(data))
    lines: list[str] = []
    headings: list[Heading] = []
    trail, length = Trail(), 0
    for text, level in _docx_lines(document):
        line = " ".join(text.split())
        if level is not None and line:
            headings.append(Heading(length, trail.enter(level, line)))
        lines.append(line)
        length += len(line) + 1
        if length > CHARACTERS_LIMIT:
            raise ExtractFailed("this DOCX holds more text than localmind indexes")
    if not any(lines):
        raise ExtractFailed("this DOCX holds no text")
    return Extracted("\n".join(lines) + "\n", tuple(headings))


def _docx_lines(document: Any) -> Iterator[tuple[str, int | None]]:
    """(text, heading level or None) of every paragraph and table row, in document order."""
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
