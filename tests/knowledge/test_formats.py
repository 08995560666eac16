"""Every packed format, mail, JSON, notebooks and source code: what is read, where it stands, and how it fails."""

import io
import json
import zipfile
from collections.abc import Mapping
from email.message import EmailMessage

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.errors import ExtractFailed
from localmind.knowledge.chunk import chunk, splitter
from localmind.knowledge.extract import DOCUMENTS, Extracted, extract, kind_of

ODT = """<?xml version="1.0"?><o:document-content xmlns:o="urn:o" xmlns:t="urn:t" xmlns:b="urn:b"><o:body><o:text>
<t:h t:outline-level="1">Trip</t:h><t:p>We leave<t:s/>on <t:span>Friday</t:span>.</t:p>
<b:table><b:table-row><b:table-cell b:number-columns-repeated="999999999"><t:p>bus</t:p></b:table-cell>
<b:table-cell><t:p>12 euros</t:p></b:table-cell></b:table-row></b:table>
<t:h t:outline-level="2">Packing</t:h><t:p>Boots</t:p></o:text></o:body></o:document-content>"""
ODP = """<o:document-content xmlns:o="urn:o" xmlns:t="urn:t" xmlns:d="urn:d"><o:body><o:presentation>
<d:page d:name="Intro"><d:frame><t:p>Hello bees</t:p></d:frame></d:page>
<d:page d:name="Costs"><d:frame><t:p>240 euros</t:p></d:frame></d:page>
</o:presentation></o:body></o:document-content>"""
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
SLIDE = """<p:sld xmlns:p="urn:p" xmlns:a="urn:a"><p:sp><p:nvPr><p:ph type="title"/></p:nvPr><a:p><a:r><a:t>{0}
</a:t></a:r></a:p></p:sp><p:sp><a:p><a:r><a:t>{1}</a:t></a:r><a:br/><a:r><a:t>more</a:t></a:r></a:p></p:sp></p:sld>"""


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def pptx_bytes() -> bytes:
    ids = "".join(f'<p:sldId r:id="r{number}"/>' for number in (2, 1))
    rels = "".join(f'<Relationship Id="r{number}" Target="slides/slide{number}.xml"/>' for number in (1, 2))
    notes = '<Relationships><Relationship Id="n" Target="../notesSlides/notes1.xml"/></Relationships>'
    return zipped(
        {
            "ppt/presentation.xml": f'<p:presentation xmlns:p="urn:p" xmlns:r="{REL}">{ids}</p:presentation>',
            "ppt/_rels/presentation.xml.rels": f"<Relationships>{rels}</Relationships>",
            "ppt/slides/slide1.xml": SLIDE.format("Costs", "240 euros"),
            "ppt/slides/slide2.xml": SLIDE.format("Bees", "They hum"),
            "ppt/slides/_rels/slide1.xml.rels": notes,
            "ppt/notesSlides/notes1.xml": SLIDE.format("", "say it slowly").replace('"title"', '"sldNum"').replace(
                "<p:sp><a:p>", '<p:sp><p:ph type="body"/><a:p>'
            ),
        }
    )  # fmt: skip


def xlsx_bytes() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Budget"
    sheet.append(["item", "price"])
    sheet.append(["soap", 3.0])
    sheet.append([None, None])
    sheet.append(["rent", 890.5])
    book.create_sheet("Empty")
    book.create_sheet("Notes").append(["paid in May"])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def epub_bytes() -> bytes:
    return zipped(
        {
            "META-INF/container.xml": '<container><rootfile full-path="OPS/book.opf"/></container>',
            "OPS/book.opf": "<package><title>Bees</title><manifest>"
            '<item id="b" href="two.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="a" href="text%20one.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="x" href="../../etc/passwd" media-type="text/html"/></manifest>'
            '<spine><itemref idref="a"/><itemref idref="x"/><itemref idref="b"/></spine></package>',
            "OPS/text one.xhtml": "<html>\n\n\n<h1>Spring</h1>\n<p>They wake.</p></html>",
            "OPS/two.xhtml": "<html><h1>Winter</h1><p>They sleep.</p></html>",
        }
    )


