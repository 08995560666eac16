"""PPTX to text: a slide is a page, a paragraph or table row a line, the slide's title its heading.

Read directly from the XML: python-pptx would bring Pillow and XlsxWriter, which are for making slides.
Speaker notes follow their slide, since that is where the talk often is.
"""

from collections.abc import Iterator
from typing import Any

from localmind.knowledge.extract import Extracted
from localmind.knowledge.formats.lines import Lines
from localmind.knowledge.formats.packed import Packed, attribute, local

PRESENTATION = "ppt/presentation.xml"


def read(data: bytes) -> Extracted:
    """The text of all slides in the order of the show."""
    packed = Packed(data, "PPTX")
    lines = Lines("PPTX")
    for number, slide in enumerate(_slides(packed), 1):
        lines.page()
        shapes = list(_shapes(packed.xml(slide)))
        title = next((" ".join(texts) for kind, texts in shapes if kind in ("title", "ctrTitle")), "")
        lines.under(1, title or f"Slide {number}")
        for _, texts in shapes:
            for text in texts:
                lines.add(text)
        for member in packed.related(slide).values():
            if member.startswith("ppt/notesSlides/") and member in packed.members:
                for kind, texts in _shapes(packed.xml(member)):
                    # The other placeholders of a notes page repeat the slide's image and number.
                    for text in texts if kind == "body" else ():
                        lines.add(text)
    return lines.done()


def _slides(packed: Packed) -> Iterator[str]:
    related = packed.related(PRESENTATION)
    for element in packed.xml(PRESENTATION).iter():
        if local(element) == "sldId":
            member = related.get(element.get(f"{{{_RELATIONS}}}id") or "")
            if member in packed.members:
                yield str(member)


_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def _shapes(root: Any) -> Iterator[tuple[str | None, list[str]]]:
    """(kind of placeholder, paragraphs) of every shape with text, tables row by row."""
    for element in root.iter():
        match local(element):
            case "sp":
                kind = next((attribute(node, "type") for node in element.iter() if local(node) == "ph"), None)
                texts = [_text(node) for node in element.iter() if local(node) == "p"]
            case "tr":
                kind = None
                texts = [" | ".join(_text(cell) for cell in element if local(cell) == "tc")]
            case _:
                continue
        if any(text.strip() for text in texts):
            yield kind, [text for text in texts if text.strip()]


def _text(paragraph: Any) -> str:
    """The runs of a paragraph; line breaks and the ends of inner paragraphs become blanks."""
    pieces = []
    for node in paragraph.iter():
        name = local(node)
        if name == "t":
            pieces.append(node.text or "")
        elif name in ("br", "p", "tab"):
            pieces.append(" ")
    return " ".join("".join(pieces).split())
