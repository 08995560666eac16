"""Every format to text with its own line numbers, and every way in which a file can be broken."""

import contextlib
import io
import zipfile
from pathlib import Path

import docx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import KINDS, extract, kind_of
from localmind.plaintext import decode

SAMPLES = Path(__file__).parents[2] / "samples"


def line_of(text: str, words: str) -> int:
    """The 1-based line on which `words` stand."""
    return next(number for number, line in enumerate(text.split("\n"), 1) if words in line)


def docx_bytes() -> bytes:
    document = docx.Document()
    document.add_heading("Grant", 0)
    document.add_paragraph("We ask for money.")
    document.add_heading("Costs", 1)
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Scale", "240 euros"
    document.add_paragraph("That is\nall.")
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def test_html_keeps_the_lines_of_the_file() -> None:
    page = (
        "<!doctype html>\n"
        "<html><head><title>Soup</title>\n"
        "<style>p { color: red }</style>\n"
        "<script>\n"
        "var a = '<p>no</p>';\n"
        "</script></head>\n"
        "<body>\n"
        "<h1>Lentil\n"
        "soup</h1>\n"
        "<p>Take <b>two</b> cups &amp; a\n"
        " pinch.</p>\n"
        "<table><tr><td>red</td><td>blue</td></tr></table><!-- hidden -->\n"
        "<h2>Then</h2><p>Cook.\n"
        "</body>"
    )
    result = extract(page.encode(), "html")
    source = page.split("\n")
    for words in ("cups & a", "pinch.", "red blue", "Cook."):
        tag = words.replace("&", "&amp;").replace("red blue", "red</td><td>blue")
        assert line_of(result.text, words) == 1 + next(
            i for i, line in enumerate(source) if tag in line.replace("</b>", "")
        )
    assert "color" not in result.text
    assert "var a" not in result.text
    assert "hidden" not in result.text
    assert "Take two cups" in result.text
    assert [heading.trail for heading in result.headings] == ["Soup", "Soup > Lentil soup", "Soup > Lentil soup > Then"]


@given(st.text(st.sampled_from("<>/abp \n\"'=!-&;h1script"), max_size=300))
def test_any_markup_gives_text_with_no_more_lines_than_the_file(page: str) -> None:
    result = extract(page.encode() or b" ", "html")
    assert result.text.count("\n") <= decode(page.encode()).count("\n")
    assert all(0 <= heading.start <= len(result.text) for heading in result.headings)


def test_docx_gives_paragraphs_tables_and_headings_in_order() -> None:
    result = extract(docx_bytes(), "docx")
    assert result.text == "Grant\nWe ask for money.\nCosts\nScale | 240 euros\nThat is all.\n"
    assert [heading.trail for heading in result.headings] == ["Grant", "Grant > Costs"]
    assert result.headings[1].start == result.text.index("Costs")


def test_a_pdf_gives_its_pages() -> None:
    result = extract((SAMPLES / "home/rental-agreement.pdf").read_bytes(), "pdf")
    assert result.pages is not None
    assert len(result.pages) >= 2
    assert result.pages[0] == 0
    assert list(result.pages) == sorted(result.pages)
    assert "deposit of 2,670 euros" in " ".join(result.text[: result.pages[1]].split())


@pytest.mark.parametrize("kind", ["pdf", "docx"])
@given(data=st.binary(max_size=400))
def test_garbage_is_an_extract_failure_and_nothing_else(kind: str, data: bytes) -> None:
    with pytest.raises(ExtractFailed, match="broken"):
        extract(data, kind)


@settings(max_examples=30)
@given(cut=st.integers(1, 5000), flip=st.integers(0, 5000))
def test_a_damaged_document_fails_cleanly_or_gives_text(cut: int, flip: int) -> None:
    for kind, data in (("pdf", (SAMPLES / "home/rental-agreement.pdf").read_bytes()), ("docx", docx_bytes())):
        damaged = bytearray(data[: max(1, len(data) - cut)])
        damaged[flip % len(damaged)] ^= 0xFF
        with contextlib.suppress(ExtractFailed):
            assert isinstance(extract(bytes(damaged), kind).text, str)


def test_a_document_that_unfolds_to_gigabytes_is_refused() -> None:
    stream = io.BytesIO()
    zipped = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with zipped as archive, archive.open("word/document.xml", "w") as member:
        for _ in range(310):
            member.write(bytes(2**20))
    assert len(stream.getvalue()) < 2**22
    with pytest.raises(ExtractFailed, match="unfolds"):
        extract(stream.getvalue(), "docx")


def test_entities_of_a_document_are_not_expanded() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;&b;">]>'
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx_bytes())) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "word/document.xml":
                head, _, body = data.partition(b"?>")
                data = head + b"?>" + bomb + body.replace(b"We ask for money.", b"We ask &c; for money.")
            new.writestr(name, data)
    assert "lol" not in extract(stream.getvalue(), "docx").text


def test_what_is_no_text_is_not_read() -> None:
    with pytest.raises(ExtractFailed, match="not text"):
        extract(b"\0\1\2", "text")


def test_kinds_are_known_by_suffix() -> None:
    assert kind_of("a/B.MD") == "markdown"
    assert kind_of("Makefile") == "unknown"
    assert kind_of("photo.JPG") is None
    assert {"markdown", "html", "pdf", "docx", "csv", "python", "rst", "plain", "code"} <= set(KINDS.values())
