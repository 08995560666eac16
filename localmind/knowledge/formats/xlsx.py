"""XLSX to text: a sheet is a page, a row with anything in it a line, under the sheet's name and its first row.

Values are read as they were last computed; no formula runs and no link is followed. A sheet that claims
a million empty rows costs the time of those that are written, up to a bound.
"""

import datetime
import io
import warnings
from typing import Any

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import Extracted
from localmind.knowledge.formats.lines import Lines
from localmind.knowledge.formats.packed import Packed

ROWS_LIMIT = 500_000
COLUMNS_LIMIT = 1000


def read(data: bytes) -> Extracted:
    """The rows of all sheets."""
    import openpyxl

    packed = Packed(data, "XLSX")
    for member in packed.members:
        if member.endswith((".xml", ".rels")):
            _refuse_doctype(packed.read(member)[:4096])
    lines = Lines("XLSX")
    try:
        with warnings.catch_warnings():
            # openpyxl warns of features it does not keep when saving; nothing is saved here.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
            for sheet in book.worksheets:
                _sheet(sheet, lines)
    except ExtractFailed:
        raise
    except Exception as error:  # openpyxl raises what it stumbles over: TypeError, AttributeError, KeyError…
        if isinstance(error, (MemoryError, RecursionError)):
            raise
        raise ExtractFailed(f"this XLSX is broken: {error}"[:300]) from error
    return lines.done()


def _refuse_doctype(head: bytes) -> None:
    """No workbook has one; openpyxl's parser expands entities within expat's own bounds, which are generous."""
    if b"<!DOCTYPE" in head.upper() or b"<\0!\0D\0" in head.upper():
        raise ExtractFailed("this XLSX is broken: it declares entities")


def _sheet(sheet: Any, lines: Lines) -> None:
    # A sheet may lie about its size; rows are then read as they come.
    sheet.reset_dimensions()
    lines.page()
    lines.under(1, sheet.title)
    first = True
    for row in sheet.iter_rows(max_row=ROWS_LIMIT, max_col=COLUMNS_LIMIT, values_only=True):
        cells = [_shown(value) for value in row]
        if not any(cells):
            continue
        text = " | ".join(cell for cell in cells if cell)
        lines.add(text)
        if first:
            lines.under(2, text)
            first = False


def _shown(value: Any) -> str:
    """A cell as a person reads it: a date without its midnight, a whole number without its point."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return " ".join(str(value).split())