def mail_bytes(html: str | None = "<p>See <b>you</b></p>") -> bytes:
    message = EmailMessage()
    message["From"], message["To"] = "Ada <ada@example.org>", "grace@example.org"
    message["Subject"] = "Größe der Küche"
    message.set_content("The kitchen is 12 m² big.\nSee you.\n")
    if html is not None:
        message.add_alternative(html, subtype="html")
    message.add_attachment(b"name,price\nsoap,3\n", maintype="text", subtype="csv", filename="prices.csv")
    message.add_attachment(b"\x89PNG\0\0", maintype="image", subtype="png", filename="plan.png")
    return bytes(message)


DOCUMENT = {
    "odf": zipped({"content.xml": ODT}),
    "pptx": pptx_bytes(),
    "xlsx": xlsx_bytes(),
    "epub": epub_bytes(),
    "mail": mail_bytes(),
}


def trails(document: Extracted) -> list[str]:
    return [heading.trail for heading in document.headings]


def under(document: Extracted, words: str) -> str:
    """The trail that these words stand under."""
    at = document.text.index(words)
    return [heading.trail for heading in document.headings if heading.start <= at][-1]


def page_of(document: Extracted, words: str) -> int:
    assert document.pages is not None
    return sum(start <= document.text.index(words) for start in document.pages)


def test_odt_gives_paragraphs_headings_and_rows_once() -> None:
    result = extract(DOCUMENT["odf"], "odf")
    assert result.text == "Trip\nWe leave on Friday.\nbus | 12 euros\nPacking\nBoots\n"
    assert under(result, "Boots") == "Trip > Packing"


def test_slides_are_pages_in_the_order_of_the_show() -> None:
    result = extract(DOCUMENT["pptx"], "pptx")
    assert page_of(result, "They hum more") == 1
    assert page_of(result, "240 euros") == 2
    assert page_of(result, "say it slowly") == 2
    assert under(result, "240") == "Costs"
    slides = extract(zipped({"content.xml": ODP}), "odf")
    assert (page_of(slides, "Hello bees"), page_of(slides, "240 euros")) == (1, 2)
    assert under(slides, "240") == "Costs"


def test_rows_of_a_workbook_stand_under_their_sheet_and_columns() -> None:
    result = extract(DOCUMENT["xlsx"], "xlsx")
    assert result.text == "item | price\nsoap | 3\nrent | 890.5\npaid in May\n"
    assert under(result, "rent") == "Budget > item | price"
    assert page_of(result, "rent") == 1
    assert page_of(result, "paid in May") == 3


def test_chapters_of_a_book_come_in_reading_order_and_nothing_outside_it_is_read() -> None:
    result = extract(DOCUMENT["epub"], "epub")
    assert result.text == "Spring\nThey wake.\nWinter\nThey sleep.\n"
    assert under(result, "sleep") == "Bees > Winter"


def test_a_message_is_read_once_with_its_subject_and_attachments() -> None:
    result = extract(DOCUMENT["mail"], "mail")
    assert result.text.startswith("From: Ada <ada@example.org>\nTo: grace@example.org\nSubject: Größe der Küche\n")
    assert result.text.count("See you") == 1
    assert under(result, "12 m²") == "Größe der Küche"
    assert "soap,3" in result.text
    assert "Attachment: plan.png" in result.text


def test_a_message_that_is_only_html_is_read_without_markup() -> None:
    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content(
        "<style>p{}</style><p>Come <b>soon</b> <img src='http://evil.example/1.png'></p>", subtype="html"
    )
    text = extract(bytes(message), "mail").text
    assert "Come soon" in text
    assert "evil" not in text


def test_json_for_people_keeps_its_lines_and_endless_json_gets_a_line_a_value() -> None:
    data = {"people": [{"name": "Ada", "born": 1815}], "town": "London" * 100}
    pretty = json.dumps(data, indent=1)
    assert extract(pretty.encode(), "json").text == pretty
    result = extract(json.dumps(data).encode(), "json")
    assert result.text.startswith("people.0.name: Ada\npeople.0.born: 1815\ntown: London")
    assert under(result, "1815") == "people"
    assert extract(b"[" * 100_000, "json").text == "[" * 100_000


