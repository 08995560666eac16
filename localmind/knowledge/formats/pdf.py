"""PDF to text, page by page, by PDFium.

Encrypted, broken and scanned files end in an ExtractFailed that says which of these they are; one
bad page does not cost the others. Nothing is recognised from images.
"""

from typing import Any

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import Extracted
from localmind.knowledge.formats.lines import CHARACTERS_LIMIT

PAGES_LIMIT = 5000


def read(data: bytes) -> Extracted:
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
