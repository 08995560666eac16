"""EPUB to text: the chapters in reading order, each through the HTML reader.

The spine of the package file says which members are read and in which order; nothing else in the zip
is opened. Lines are those of the extracted text, since a book has no lines of its own, and the book's
title and its chapters' headings are the trail.
"""

import posixpath
import re
from urllib.parse import unquote

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import Extracted, Heading
from localmind.knowledge.formats import html
from localmind.knowledge.formats.lines import Lines
from localmind.knowledge.formats.packed import Packed, attribute, local
from localmind.plaintext import decode

CONTAINER = "META-INF/container.xml"
_READABLE = ("application/xhtml+xml", "text/html")


def read(data: bytes) -> Extracted:
    """The text of all chapters."""
    packed = Packed(data, "EPUB")
    if "META-INF/encryption.xml" in packed.members and any(
        local(element) == "EncryptedKey" for element in packed.xml("META-INF/encryption.xml").iter()
    ):
        raise ExtractFailed("this EPUB is encrypted", hint="nothing to do: its reader program holds the key")
    title, chapters = _spine(packed)
    lines = Lines("EPUB")
    if title:
        lines.under(0, title)
    for member in chapters:
        lines.include(squeezed(html.read(decode(packed.read(member)), by_blocks=True)), level=0)
    return lines.done()


def _spine(packed: Packed) -> tuple[str, list[str]]:
    """(title, members in reading order)."""
    package = next(
        (attribute(element, "full-path") for element in packed.xml(CONTAINER).iter() if local(element) == "rootfile"),
        None,
    )
    if package is None:
        raise ExtractFailed("this EPUB is broken: it names no package")
    folder, title = posixpath.dirname(package), ""
    items: dict[str, str] = {}
    order: list[str] = []
    for element in packed.xml(package).iter():
        match local(element):
            case "title":
                title = title or " ".join((element.text or "").split())
            case "item" if element.get("media-type") in _READABLE:
                member = posixpath.normpath(posixpath.join(folder, unquote(element.get("href") or "")))
                if member in packed.members:
                    items[str(element.get("id"))] = member
            case "itemref":
                order.append(str(element.get("idref")))
    return title, [items[name] for name in dict.fromkeys(order) if name in items]


def squeezed(page: Extracted) -> Extracted:
    """Without the blank lines that stand where markup stood in the source."""
    kept: list[str] = []
    headings: list[Heading] = []
    waiting = list(page.headings)
    length = at = 0
    for line in page.text.split("\n"):
        while waiting and waiting[0].start < at + len(line) + 1:
            headings.append(Heading(length, waiting.pop(0).trail))
        at += len(line) + 1
        if re.search(r"\S", line):
            kept.append(line.strip())
            length += len(line.strip()) + 1
    return Extracted("\n".join(kept), tuple(headings))