def test_a_notebook_gives_its_cells_and_what_they_printed() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Bees\n", "We count."]},
        {
            "cell_type": "code",
            "source": "count(\n    hives)",
            "outputs": [
                {"output_type": "stream", "text": ["12\n"]},
                {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": ["<Figure>"]}},
                {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": ["..."]},
            ],
        },
    ]
    result = extract(json.dumps({"cells": cells}).encode(), "notebook")
    assert result.text == "# Bees\nWe count.\n\ncount(\n    hives)\n12\n<Figure>\nKeyError: 'x'\n"
    assert under(result, "hives") == "Bees"
    with pytest.raises(ExtractFailed, match="notebook is broken"):
        extract(b"{}", "notebook")


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("a.py", "class A:\n    @p\n    def b(self):\n        pass\n\nX = 1\n", {"@p": "A > b", "X = 1": ""}),
        ("a.c", "static int *find(int a) {\n return 0;\n}\nstruct p { int x; };\n", {"return": "find", "int x": "p"}),
        ("a.cpp", "namespace n { class K {\n void m(); }; }\nvoid n::K::m() {\n f(); }\n", {"f();": "n::K::m"}),
        ("a.rs", "impl Foo for Bar {\n fn go() {\n x(); }\n}\n", {"x()": "Bar > go"}),
        ("a.go", "package a\nfunc (r *R) Do() {\n x() }\n", {"x()": "Do"}),
        ("A.java", "class A {\n void m() {\n x(); }\n}\n", {"x()": "A > m"}),
        ("a.ts", "export class A {\n m(): T {\n x() } }\nconst f = (y: T) =>\n  z;\n", {"x()": "A > m", "z;": "f"}),
        ("a.jsx", "function a() {\n return <b>x</b> }\n", {"<b>": "a"}),
        ("a.rb", "module M\n def x\n  y\n end\nend\n", {"y": "M > x"}),
        ("a.cs", "namespace N {\n class C {\n void M() {\n x(); } } }", {"x()": "N > C > M"}),
        ("a.sh", "f() {\n echo x\n}\necho y\n", {"echo x": "f", "echo y": ""}),
        ("a.php", "<?php\nclass B {\n function c() {\n x(); } }", {"x()": "B > c"}),
    ],
)  # fmt: skip
def test_code_stands_under_its_definition(name: str, source: str, expected: dict[str, str]) -> None:
    kind = kind_of(name)
    assert kind is not None
    result = extract(source.encode(), kind)
    assert result.text == source
    for words, trail in expected.items():
        assert under(result, words) == trail


def test_chunks_of_code_begin_at_definitions() -> None:
    source = "".join(
        f"def f{number}(größe):\n    value = größe + {number}\n    return value * 2\n\n\n" for number in range(60)
    )
    chunks = chunk(extract(source.encode(), "python"), splitter(None, "python"))
    assert len(chunks) > 3
    assert all(piece.text.lstrip().startswith("def ") for piece in chunks)
    assert [piece.heading for piece in chunks][:2] == ["f0", chunks[1].text.split("(")[0].split()[-1]]


@given(
    st.text(st.sampled_from("class def fn{}()=>;:\n \t\"'é#/*AB"), max_size=200),
    st.sampled_from(["python", "c", "typescript"]),
)
def test_any_text_passes_as_code_unchanged_with_headings_in_order(source: str, kind: str) -> None:
    result = extract(source.encode() or b" ", kind)
    assert result.text == (source.replace("\r", "\n") or " ")
    starts = [heading.start for heading in result.headings]
    assert starts == sorted(set(starts))
    assert all(0 <= start <= len(result.text) for start in starts)


@pytest.mark.parametrize("kind", sorted(DOCUMENTS - {"pdf", "docx"}))
@settings(max_examples=20)
@given(data=st.binary(max_size=300))
def test_garbage_fails_cleanly_in_every_format(kind: str, data: bytes) -> None:
    with pytest.raises(ExtractFailed):
        extract(data, kind)


@pytest.mark.parametrize("kind", sorted(DOCUMENT))
@settings(max_examples=15)
@given(cut=st.integers(0, 3000), flips=st.lists(st.integers(0, 10_000), max_size=4))
def test_a_damaged_file_fails_cleanly_or_gives_text(kind: str, cut: int, flips: list[int]) -> None:
    damaged = bytearray(DOCUMENT[kind])
    for flip in flips:
        damaged[flip % len(damaged)] ^= 0x55
    try:
        result = extract(bytes(damaged[: max(1, len(damaged) - cut)]), kind)
    except ExtractFailed:
        return
    assert "\0" not in result.text
    assert all(0 <= heading.start <= len(result.text) for heading in result.headings)


def bomb(member: str) -> bytes:
    stream = io.BytesIO()
    zipped = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with zipped as archive, archive.open(member, "w") as target:
        for _ in range(310):
            target.write(bytes(2**20))
    return stream.getvalue()


@pytest.fixture(scope="module")
def zip_bomb() -> bytes:
    return bomb("content.xml")


@pytest.mark.parametrize("kind", ["odf", "pptx", "xlsx", "epub", "docx"])
def test_a_zip_bomb_is_refused_before_it_unfolds(kind: str, zip_bomb: bytes) -> None:
    assert len(zip_bomb) < 2**22
    with pytest.raises(ExtractFailed, match="unfolds"):
        extract(zip_bomb, kind)


LAUGHS = "<!DOCTYPE x [<!ENTITY a0 'lol'>" + "".join(
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)
) + "]>"  # fmt: skip


def test_a_billion_laughs_are_not_laughed() -> None:
    slides = dict(zipfile_members(pptx_bytes()))
    slides["ppt/slides/slide1.xml"] = LAUGHS.encode() + SLIDE.format("&a9;", "x").encode()
    books = dict(zipfile_members(epub_bytes()))
    books["OPS/book.opf"] = LAUGHS.encode() + books["OPS/book.opf"].replace(b"Bees", b"&a9;")
    odt = {"content.xml": LAUGHS + ODT.partition("?>")[2].replace("Friday", "&a9;")}
    for kind, members in (("odf", odt), ("pptx", slides), ("epub", books)):
        with pytest.raises(ExtractFailed, match="broken"):
            extract(zipped(members), kind)
    sheets = dict(zipfile_members(xlsx_bytes()))
    sheets["xl/workbook.xml"] = LAUGHS.encode() + sheets["xl/workbook.xml"]
    with pytest.raises(ExtractFailed, match="entities"):
        extract(zipped(sheets), "xlsx")


def test_no_file_of_the_machine_enters_through_an_entity() -> None:
    doctype = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    odt = zipped({"content.xml": doctype + ODT.partition("?>")[2].replace("Friday", "&e;")})
    assert "root:" not in extract(odt, "odf").text


def zipfile_members(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def test_org_asciidoc_latex_and_plain_text_have_headings() -> None:
    assert trails(extract(b"#+title: Bees\n* TODO Hive :work:\n** Frames\n", "org")) == [
        "Bees",
        "Bees > Hive",
        "Bees > Hive > Frames",
    ]
    assert trails(extract(b"= Book\n\n== Part ==\ntext\n", "asciidoc")) == ["Book", "Book > Part"]
    assert trails(extract(rb"\section[a]{One}" + b"\n" + rb"\subsection*{Two}", "latex")) == ["One", "One > Two"]
    plain = b"GARDEN\n======\n\nBeans are sown in May.\n\nWatering\n--------\nEvery evening.\n"
    assert trails(extract(plain, "plain")) == ["GARDEN", "GARDEN > Watering"]
    assert trails(extract(b"A paragraph of words\nthat goes on.\n\nShort line\n\nAnd ends.\n", "plain")) == []


def test_every_suffix_that_is_read_has_a_reader() -> None:
    for name in ("a.odt", "a.pptx", "a.xlsx", "a.epub", "a.eml", "a.ipynb", "a.org", "a.tsv", "a.json", "a.rst"):
        assert kind_of(name) not in (None, "unknown")
    assert kind_of("a.doc") is None
